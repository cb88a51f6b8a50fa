"""What the benchmarks share: the real scan, undersampled, and how images are compared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from molrecon import CartesianMRI, combine_coils, estimate_coil_maps, make_mask, read_scan


def data_root() -> Path:
    """The folder with the real data, from the environment."""
    root = os.environ.get("MOLRECON_DATA")
    if root is None:
        sys.exit("set MOLRECON_DATA to the folder that holds the benchmark data")
    return Path(root)


@dataclass(frozen=True)
class Undersampled:
    """A fully sampled scan, undersampled afterwards, and the full scan combined as reference."""

    y: Tensor
    A: CartesianMRI
    reference: Tensor


def undersample(
    kspace: Tensor, kind: str, acceleration: float, seed: int, calibration: int = 24
) -> Undersampled:
    """Undersample; the maps come from the calibration region alone, the reference uses them."""
    mask = make_mask(
        kind, tuple(kspace.shape[2:]), acceleration, calibration=calibration, seed=seed
    )[None, None]
    y = kspace * mask
    maps = estimate_coil_maps(y, mask)
    return Undersampled(y, CartesianMRI(maps, mask), combine_coils(kspace, maps))


def brain() -> Tensor:
    """K-space of the real 8-coil scan, (1, 8, y, x)."""
    return read_scan(data_root() / "parallel_mri/brain_8coil/full.cfl").kspace


def magnitude_psnr(estimate: Tensor, reference: Tensor) -> float:
    """PSNR of magnitudes in dB; range = the reference's maximum."""
    peak = float(reference.abs().max())
    error = (estimate.abs() - reference.abs()).square().mean()
    return float(10 * torch.log10(peak**2 / error))


def oracle(reconstruct: Callable[[float], Tensor], reference: Tensor, start: float) -> float:
    """Best PSNR over a weight on a grid of factors √10, extended until its maximum is inside."""
    values: dict[int, float] = {}

    def value(k: int) -> float:
        if k not in values:
            values[k] = magnitude_psnr(reconstruct(start * 10 ** (k / 2)), reference)
        return values[k]

    best = max((-1, 0, 1), key=value)
    while True:
        better = max((best - 1, best, best + 1), key=value)
        if better == best:
            return value(best)
        best = better


def summary(values: Iterable[float]) -> str:
    """Mean ± standard deviation."""
    t = torch.tensor(list(values))
    return f"{t.mean():.2f} ± {t.std() if len(t) > 1 else 0:.2f}"
