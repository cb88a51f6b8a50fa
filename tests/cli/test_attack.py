"""``molrecon attack``."""

import csv
import json

import pytest

from molrecon.data.check.findings import DataCheck, Finding
from molrecon.evaluation.attack import scan
from molrecon.reconstructors import store

from .conftest import tiny_model

QUICK = ("--restarts", 1, "--steps", 3)


@pytest.fixture
def strict(tmp_path):
    network = {"kind": "residual-strict", "features": 4, "layers": 2, "lipschitz": 0.5}
    return tiny_model(tmp_path / "strict.safetensors", network=network)


def test_one_command(strict, files, run_json, tmp_path):
    out = tmp_path / "out"
    facts = run_json(
        "attack", strict, files.under, "--epsilon", "0.05,0.01", "--against", "sense,l1-wavelet",
        "--reference", files.reference, "-o", out, *QUICK,
    )  # fmt: skip
    mol, sense, wavelet = facts["methods"]
    assert [one["name"] for one in facts["methods"]] == ["strict", "sense", "l1-wavelet"]
    assert mol["model"] == str(strict)
    assert facts["epsilon"] == [0.01, 0.05]
    assert facts["violations"] == 0
    assert mol["certified"] is sense["certified"] is True
    assert sense["bound"] == pytest.approx(5)
    assert wavelet["bound"] is wavelet["points"][0]["worst"] is None
    for one in (mol, sense):
        for point in one["points"]:
            worst, noise = point["worst"], point["gaussian"]
            assert noise["gain"] < worst["gain"] < one["bound"] + worst["gain_error"]
            assert worst["psnr"] < one["psnr"]
            assert point["exceeded"] is False
    assert {path.name for path in out.iterdir()} == {
        "attack.csv", "attack.json", "gain.png", "gain.pdf", "pictures-0.01.png",
        "pictures-0.05.png",
    }  # fmt: skip
    assert json.loads((out / "attack.json").read_text()) == facts
    with (out / "attack.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (2 + 2 + 1)
    assert float(rows[0]["gain"]) == mol["points"][0]["worst"]["gain"]


def test_the_gain_can_be_limited_and_the_loss_attacked(strict, files, run_json, tmp_path):
    out = tmp_path / "out"
    facts = run_json(
        "attack", strict, files.under, "--epsilon", 0.05, "--robust", "2,1.5", "--goal", "loss",
        "--reference", files.reference, "-o", out, *QUICK,
    )  # fmt: skip
    own, two, less = facts["methods"]
    assert [one["name"] for one in facts["methods"]] == [
        "strict", "strict, gain ≤ 2", "strict, gain ≤ 1.5",
    ]  # fmt: skip
    assert own["bound"] > two["bound"] == pytest.approx(2, rel=1e-4)
    assert less["bound"] <= 1.5
    assert [one["most_gain"] for one in facts["methods"]] == [None, 2, 1.5]
    assert (out / "robust.png").stat().st_size > 5000
    assert facts["goal"] == "loss"


def test_the_table_says_what_is_held_fixed(strict, files, run, tmp_path):
    result = run("attack", strict, files.under, "--epsilon", 0.02, "-o", tmp_path / "o", *QUICK)
    assert result.exit_code == 0
    assert "certified" in result.stdout
    assert "held at their values for the unperturbed scan" in " ".join(result.stderr.split())


def test_data_that_are_doubted_leave_no_bound_certified(strict, files, run, monkeypatch, tmp_path):
    doubt = Finding("maps", "warning", "maps of another scan", "stripes", "give them")
    monkeypatch.setattr(scan, "check_of", lambda _: DataCheck((doubt,)))
    result = run("attack", strict, files.under, "--epsilon", 0.02, "-o", tmp_path / "o", *QUICK)
    assert result.exit_code == 0
    assert "conditional bound on the gain" in result.stdout
    assert "certified" not in result.stdout
    said = " ".join(result.stderr.split())
    assert "The bound of strict is conditional: it holds if the scan is what" in said


def test_without_a_gradient_there_is_only_noise(files, run, tmp_path):
    out = tmp_path / "out"
    result = run("attack", "tv", files.under, "--epsilon", 0.02, "-o", out, *QUICK)
    assert result.exit_code == 0
    assert "tv has no gradient: only Gaussian" in result.stderr
    assert not list(out.glob("pictures*"))


def test_wrong_input_is_refused(strict, files, refused, tmp_path):
    out = tmp_path / "out"

    def call(*arguments, naming, model=strict, scan=files.under):
        refused("attack", model, scan, "-o", out, *arguments, naming=naming)

    call("--epsilon", "0.1,x", naming=["--epsilon", "0.1,x"])
    call("--epsilon", "0", naming=["epsilon is 0"])
    call("--epsilon", "0.1,0.1", naming=["different sizes"])
    call("--restarts", 0, naming=["restarts is 0"])
    call("--steps", 0, naming=["steps is 0"])
    call("--robust", "1", naming=["--robust is 1, expected more than 1"])
    call("--robust", "3,x", naming=["--robust", "3,x"])
    call("--goal", "harm", naming=["--goal is 'harm'"])
    call("--goal", "loss", naming=["--goal is 'loss', expected a reference"])
    call("--robust", "3", model="zero-filled", naming=["no bound is known on the gain"])
    call("--tol", 1, naming=["tol is 1"])
    call(model="bsds-sr3-sn", naming=["bsds-sr3-sn", "give a model of MRI"])
    call("--seed", -1, naming=["--seed is -1, expected a whole number from 0"])
    call("--seed", 2**63, naming=["--seed is 9223372036854775808"])
    call("--against", "sense,sense", naming=["sense twice"])
    call("--against", "modl", naming=["modl", "needs a model"])
    call("--slice", 1, naming=["--slice is 1"])
    call("--sigma", -1, naming=["--sigma"])
    call("--sigma", 1e30, naming=["sigma is 1e+30", "times the largest of the measurements"])
    call("--device", "abacus", naming=["--device"])
    call("--reference", files.model, naming=[files.model])
    call(naming=["nowhere"], model="nowhere")
    call(naming=["none.npz"], scan=tmp_path / "none.npz")
    refused("attack", strict, files.under, "-o", files.under, naming=["a folder was expected"])
    volume = {"kind": "cnn", "features": 4, "layers": 2, "ndim": 3}
    model = tiny_model(tmp_path / "volume.safetensors", network=volume)
    call(naming=["2 spatial axes"], model=model)


def test_a_shipped_model_by_its_name(strict, files, monkeypatch, run_json, tmp_path):
    monkeypatch.setattr(store, "shipped_models", lambda: {"strict": strict})
    facts = run_json(
        "attack", "strict", files.under, "--epsilon", 0.02, "-o", tmp_path / "o", *QUICK
    )
    assert facts["methods"][0]["name"] == "strict"
