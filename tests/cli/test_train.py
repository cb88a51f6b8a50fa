"""``molrecon train``."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import molrecon
from molrecon.training.configuration import read_config

from .conftest import phantom


@pytest.fixture
def config(tmp_path: Path) -> Path:
    image = phantom().numpy()
    for name in ("images", "others"):
        np.savez(tmp_path / f"{name}.npz", images=np.stack([image, 0.5 * image]))
    settings = {
        "name": "short",
        "output": str(tmp_path / "runs"),
        "model": {"network": {"kind": "cnn", "features": 4, "layers": 2}},
        "data": {
            "root": str(tmp_path),
            "train": ["images.npz"],
            "validation": ["others.npz"],
            "validation_count": 1,
        },
        "stages": [
            {
                "objective": "denoise",
                "steps": 2,
                "simulation": {
                    "size": [24, 24],
                    "batch_size": 1,
                    "coils": [2, 2],
                    "masks_per_kind": 1,
                    "calibration": [4, 4],
                },
            }
        ],
        "validate_every": 2,
        "checkpoint_every": 1,
    }
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_a_run(config, run_json, tmp_path):
    facts = run_json("train", config, "--accelerator", "cpu")
    assert facts["steps"] == 2
    assert facts["finished"] is True
    assert len(facts["curve"]) == 1
    assert facts["seconds"] > 0
    assert (tmp_path / "runs" / "short" / "checkpoint.safetensors").is_file()
    if facts["weights"] is not None:
        assert molrecon.load(facts["weights"]).monotonicity == 0.02


def test_a_run_that_was_stopped_goes_on(config, run_json, run, tmp_path):
    other = tmp_path / "elsewhere"
    common = ("train", config, "--accelerator", "cpu", "--output", other)
    facts = run_json(*common, "--time-limit", 1e-9)
    assert facts["steps"] == 0
    assert facts["finished"] is False
    assert facts["weights"] is None
    facts = run_json(*common, "--resume")
    assert facts["steps"] == 2
    assert (other / "short" / "log.jsonl").is_file()
    assert not (tmp_path / "runs").exists()


def test_figures_for_people(config, run):
    result = run("train", config, "--accelerator", "cpu")
    assert result.exit_code == 0
    assert "2 of 2" in result.stdout
    assert "validation PSNR" in result.stderr
    assert "Lipschitz value" in result.stderr


def test_refusals(config, refused, tmp_path):
    refused("train", tmp_path / "none.yaml", naming=["none.yaml"])
    refused("train", config, "--time-limit", -1, naming=["--time-limit"])
    refused("train", config, "--devices", "some", naming=["--devices"])
    refused("train", config, "--accelerator", "abacus", naming=["abacus", "cpu"])
    text = config.read_text()
    config.write_text(text.replace("denoise", "dream"))
    refused("train", config, naming=["short.yaml", "objective"])
    on_cpu = ("train", config, "--accelerator", "cpu")
    config.write_text(text.replace("images.npz", "none.npz"))
    refused(*on_cpu, naming=["none.npz"])
    config.write_text(text.replace("others.npz", "images.npz"))
    refused(*on_cpu, naming=["images.npz", "training", "validation"])
    # Before a step, which of such a size takes minutes whatever the limit.
    config.write_text(text.replace("- 24\n", "- 4096\n"))
    refused(*on_cpu, "--time-limit", 3, naming=["4096 × 4096", "larger", "48 × 40"])
    config.write_text("steps: [")
    refused("train", config, naming=["short.yaml", "YAML"])


def test_a_run_folder_that_cannot_be_made(config, refused):
    refused("train", config, "-o", config, naming=["short.yaml", "is not a folder"])
    refused("train", config, "-o", config / "below", naming=["short.yaml"])


def test_the_way_on_is_said_with_its_folder(config, run, tmp_path):
    other = tmp_path / "elsewhere"
    command = ("train", config, "--accelerator", "cpu", "--output", other)
    told = " ".join(run(*command, "--resume", "--time-limit", 1e-9).stderr.split())
    assert "starts from the beginning" in told
    assert "--resume --output" in told
    told = " ".join(run(*command, "--resume").stderr.split())
    assert "starts from the beginning" not in told


def test_an_interruption(config, run, monkeypatch):
    from molrecon.training.loop import Trainer

    def interrupted(self, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run", interrupted)
    result = run("train", config, "--accelerator", "cpu")
    assert result.exit_code == 130
    assert result.stdout == ""
    assert "--resume" in result.stderr
    assert "interrupted" in result.stderr


def test_a_dry_run_writes_nothing(config, run, run_json, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    facts = run_json("train", config, "--accelerator", "cpu", "--dry-run")
    (stage,) = facts["stages"]
    assert (stage["objective"], stage["steps"]) == ("denoise", 2)
    assert (facts["training_files"], facts["validation_images"]) == (1, 1)
    weights = read_config(config).model.build().parameters()
    assert facts["weights"] == sum(one.numel() for one in weights)
    assert facts["seconds"] >= 2 * stage["seconds_per_step"] > 0
    assert facts["peak_memory"] > 1e7
    result = run("train", config, "--accelerator", "cpu", "--dry-run")
    assert "not run" in result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_processor_without_16_bits_is_named(config, run, monkeypatch):
    config.write_text(config.read_text() + "precision: bf16-mixed\n")
    for fast in (True, False):
        monkeypatch.setattr("molrecon.networks.precision.computes_bf16", lambda device, f=fast: f)
        told = run("train", config, "--accelerator", "cpu", "--dry-run")
        assert told.exit_code == 0
        assert ("no arithmetic of 16 bits" in told.stderr) is not fast
