"""Where k-space positions lie: normalised radius, the calibration block, the density model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from molrecon.operators.fourier import centred_slices

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def normalised_radius(shape: Sequence[int]) -> FloatArray:
    """Return the distance from zero frequency (index ``n // 2``), 0 there and 1 in the corner.

    Every axis is scaled to its own extent, so contours are ellipses on a non-square grid and
    the end of one axis lies at ``1 / sqrt(ndim)``.
    """
    squared = np.zeros(tuple(shape))
    for axis, n in enumerate(shape):
        coordinate = (np.arange(n) - n // 2) / (n / 2)
        squared += np.expand_dims(coordinate**2, [a for a in range(len(shape)) if a != axis])
    return np.sqrt(squared / len(shape))


def centre_block(shape: Sequence[int], width: int) -> BoolArray:
    """Return True on the centred block of ``width`` samples per axis (at most the whole axis)."""
    block = np.zeros(tuple(shape), dtype=bool)
    block[centred_slices(shape, [min(width, n) for n in shape])] = True
    return block


def polynomial_density(shape: Sequence[int], power: float = 2.0, floor: float = 0.01) -> FloatArray:
    """Return the relative sampling density ``max((1 - r)**power, floor)``.

    ``r`` is `normalised_radius`; the floor keeps the corners in play at any power.
    Source: M. Lustig, D. Donoho, J. Pauly, Magn. Reson. Med. 58 (2007) 1182, "Sparse MRI".
    """
    return np.maximum(np.maximum(1.0 - normalised_radius(shape), 0.0) ** power, floor)


def density_scale(density: FloatArray, count: int) -> float:
    """Return ``s`` with ``sum(min(1, s * density)) = count``, by bisection on ``log s``.

    Densities are positive, and the count lies in ``1 … density.size``.
    """
    low = math.log(count / density.size / float(density.max()))
    high = -math.log(float(density.min()))
    for _ in range(60):
        middle = 0.5 * (low + high)
        if float(np.minimum(math.exp(middle) * density, 1.0).sum()) < count:
            low = middle
        else:
            high = middle
    return math.exp(high)
