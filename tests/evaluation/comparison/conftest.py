"""A small comparison: two scans of which one has two slices, and settings for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.evaluation.comparison import Comparison, ComparisonConfig, compare, prepare
from molrecon.operators.fourier import fft_centred

SHAPE = (32, 28)


def object_image(seed: int, shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    """Draw a soft ellipse with a seeded texture."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = torch.sigmoid(12 * (1 - ((y / 0.8) ** 2 + (x / 0.7) ** 2).sqrt()))
    return inside * (1 + 0.4 * torch.sin(5 * x + seed) * torch.cos(7 * y - seed)) / 1.4


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scans, slices and volumes."""
    root = tmp_path_factory.mktemp("data")
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(SHAPE, 3, generator=generator)
    for name, count in (("one", 1), ("two", 2)):
        images = torch.stack([object_image(seed) for seed in range(count)])[:, None]
        kspace = add_noise(fft_centred(maps * images, 2), 0.01, generator=generator)
        np.save(root / f"{name}.npy", kspace.numpy())
    np.save(root / "single.npy", kspace[:1, :1].numpy())
    stack = torch.stack([object_image(seed, (36, 30)) for seed in range(3)]).numpy()
    np.savez(root / "slices.npz", T1w=stack, T2w=1 - 0.5 * stack)
    return root


@pytest.fixture
def settings(data: Path) -> dict[str, Any]:
    """Settings as a file would hold them."""
    return {
        "name": "test",
        "root": str(data),
        "image_sets": [
            {
                "name": "scans",
                "kind": "full-scans",
                "files": ["one.npy", "two.npy"],
                "accelerations": [2],
                "calibration": 10,
                "seeds": [0, 1],
            }
        ],
        "methods": [{"method": "zero-filled"}, {"method": "sense", "label": "SENSE"}],
        "bootstrap": {"resamples": 200},
        "figures": [],
    }


Run = Callable[..., Comparison]


@pytest.fixture
def run() -> Run:
    """Run a comparison in this process."""

    def call(settings: dict[str, Any], folder: Path, **options: Any) -> Comparison:
        plan = prepare(ComparisonConfig.model_validate(settings), folder)
        return compare(plan, **{"workers": 1, **options})

    return call
