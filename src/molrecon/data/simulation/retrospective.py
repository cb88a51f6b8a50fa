"""Retrospective undersampling of a fully sampled scan."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.coil_maps import combine_coils, estimate_coil_maps
from molrecon.data.masks import make_mask
from molrecon.data.scan import Scan
from molrecon.errors import InputError

FULL = 0.75
"""Least share of samples within their bounding box: scanners may cut the corners (π/4 remains)."""


def undersample(
    scan: Scan,
    acceleration: float,
    *,
    mask_kind: str = "variable-density",
    calibration: int = 24,
    seed: int = 0,
) -> Scan:
    """Return the scan as if only a part of k-space had been measured, the same in every item.

    It is fully sampled, see `make_mask` for the arguments; zero padding at the edges and cut
    corners are accepted and stay unmeasured.
    """
    if scan.axes.time:
        raise InputError(
            f"The scan {scan.source} is one of frames, which take a mask each, but one of slices "
            "or volumes was expected; undersample it with masks of your own."
        )
    require_full(scan.mask, scan.source)
    spatial = scan.kspace.shape[2:]
    drawn = make_mask(mask_kind, spatial, acceleration, calibration=calibration, seed=seed)
    mask = drawn & scan.mask
    return replace(
        scan,
        kspace=scan.kspace * mask,
        mask=mask,
        mask_given=True,
        notes=(*scan.notes, "undersampled afterwards"),
    )


def reference_image(full: Scan, undersampled: Scan) -> Tensor:
    """Return the image ``(batch, 1, *spatial)`` that reconstructions are compared with.

    It is the fully sampled scan combined with the coil maps that a reconstruction will use: those
    of the scan, or else those estimated from the calibration region that is left.
    """
    maps = undersampled.coil_maps
    if maps is None:
        maps = estimate_coil_maps(undersampled.kspace, undersampled.mask)
    return combine_coils(full.kspace, maps)


def require_full(measured: Tensor, source: str) -> None:
    """Refuse sampling masks ``(batch or 1, 1, *spatial)`` of less than a full scan.

    That is where less than `FULL` of the bounding box of the samples was measured.
    """
    for item in measured[:, 0]:
        box = item
        for axis in range(item.ndim):
            others = [other for other in range(item.ndim) if other != axis]
            lines = torch.nonzero(item.any(dim=tuple(others)) if others else item).flatten()
            box = box.narrow(axis, int(lines[0]), int(lines[-1] - lines[0]) + 1)
        share = float(box.float().mean())
        if share < FULL:
            raise InputError(
                f"The scan {source} is undersampled already ({share:.0%} of k-space between its "
                "outermost samples was measured), but a fully sampled one was expected; "
                "reconstruct it as it is, or start from the full scan."
            )
