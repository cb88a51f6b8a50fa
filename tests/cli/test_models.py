"""``molrecon models``."""

import json
import subprocess
import sys

import pytest
import torch

import molrecon
from molrecon.cli.certify import certificate_text
from molrecon.evaluation.certificate import certificate_path, read_certificate
from molrecon.evaluation.certification_images import simulated_images
from molrecon.evaluation.certify import MeasuringEffort, certify
from molrecon.reconstructors import store


@pytest.fixture
def shipped(monkeypatch, files):
    """Make the tiny model look like a shipped one."""
    monkeypatch.setattr(store, "shipped_models", lambda: {"tiny": files.model})


def test_facts_of_a_model(shipped, run_json, run):
    (facts,) = run_json("models")["models"]
    assert facts["name"] == "tiny"
    assert facts["method"] == "mol"
    assert facts["description"] == "a test"
    assert facts["lipschitz_bound"] is None
    assert facts["monotonicity"] == 0.5
    assert facts["axes"] == "yx"
    assert facts["network"]["features"] == 4
    # 2·4·9 + 4 + 4 and 4·2·9 + 2 + 2 in the network, two in the data weight.
    assert facts["weights"] == 158
    text = run("models", "--long").stdout
    assert "a test" in text
    assert "not proved" in text


def test_a_line_a_model(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("models").stdout.splitlines()
    for name in store.shipped_models():
        (line,) = [one for one in lines if one.split()[:1] == [name]]
        assert len(line) <= 80
    of = {one.split()[0]: one for one in lines if one.strip()}
    assert "≤ 0.98 " in of["brain2d-strict"]
    assert "≤ 0.99 *" in of["brain2d-lr"]
    assert " – " in of["brain2d-modl"]
    assert len(lines) < 2 * len(store.shipped_models())
    assert "bsds-sr3-strict: Research use only" in " ".join(" ".join(lines).split())


def test_no_model(monkeypatch, run_json, run):
    monkeypatch.setattr(store, "shipped_models", dict)
    assert run_json("models") == {"models": []}
    assert "no model" in run("models").stdout


def test_an_unknown_model_is_answered_with_the_list(shipped, files, refused, tmp_path):
    refused(
        "reconstruct",
        files.under,
        "--model",
        "heart9d",
        "-o",
        tmp_path / "i.npy",
        naming=["heart9d", "tiny"],
    )
    refused("demo", "--model", "heart9d", "-o", tmp_path / "demo", naming=["heart9d", "tiny"])


def test_a_shipped_model_goes_by_its_name(shipped, files, run_json, tmp_path):
    facts = run_json("reconstruct", files.under, "--model", "tiny", "-o", tmp_path / "i.npy")
    assert facts["model"] == "tiny"


def test_a_model_of_another_method(monkeypatch, run_json, run, tmp_path):
    network = {"kind": "cnn", "features": 4, "layers": 2, "residual": True}
    config = molrecon.ModelConfig.model_validate({"method": "modl", "network": network})
    path = molrecon.save(config.build(), tmp_path / "rival.safetensors", config)
    monkeypatch.setattr(store, "shipped_models", lambda: {"rival": path})
    (facts,) = run_json("models")["models"]
    assert (facts["method"], facts["monotonicity"]) == ("modl", None)
    assert "not meant to be: the method gives no bounds" in run("models", "--long").stdout


def test_models_are_listed_without_importing_pytorch():
    code = (
        "import sys; from molrecon.cli.main import app; "
        "app(['models', '--long'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "by construction, Lip(H) ≤ 0.98" in " ".join(done.stdout.split())


@pytest.fixture
def loose(tmp_path):
    """A model whose network expands, and the certificate that is due to it."""
    network = {"kind": "cnn", "features": 4, "layers": 2}
    config = molrecon.ModelConfig.model_validate({"network": network, "monotonicity": 0.5})
    model = config.build()
    with torch.no_grad():
        model.network.convolutions[0].weight.mul_(3)
    path = molrecon.save(model, tmp_path / "loose.safetensors", config)
    genuine = certify(path, simulated_images(2, 2), effort=MeasuringEffort(0.1, starts=1, steps=1))
    assert not genuine.certified
    return path, genuine.model_dump(mode="json")


def test_a_forged_certificate_is_shown_as_a_claim_and_proves_nothing(
    loose, files, run, run_json, tmp_path
):
    model, genuine = loose
    forged = genuine | {"bound": 0.4, "refusal": None, "certified": True, "monotonicity": 0.5}
    forged |= {"images": [one | {"violated": []} for one in genuine["images"]]}
    certificate_path(model).write_text(json.dumps(forged))
    scan = ("reconstruct", files.under, "--model", model, "--tol", 1, "-o", tmp_path / "i.npy")
    facts = run_json(*scan)
    assert facts["certificate"]["sentence"] == "it claims Lip(H) ≤ 0.4, m = 0.5"
    assert facts["certified"] is False
    text = " ".join(run(*scan).stdout.split())
    assert "on file, not checked here: it claims" in text
    assert "proved" not in text


def test_a_certificate_that_contradicts_itself_is_none(loose):
    model, genuine = loose
    certificate_path(model).write_text(json.dumps(genuine | {"certified": True}))
    assert read_certificate(model).certificate is None


def test_a_certificate_on_file_is_never_called_checked_itself():
    facts = {"certificate": {"sentence": "it claims Lip(H) ≤ 0.98"}, "no_certificate": None}
    assert "on file, not checked here: it claims" in certificate_text(facts)
    beside_proof = certificate_text(facts, proved=True)
    assert "not checked here" not in beside_proof
    assert (
        "'proved' does not rest on it, the weights themselves were checked; it claims"
        in beside_proof
    )
    assert certificate_text({"certificate": None, "no_certificate": "old"}) == "none: old"
