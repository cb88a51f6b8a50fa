"""What the benchmarks share: where the data lie, and how images are compared."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from molrecon import Scan, read_scan
from molrecon.evaluation.metrics import psnr


def data_root() -> Path:
    """The folder with the real data, from the environment."""
    root = os.environ.get("MOLRECON_DATA")
    if root is None:
        sys.exit("set MOLRECON_DATA to the folder that holds the benchmark data")
    return Path(root)


def brain() -> Scan:
    """The real 8-coil scan, k-space (1, 8, y, x)."""
    return read_scan(data_root() / "parallel_mri/brain_8coil/full.cfl")


def magnitude_psnr(estimate: Tensor, reference: Tensor) -> float:
    """PSNR of magnitudes in dB, range = the reference's maximum; of volumes, mean over slices."""
    return psnr(estimate, reference).value


def oracle(
    reconstruct: Callable[[float], Tensor],
    reference: Tensor,
    start: float,
    factor: float = 10**0.25,
) -> float:
    """Best PSNR over a weight on a geometric grid, extended until its maximum is inside."""
    values: dict[int, float] = {}

    def value(k: int) -> float:
        if k not in values:
            values[k] = magnitude_psnr(reconstruct(start * factor**k), reference)
        return values[k]

    best = max((-1, 0, 1), key=value)
    while True:
        better = max((best - 1, best, best + 1), key=value)
        if better == best:
            return value(best)
        best = better


def oracle_image(
    reconstruct: Callable[[float], Tensor],
    reference: Tensor,
    start: float,
    factor: float = 10**0.25,
) -> Tensor:
    """The image at the weight that `oracle` finds best."""
    images: dict[float, Tensor] = {}

    def run(weight: float) -> Tensor:
        images[weight] = reconstruct(weight)
        return images[weight]

    best = oracle(run, reference, start, factor)
    return next(one for one in images.values() if magnitude_psnr(one, reference) == best)


def remembered(
    cache: Path | None, key: str, compute: Callable[[], Iterable[float]]
) -> tuple[float, ...]:
    """Figures that take minutes, from a JSON file if they are there, and written to it if not."""
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    if key not in known:
        known[key] = list(compute())
        if cache:
            cache.write_text(json.dumps(known, indent=1))
    return tuple(known[key])


def summary(values: Iterable[float]) -> str:
    """Mean ± standard deviation."""
    t = torch.tensor(list(values))
    return f"{t.mean():.2f} ± {t.std() if len(t) > 1 else 0:.2f}"
