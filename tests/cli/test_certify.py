"""``molrecon certify``, and where its result is shown."""

import json
import os

import pytest

from molrecon.evaluation.certificate import Certificate, certificate_path
from molrecon.reconstructors import store

from .conftest import tiny_model

QUICK = ("--accuracy", 0.1)


@pytest.fixture
def strict(tmp_path):
    network = {"kind": "residual-strict", "features": 4, "layers": 2, "lipschitz": 0.5}
    return tiny_model(tmp_path / "strict.safetensors", network=network)


@pytest.fixture
def loose(tmp_path):
    path = tmp_path / "loose.safetensors"
    return tiny_model(path, monotonicity=0.995)


def test_a_certified_model(strict, files, run_json, run, tmp_path):
    facts = run_json("certify", strict, "--data", files.under, *QUICK)
    assert set(Certificate.model_fields) <= set(facts)
    assert facts["certified"] is True
    assert facts["attack"] <= facts["local"] * (1 + 1e-3)
    assert facts["local"] <= facts["bound"] == 0.5
    assert facts["monotonicity"] == 0.5
    assert facts["contraction"] == 0.5
    assert facts["iterations"] == 10
    assert facts["images"][0]["image"] == str(files.under)
    assert facts["stored"] == str(certificate_path(strict))
    assert facts["not_stored"] is None

    found = run_json("reconstruct", files.under, "--model", strict, "-o", tmp_path / "i.npy")
    assert found["certificate"]["sha256"] == facts["sha256"]
    assert found["certificate"]["certified"] is True
    assert found["no_certificate"] is None
    assert found["robustness"] == pytest.approx(facts["images"][0]["robustness"], rel=1e-3)
    text = run("reconstruct", files.under, "--model", strict, "-o", tmp_path / "i.npy").stdout
    assert "it claims Lip(H) ≤ 0.5" in " ".join(text.split())


def test_a_model_that_is_not_certified_names_the_file(loose, files, run, run_json):
    result = run("certify", loose, "--data", files.under, "--data", files.under, *QUICK)
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "not certified" in text
    assert "exceeds 0.005" in text
    facts = run_json("certify", loose, "--data", files.under, *QUICK)
    assert facts["certified"] is False
    assert facts["monotonicity"] is facts["iterations"] is None
    assert facts["images"][0]["image"] == str(files.under)
    assert len(facts["images"][0]["violated"]) == 3


def test_the_bounds_are_tried_out(strict, loose, files, run, run_json, refused):
    asked = ("--data", files.under, *QUICK, "--thorough", "--cases", 16)
    facts = run_json("certify", strict, *asked)
    assert sum(one["cases"] for one in facts["audit"]) >= 32
    assert all(one["violations"] == 0 for one in facts["audit"])
    text = " ".join(run("certify", strict, *asked).stdout.split())
    assert "Bounds tried out" in text
    assert run_json("certify", strict, "--data", files.under, *QUICK)["audit"] is None
    result = run("certify", loose, *asked, "--json")
    assert result.exit_code == 1
    audit = json.loads(result.stdout)["audit"]
    wrong = [one for one in audit if one["violations"]]
    assert "0.005 that is claimed" in " ".join(one["check"] for one in wrong)
    assert all(one["largest"] > 1 and not one["proved"] for one in wrong)
    refused("certify", strict, "--thorough", "--cases", 0, naming=["--cases is 0"])


def test_simulated_images_by_default(strict, run_json):
    facts = run_json("certify", strict, *QUICK)
    assert [one["image"][:14] for one in facts["images"]] == ["simulated head"] * 3


def test_a_shipped_model_keeps_its_own(strict, files, monkeypatch, run_json, run):
    monkeypatch.setattr(store, "shipped_models", lambda: {"strict": strict})
    facts = run_json("certify", "strict", "--data", files.under, *QUICK)
    assert facts["stored"] is None
    assert "shipped" in facts["not_stored"]
    assert not certificate_path(strict).exists()
    assert "none: there is none" in run("models", "--long").stdout
    run_json("certify", strict, "--data", files.under, *QUICK)
    (one,) = run_json("models")["models"]
    assert one["certificate"]["certified"] is True
    assert "it claims Lip(H) ≤ 0.5" in run("models", "--long").stdout


def test_a_stale_certificate_is_said_to_be_so(strict, files, monkeypatch, run_json, run, tmp_path):
    run_json("certify", strict, "--data", files.under, *QUICK)
    tiny_model(strict)
    monkeypatch.setattr(store, "shipped_models", lambda: {"strict": strict})
    (one,) = run_json("models")["models"]
    assert one["certificate"] is None
    assert "stale" in one["no_certificate"]
    assert "stale" in run("models", "--long").stdout
    found = run_json("reconstruct", files.under, "--model", strict, "-o", tmp_path / "i.npy")
    assert found["certificate"] is None
    assert "stale" in found["no_certificate"]


def test_methods_without_a_model_have_none(files, run_json, tmp_path):
    found = run_json("reconstruct", files.under, "--method", "sense", "-o", tmp_path / "i.npy")
    assert found["certificate"] is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(strict, files, run_json):
    strict.parent.chmod(0o500)
    try:
        facts = run_json("certify", strict, "--data", files.under, *QUICK)
    finally:
        strict.parent.chmod(0o700)
    assert facts["stored"] is None
    assert "not writable" in facts["not_stored"]


def test_a_certificate_that_cannot_be_written_costs_nothing_else(strict, files, run):
    certificate_path(strict).mkdir()
    result = run("certify", strict, "--data", files.under, *QUICK, "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["certified"] is True
    assert facts["stored"] is None
    assert "folder" in facts["not_stored"]


def test_wrong_input_is_refused(strict, files, refused, tmp_path):
    refused("certify", tmp_path / "none.safetensors", naming=["none.safetensors"])
    refused("certify", files.under, naming=[files.under])
    refused("certify", strict, "--data", tmp_path / "none.npz", naming=["none.npz"])
    refused("certify", strict, "--data", files.image, naming=[files.image])
    refused("certify", strict, "--tol", 0, naming=["--tol"])
    for accuracy in (2, 0, -1, "nan", 1e-30):
        refused("certify", strict, "--accuracy", accuracy, naming=["--accuracy is"])
    refused("certify", strict, "--seed", -1, naming=["--seed is -1"])
    refused("certify", "bsds-sr3-sn", "--data", files.under, naming=["give a model of MRI"])
    refused("certify", strict, "--device", "abacus", naming=["--device"])
    volume = {"kind": "cnn", "features": 4, "layers": 2, "ndim": 3}
    model = tiny_model(tmp_path / "volume.safetensors", network=volume)
    refused("certify", model, "--data", files.under, naming=["2 spatial axes"])
