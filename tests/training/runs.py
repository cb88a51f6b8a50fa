"""Tiny training runs on synthetic subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from molrecon.training.configuration import Stage, TrainingConfig, read_config
from molrecon.training.objective import Objective

SIMULATION = {
    "size": [24, 20],
    "batch_size": 2,
    "coils": [3, 4],
    "accelerations": [2.0, 3.0],
    "calibration": [6, 6],
    "masks_per_kind": 2,
    "mask_kinds": {"variable-density": 1.0},
    "sigma": [0.02, 0.05],
}


def textured(shape: tuple[int, int]) -> torch.Tensor:
    """Return a complex image of texture with a phase, ``(1, 1, *shape)``."""
    y = torch.linspace(-1, 1, shape[0])[:, None]
    texture = torch.rand(shape, generator=torch.Generator().manual_seed(9))
    return ((1 - y**2) * (0.5 + texture) * (1 + 0.3j * y))[None, None].to(torch.complex64)


def write_subjects(folder: Path) -> None:
    """Write two subjects, of blobs on a disc, as an ``.npz`` of slices each."""
    y, x = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 40), indexing="ij")
    for seed, name in enumerate(("a", "b")):
        random = np.random.default_rng(seed)
        slices = []
        for _ in range(4):
            image = (x**2 + y**2 < 0.8).astype(np.float64)
            for _ in range(6):
                centre = random.uniform(-0.6, 0.6, 2)
                distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
                image += random.uniform(-0.5, 1) * (distance < random.uniform(0.01, 0.1))
            slices.append(image.clip(0))
        np.savez(folder / f"{name}.npz", T1w=np.stack(slices))


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a run whose data lie in a folder, as they would stand in YAML."""
    return {
        "name": "tiny",
        "output": str(folder / "runs"),
        "model": {
            "network": {"kind": "cnn", "features": 4, "layers": 2},
            "weight": {"lam0": 0.02, "floor": 0.01},
            "monotonicity": 0.1,
        },
        "data": {
            "root": str(folder),
            "train": ["a.npz"],
            "validation": ["b.npz"],
            "validation_count": 1,
        },
        "stages": [
            {"objective": "denoise", "steps": 2, "simulation": SIMULATION},
            {"objective": "reconstruct", "steps": 4, "simulation": SIMULATION},
        ],
        "validate_every": 100,
        "checkpoint_every": 2,
        **changes,
    }


def write_config(folder: Path, **changes: Any) -> Path:
    """Write a configuration file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings(folder, **changes)))
    return path


def config(folder: Path, **changes: Any) -> TrainingConfig:
    """Write a configuration file and read it back."""
    return read_config(write_config(folder, **changes))


def require_slopes(module: Objective, tensors: dict[str, torch.Tensor], stage: Stage) -> None:
    """Require the gradients of all weights to be slopes of the loss, in double precision."""
    parameters = list(module.model.parameters())
    loss = module(tensors, stage, 0)["loss"]
    gradients = torch.autograd.grad(loss, parameters)
    generator = torch.Generator().manual_seed(0)
    for number in range(3):
        steps = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
        steps = [1e-6 * step / step.norm() for step in steps]
        values = []
        with torch.no_grad():
            for sign in (1, -2):
                torch._foreach_add_(parameters, steps, alpha=sign)
                values.append(module(tensors, stage, 0)["loss"].item())
            torch._foreach_add_(parameters, steps)
        slope = (values[0] - values[1]) / 2
        expected = sum((g * step).sum().item() for g, step in zip(gradients, steps, strict=True))
        # Thresholds make the loss smooth in pieces only.
        assert slope == pytest.approx(expected, rel=1e-3, abs=1e-9 * loss.item()), number
