"""A mask against the samples: zeros inside it, data outside it, a mask that is transposed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.data.scan import Scan, sampled

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

GRAVE = 0.1
"""Share of the samples inside the mask, zeros between measured ones, that contradicts it. Numbers
of few bits are exactly zero now and then, and padding has no measured samples beyond it."""
ROUNDING, LEAST_ROUNDED = 1e-6, 0.05
"""Magnitude over the peak below which single precision holds no signal, and the least share of
samples below it: noise of real scans is above 1e-5."""
STRAIGHT = 0.8
"""Share of a line whose neighbours are not tiny from which on it is an edge: what falls off does so
around the centre."""
_RIGHT = "give the right mask (mask); if forced, zeros count as not measured"


def zeros_inside(scan: Scan) -> Tensor:
    """Return where the mask says measured and every coil is exactly zero, like the mask."""
    return scan.mask & ~sampled(scan.kspace)


def between(measured: Tensor) -> Tensor:
    """Return what lies between measured samples along one of the last two axes."""
    inside = torch.zeros_like(measured)
    for axis in (-1, -2):
        before = measured.cumsum(axis) > 0
        after = measured.flip(axis).cumsum(axis).flip(axis) > 0
        inside |= before & after
    return inside


def without_padding(scan: Scan) -> Scan:
    """Return the scan with zeros that the mask calls measured taken as not measured."""
    if not scan.mask_given:
        return scan
    zeros = zeros_inside(scan)
    if not bool(zeros.any()):
        return scan
    return replace(scan, mask=scan.mask & ~zeros)


def check_sampling(evidence: Evidence) -> Iterator[Finding]:
    """Find contradictions between mask and samples."""
    scan = evidence.scan
    yield from _rounded(scan)
    if not scan.mask_given:
        return
    measured, zeros = sampled(scan.kspace), zeros_inside(scan)
    if not bool(zeros.any()):
        yield from _outside(scan)
        return
    inside = float(scan.mask.expand_as(measured).sum())
    stored = measured if scan.outside is None else measured | scan.outside
    holes = float((zeros & between(stored)).sum()) / inside
    share = float(zeros.sum()) / inside
    if holes <= GRAVE:
        kind = "zeros between measured samples" if holes > share / 2 else "zero padding"
        yield Finding(
            "mask",
            "note",
            f"{share:.1%} of the samples inside the mask are zero",
            f"{kind}, not measured",
            "they are taken as not measured",
        )
        return
    seen = f"{share:.0%} of the samples inside the mask are exactly zero"
    if _fits_transposed(scan, stored):
        yield Finding(
            "mask",
            "refused",
            f"{seen}, and all samples lie inside the transposed mask",
            "the mask is transposed",
            "give the mask with its last two axes exchanged (mask)",
        )
        return
    outside = "" if scan.outside is None else ", and there are samples outside it"
    yield Finding("mask", "refused", seen + outside, "the mask is of another scan", _RIGHT)


def _rounded(scan: Scan) -> Iterator[Finding]:
    """Find zeros that a transform made rounding errors of: far below, and beside, what is not."""
    largest = scan.kspace.abs().amax(1, keepdim=True)
    largest = largest / largest.max()
    inside = scan.mask & (largest > 0)
    tiny, large = inside & (largest < ROUNDING), largest > 10 * ROUNDING
    gap = inside & ~tiny & ~large
    near = torch.zeros_like(large)
    for axis in (-1, -2):
        for by in (-1, 1):
            near |= large.roll(by, axis)
    count = int(tiny.sum())
    straight = any(_edge_along(tiny, large, axis) for axis in (-1, -2))
    if (
        count > LEAST_ROUNDED * int(inside.sum())
        and int(gap.sum()) < 0.1 * count
        and (straight or int((tiny & near).sum()) > 0.1 * count)
    ):
        yield Finding(
            "mask",
            "refused",
            f"{count / inside.numel():.0%} of k-space are smaller than a millionth of its peak, "
            "beside samples that are not",
            "they were not measured, and a transform to the image and back made rounding errors of "
            "zeros",
            "give the mask (mask)",
        )


def _edge_along(tiny: Tensor, large: Tensor, axis: int) -> bool:
    """Whether a whole line of what is tiny lies beside one of what is not."""
    across = -1 if axis == -2 else -2
    known = (tiny | large).sum(across)
    beside = [(tiny & large.roll(by, axis)).sum(across) for by in (-1, 1)]
    return any(bool(((known > 0) & (one > STRAIGHT * known)).any()) for one in beside)


def _outside(scan: Scan) -> Iterator[Finding]:
    if scan.outside is not None:
        yield Finding(
            "mask",
            "note",
            f"{float(scan.outside.float().mean()):.0%} of k-space lie outside the mask",
            "the scan is undersampled afterwards",
            "samples outside the mask are left out",
        )


def _fits_transposed(scan: Scan, stored: Tensor) -> bool:
    """Whether the transposed mask is where something was measured."""
    if scan.mask.shape[-1] != scan.mask.shape[-2]:
        return False
    turned = scan.mask.transpose(-1, -2)
    return bool((stored & ~turned).sum() <= 0.01 * stored.sum()) and bool(
        (turned & ~stored).sum() <= GRAVE * turned.sum()
    )
