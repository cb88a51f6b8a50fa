"""``molrecon models``."""

import pytest

import molrecon
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
    assert facts["certified"] is False
    assert facts["monotonicity"] == 0.5
    assert facts["network"]["features"] == 4
    # 2·4·9 + 4 + 4 and 4·2·9 + 2 + 2 in the network, two in the data weight.
    assert facts["weights"] == 158
    text = run("models").stdout
    assert "a test" in text
    assert "not proved" in text


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
    assert (facts["method"], facts["certified"], facts["monotonicity"]) == ("modl", False, None)
    assert "not meant to be: the method gives no bounds" in run("models").stdout
