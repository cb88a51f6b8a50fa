"""A small scan, its files, and a way to run commands on them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import molrecon
from molrecon.cli.main import app
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.operators.fourier import fft_centred
from molrecon.reconstructors.configuration import ModelConfig

SHAPE = (48, 40)
COILS = 4
SIGMA = 0.01

Run = Callable[..., Result]


@dataclass(frozen=True)
class Files:
    """The files every test may read."""

    image: Path
    full: Path
    under: Path
    reference: Path
    model: Path


def phantom() -> torch.Tensor:
    """Draw ellipses with a bar, peak 1; edges are soft, so that the outer k-space shows noise."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")

    def ellipse(height: float, width: float) -> torch.Tensor:
        return torch.sigmoid(14 * (1 - ((y / height) ** 2 + (x / width) ** 2).sqrt()))

    image = 0.5 * ellipse(0.75, 0.65) + 0.3 * ellipse(0.55, 0.45) + 0.2 * ellipse(0.2, 0.3)
    return image / image.max()


def tiny_model(path: Path, **settings: Any) -> Path:
    """Write a model whose network contracts strongly."""
    config = ModelConfig.model_validate(
        {"network": {"kind": "cnn", "features": 4, "layers": 2}, "monotonicity": 0.5} | settings
    )
    torch.manual_seed(0)
    model = config.build()
    with torch.no_grad():
        for name, weights in model.network.named_parameters():
            weights.mul_(0.5 if name.endswith("weight") else 0.0)
    return molrecon.save(model, path, config, about={"name": "tiny", "description": "a test"})


def small_comparison(root: Path, **changes: Any) -> dict[str, Any]:
    """Return settings of a comparison on the full scan ``full.npy`` of a folder."""
    scans = {"kind": "full-scans", "files": ["full.npy"], "accelerations": [2], "calibration": 12}
    return {
        "name": "small",
        "root": str(root),
        "image_sets": [{"name": "scans", **scans, "seeds": [0]}],
        "methods": [{"method": "sense"}, {"method": "zero-filled"}],
        "bootstrap": {"resamples": 100},
        "figures": [],
        **changes,
    }


@pytest.fixture(scope="session")
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture(scope="session")
def run(runner: CliRunner) -> Run:
    """Run a command in this process."""

    def call(*arguments: object) -> Result:
        result = runner.invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture(scope="session")
def run_json(run: Run) -> Callable[..., dict[str, Any]]:
    """Run a command with --json and parse what it prints."""

    def call(*arguments: object) -> dict[str, Any]:
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        values: dict[str, Any] = json.loads(result.stdout, parse_constant=_refuse)
        return values

    return call


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Files:
    folder = tmp_path_factory.mktemp("files")
    found = Files(
        **{
            name: folder / file
            for name, file in {
                "image": "image.npy",
                "full": "full.npy",
                "under": "under.npz",
                "reference": "reference.npy",
                "model": "tiny.safetensors",
            }.items()
        }
    )
    generator = torch.Generator().manual_seed(0)
    image = phantom()
    maps = simulate_coil_maps(SHAPE, COILS, generator=generator)
    kspace = add_noise(fft_centred(maps * image, 2), SIGMA, generator=generator)
    np.save(found.image, image.numpy())
    np.save(found.full, kspace.numpy())
    tiny_model(found.model)
    result = run(
        "simulate",
        found.full,
        "--acceleration",
        2,
        "--calibration",
        16,
        "-o",
        found.under,
        "--reference",
        found.reference,
    )
    assert result.exit_code == 0, result.stderr
    return found


@pytest.fixture
def refused(run: Run, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused; return its one sentence."""

    def call(*arguments: object, naming: Sequence[object] = ()) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("Error: ")
        assert "Traceback" not in result.stderr
        for word in naming:
            assert str(word) in lines[0]
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return lines[0]

    return call
