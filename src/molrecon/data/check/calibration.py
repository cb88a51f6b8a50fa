"""Calibration data that were measured by themselves, against the samples of the scan."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.data.check.kind import only_part
from molrecon.data.scan import sampled
from molrecon.operators.fourier import centred_slices

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

LEAST, CERTAIN = 0.65, 0.15
"""Correlation of data of the same coils and object below which that is doubtful, and below which it
is not so: another contrast changes weights and slow phases. With phases up to 3 it is 0.68, and of
mirrored data 0.62."""
FEWEST, WIDTH, REACH = 16, 24, 3


def check_calibration(evidence: Evidence) -> Iterator[Finding]:
    """Find calibration data that are not of the coils, place or orientation of the scan."""
    scan = evidence.scan
    if scan.calibration is None or scan.kspace.shape[1] < 2:
        return
    part = only_part(scan.calibration)
    if part is not None:
        yield Finding(
            "calibration",
            "refused",
            f"all values of the calibration data are {part}",
            "they are a magnitude or one of the two parts, and coil maps estimated from them would "
            "be those of the object overlaid with its mirror image",
            "give real and imaginary part as complex numbers, or along the last axis (calibration)",
        )
        return
    kspace = scan.kspace
    if scan.axes.time:
        kspace = kspace.sum(2) / sampled(kspace).sum(2).clamp_min(1)
    data = scan.calibration.expand(len(kspace), *scan.calibration.shape[1:])
    # Those of one slice may serve its neighbours, too.
    each = [correlation(kspace[n : n + 1], data[n : n + 1]) for n in range(len(kspace))]
    share = max((one for one in each if one is not None), default=1.0)
    if share >= LEAST:
        return
    yield Finding(
        "calibration",
        "refused" if share < CERTAIN else "warning",
        f"calibration data and k-space have a correlation of {share:.2f} where both were measured",
        "they are of other coils, or of coils in another order, mirrored, far off their centre or "
        "of another object",
        "give calibration data of this scan, zero frequency at n // 2 (calibration)",
    )


def correlation(kspace: Tensor, calibration: Tensor) -> float | None:
    """Return how alike two measurements of the centre of k-space are, from 0 to 1.

    It is the magnitude of the correlation of all coils and samples that both measured, the largest
    for centres that are off by up to three samples (one in 3D); None where fewer than 16 samples
    are in both.

    Parameters
    ----------
    kspace
        ``(batch, coil, *spatial)``, zero where it was not measured.
    calibration
        ``(batch or 1, coil, *widths)``, at most as wide.
    """
    shape, widths = kspace.shape[2:], [min(n, WIDTH) for n in calibration.shape[2:]]
    every: tuple[slice, ...] = (slice(None), slice(None))
    first = kspace[every + centred_slices(shape, widths)]
    second = calibration[every + centred_slices(calibration.shape[2:], widths)].expand_as(first)
    found = []
    # In three dimensions there are too many ways to be off by more than one.
    reach = REACH if len(widths) < 3 else 1
    for by in product(range(-reach, reach + 1), repeat=len(widths)):
        moved = second.roll(by, tuple(range(2, second.ndim)))
        both = sampled(first) & sampled(moved)
        if int(both.sum()) < FEWEST:
            return None
        one, other = first * both, moved * both
        size = torch.linalg.vector_norm(one) * torch.linalg.vector_norm(other)
        found.append(float((one.conj() * other).sum().abs() / size.clamp_min(1e-30)))
    return max(found)
