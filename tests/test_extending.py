"""CONTRIBUTING.md holds: one of every kind is added through the public registries, and serves."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from molrecon.cli.main import app
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.evaluation.metrics import METRICS, Metric
from molrecon.operators.fourier import fft_centred


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Write a full scan of four coils of a soft disc with stripes."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 36), indexing="ij")
    image = torch.sigmoid(14 * (0.7 - (y**2 + x**2).sqrt())) * (1 + 0.3 * torch.sin(9 * x))
    maps = simulate_coil_maps((40, 36), 4, generator=generator)
    kspace = add_noise(fft_centred(maps * image, 2), 0.01, generator=generator)
    np.save(tmp_path / "full.npy", kspace.numpy())
    return tmp_path / "full.npy"


@pytest.fixture
def run() -> Callable[..., str]:
    """Run a command in this process and return what it prints."""

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return call


def _mean_error(image: torch.Tensor, reference: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return (image - reference).abs().flatten(1).mean(1)


def test_a_metric(scan, tmp_path, run, monkeypatch):
    """One registration: it stands in every table, figure caption and command."""
    added = Metric("mae", _mean_error, digits=3, higher_is_better=False, needs_range=False)
    monkeypatch.setitem(METRICS, added.name, added)
    rng = np.random.default_rng(0)
    reference = 1 + rng.random((16, 16))
    np.save(tmp_path / "a.npy", reference + 0.125)
    np.save(tmp_path / "b.npy", reference)
    pair = ("evaluate", tmp_path / "a.npy", tmp_path / "b.npy")
    assert json.loads(run(*pair, "--json"))["mae"] == pytest.approx(0.125)
    assert "MAE" in run(*pair)

    settings = {
        "name": "one more",
        "root": str(tmp_path),
        "baseline": "zero-filled",
        "image_sets": [
            {
                "name": "scans",
                "kind": "full-scans",
                "files": ["full.npy"],
                "accelerations": [2, 3],
                "calibration": 10,
                "seeds": [0, 1],
            }
        ],
        "methods": [{"method": "zero-filled"}, {"method": "sense"}],
        "bootstrap": {"resamples": 100},
        "figures": [],
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    command = ("compare", tmp_path / "settings.yaml", "-o", tmp_path / "out")
    assert "MAE" in run(*command, "--workers", 1)
    folder = tmp_path / "out"
    with (folder / "table.csv").open(newline="") as file:
        errors = {(row["image"], row["method"]): float(row["mae"]) for row in csv.DictReader(file)}
    with (folder / "differences.csv").open(newline="") as file:
        assert {row["metric"] for row in csv.DictReader(file)} == {"psnr", "ssim", "nmse", "mae"}
    worst = max(
        value - errors[image, "zero-filled"]
        for (image, method), value in errors.items()
        if method == "sense"
    )
    table = (folder / "table.md").read_text()
    overview = table.split("## scans: MAE under all conditions")[1].split("##")[0]
    assert "Largest difference to zero-filled" in overview
    assert f"| {worst:+.3f} |" in overview
    assert table.count("| SSIM | NMSE | MAE |") == 4  # two conditions: summary and differences
    assert "lower is better for NMSE and MAE" in table
    assert (folder / "table.tex").read_text().count("NMSE & MAE") == 4
    facts = json.loads(run(*command, "--json"))
    assert (facts["computed"], facts["reused"]) == (0, 8)
    for section in facts["sections"]:
        assert all("mae" in method for method in section["methods"])

    monkeypatch.setitem(METRICS, "peak", Metric("peak", _largest_error, digits=3))
    again = json.loads(run(*command, "--workers", 1, "--json"))
    assert again["computed"] == 8  # what was added since is missing in every result


def _largest_error(image: torch.Tensor, reference: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return (image - reference).abs().flatten(1).amax(1)
