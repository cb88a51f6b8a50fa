"""The calibration region: the fully sampled block around zero frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError, shape_text
from molrecon.operators.fourier import centred_slices

SMALLEST_WIDTH = 8
"""Narrowest usable region: 25 positions of the smallest kernel in use, 4 samples per axis."""


def calibration_region(mask: Tensor) -> tuple[slice, ...]:
    """Find the largest fully sampled block centred on zero frequency (index ``n // 2``).

    The largest block of equal width on all axes is found first and then extended along each axis in
    turn as far as it stays fully sampled; so a mask of lines gives the whole readout. In a mask
    ``(batch or 1, 1, *spatial)`` of several items the block is sampled in all. A block narrower
    than 8 samples on an axis (or than the axis) is refused: coil sensitivities cannot be estimated
    from less.
    """
    sampled = mask.to(torch.bool).all(dim=0).all(dim=0)
    levels = [_width_to_reach(n, sampled.device) for n in sampled.shape]
    holes = [
        level[index] for level, index in zip(levels, (~sampled).nonzero(as_tuple=True), strict=True)
    ]
    widths = list(sampled.shape)
    if holes[0].numel() > 0:
        common = int(torch.stack(holes).amax(dim=0).min()) - 1
        widths = [min(common, n) for n in sampled.shape]
        for axis, n in enumerate(sampled.shape):
            beside = torch.ones_like(holes[axis], dtype=torch.bool)
            for other, hole in enumerate(holes):
                if other != axis:
                    beside &= hole <= widths[other]
            widths[axis] = int(holes[axis][beside].min()) - 1 if bool(beside.any()) else n
    if any(width < min(SMALLEST_WIDTH, n) for width, n in zip(widths, sampled.shape, strict=True)):
        raise InputError(
            f"The k-space has no calibration region: the fully sampled block at its centre is "
            f"{shape_text(widths)} samples, and at least {SMALLEST_WIDTH} per axis are "
            "needed to estimate coil maps; give the coil maps."
        )
    return centred_slices(sampled.shape, widths)


def crop_calibration(kspace: Tensor, mask: Tensor, max_size: int = 24) -> Tensor:
    """Cut the calibration region, at most ``max_size`` samples wide, out of k-space.

    K-space is ``(batch, coil, *spatial)``, its mask ``(batch or 1, 1, *spatial)``, and the result
    ``(batch, coil, *widths)``, zero frequency at ``n // 2`` of each. See `calibration_region`.
    """
    if mask.shape[2:] != kspace.shape[2:]:
        raise InputError(
            f"mask: found shape {tuple(mask.shape)}, expected {(1, 1, *kspace.shape[2:])} to fit "
            "the k-space; give the mask of the same scan."
        )
    region = calibration_region(mask)
    widths = [min(part.stop - part.start, max_size) for part in region]
    every: tuple[slice, ...] = (slice(None), slice(None))
    return kspace[every + centred_slices(kspace.shape[2:], widths)]


def _width_to_reach(n: int, device: torch.device) -> Tensor:
    """Return, for every index of an axis, the width of the smallest centred block holding it."""
    offset = torch.arange(n, device=device) - n // 2
    return torch.where(offset < 0, -2 * offset, 2 * offset + 1)


def windowed(block: Tensor, ndim: int) -> Tensor:
    """Multiply the last axes of a calibration region by a Hann window without its zeros.

    It keeps what rings in the image of so few samples low.
    """
    for axis in range(-ndim, 0):
        n = block.shape[axis]
        window = torch.hann_window(
            n + 2, periodic=False, dtype=block.real.dtype, device=block.device
        )
        block = block * window[1:-1].reshape(-1, *[1] * (-axis - 1))
    return block
