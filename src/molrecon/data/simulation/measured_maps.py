"""Coil maps that were measured, for simulations: made smooth where there was no signal."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from molrecon.data.formats import read_array
from molrecon.data.randomness import integer, uniform
from molrecon.errors import InputError

_PARTS = (0.7, 1.0)
"""Share of the measured field of view, along each axis, that an image is given."""
_NEAR = 2.5
"""Standard deviation in pixels of the neighbourhood in which maps are compared."""
_SURE, _UNSURE = 0.985, 0.95
"""Agreement with the neighbourhood from which on a map is kept, and below which it is noise."""


@functools.lru_cache(maxsize=4)
def read_measured_maps(path: str) -> Tensor:
    """Read coil maps and replace the noise outside the body by what continues them smoothly.

    Maps estimated where there is no signal point in random directions of the coil space. A pixel is
    kept as far as its unit vector of sensitivities agrees with those around it; the rest is an
    average of what is kept, by ever wider Gaussians until all is filled. Of the three axes of the
    file's array the shortest is that of the coils; the result is complex64 ``(coil, y, x)``, root
    sum of squares 1 everywhere.
    """
    array = read_array(path, prefer=("coil_maps",))
    if array.ndim != 3 or array.dtype.kind != "c" or not (np.isfinite(array).all() and array.any()):
        raise InputError(
            f"{path}: found {array.dtype} of shape {array.shape}, expected finite complex coil "
            "maps (coil, y, x), not all zero."
        )
    maps = torch.from_numpy(np.moveaxis(array, int(np.argmin(array.shape)), 0).astype(np.complex64))
    return _filled(_unit(maps))


def varied_maps(maps: Tensor, size: tuple[int, ...], *, generator: torch.Generator) -> Tensor:
    """Take a random part of maps ``(coil, y, x)``, turned and flipped, and resample it."""
    if integer((0, 1), generator):
        maps = maps.mT
    for axis in (1, 2):
        if integer((0, 1), generator):
            maps = maps.flip(axis)
        have = maps.shape[axis]
        part = max(2, round(have * uniform(_PARTS, generator)))
        maps = maps.narrow(axis, integer((0, have - part), generator), part)
    return resized_maps(maps, size)


def resized_maps(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate maps ``(coil, y, x)`` to ``size``; their root sum of squares is 1 again."""
    parts = torch.view_as_real(maps).permute(0, 3, 1, 2)
    larger = torch.nn.functional.interpolate(
        parts, size=list(size), mode="bicubic", align_corners=True
    )
    return _unit(torch.view_as_complex(larger.permute(0, 2, 3, 1).contiguous()))


def _unit(maps: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(maps, dim=0, keepdim=True)
    unit: Tensor = maps / size.clamp_min(torch.finfo(torch.float32).tiny)
    return unit


def _filled(maps: Tensor) -> Tensor:
    agreement = torch.linalg.vector_norm(_blurred(maps, _NEAR), dim=0)
    weight = ((agreement - _UNSURE) / (_SURE - _UNSURE)).clamp(0, 1)
    kept = maps * weight
    if not bool(weight.any()):
        return maps
    # What is missing after one width is filled from the next.
    missing, filled, width = 1 - weight, kept, 2 * _NEAR
    while width < 2 * max(maps.shape[1:]):
        share = _blurred(weight[None].to(maps.dtype), width)[0].real
        around = _unit(_blurred(kept, width))
        reach = (share / 0.1).clamp(0, 1)
        filled = filled + missing * reach * around
        missing = missing * (1 - reach)
        width *= 2
    return _unit(filled)


def _blurred(maps: Tensor, width: float) -> Tensor:
    """Gaussian averages, the border repeated by nothing: what lies beyond counts as zero."""
    for axis in (1, 2):
        n = maps.shape[axis]
        place = torch.arange(n, dtype=torch.float32)
        kernel = torch.exp(-0.5 * ((place[:, None] - place) / width) ** 2)
        kernel = (kernel / (math.sqrt(2 * math.pi) * width)).to(maps.dtype)
        maps = torch.movedim(torch.tensordot(maps, kernel, dims=([axis], [0])), -1, axis)
    return maps
