"""Patterns without a density of their own: equispaced and uniformly random positions."""

from __future__ import annotations

import numpy as np

from molrecon.data.masks.geometry import BoolArray
from molrecon.errors import InputError


def equispaced(centre: BoolArray, count: int, generator: np.random.Generator) -> BoolArray:
    """Sample exactly ``count`` lines: the calibration lines and equispaced ones with an offset.

    The lines outside the calibration block, counted across it, are sampled at a constant (possibly
    fractional, then rounded down) spacing from a random offset, as fastMRI's "equispaced fraction"
    masks are (Zbontar et al., arXiv:1811.08839). ``centre`` is true on the calibration lines; it
    has one axis.
    """
    if centre.ndim != 1:
        raise InputError(
            f"axes: an equispaced mask undersamples one axis, found {centre.ndim}; give one axis "
            "or choose the kind 'poisson-disc', 'random' or 'variable-density'."
        )
    return spaced(centre, count, None if count == int(centre.sum()) else generator.random())


def spaced(centre: BoolArray, count: int, offset: float | None) -> BoolArray:
    """Return the calibration lines and equispaced ones with an offset in [0, 1) of their spacing.

    Arguments as in `equispaced`; the offset is not needed where no line is left.
    """
    outside = np.flatnonzero(~centre)
    wanted = count - int(centre.sum())
    mask = centre.copy()
    if wanted == 0 or offset is None:
        return mask
    steps = (np.arange(wanted) + offset) * outside.size / wanted
    mask[outside[np.minimum(steps.astype(np.int64), outside.size - 1)]] = True
    return mask


def random(centre: BoolArray, count: int, generator: np.random.Generator) -> BoolArray:
    """Sample exactly ``count`` positions: the calibration block and uniformly random ones.

    ``centre`` is true on the block; it has one axis (lines) or more.
    """
    outside = np.flatnonzero(~centre)
    wanted = count - int(centre.sum())
    mask = centre.copy()
    order = np.argsort(generator.random(outside.size), kind="stable")
    mask.ravel()[outside[order[:wanted]]] = True
    return mask
