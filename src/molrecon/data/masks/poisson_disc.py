"""Variable-density Poisson-disc points: random, but never closer than a local spacing."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from molrecon.data.masks.geometry import (
    BoolArray,
    FloatArray,
    density_scale,
    polynomial_density,
)

START = 1.1
"""First minimum distance over the mean spacing: the densest packing of discs has 1.07."""
SHRINK = 0.95
"""Factor between one round of darts and the next."""

IntArray = NDArray[np.int64]


def mean_spacing(centre: BoolArray, count: int) -> FloatArray:
    """Return the mean spacing, in samples, that the budget allows at every position.

    It is ``density**(-1 / ndim)`` with a density proportional to ``(1 - r)**2`` that spends
    ``count`` points, the calibration block included.
    """
    density = polynomial_density(centre.shape)
    scale = density_scale(density[~centre], count - int(centre.sum()))
    return np.asarray((scale * density) ** (-1.0 / centre.ndim))


def poisson_disc(centre: BoolArray, count: int, generator: np.random.Generator) -> BoolArray:
    """Draw exactly ``count`` points, the calibration block included, by dart throwing.

    Darts are thrown in a random order; a point blocks the disc around it whose radius is the local
    minimum distance. When no dart fits any more, all distances shrink by 5 % and the throwing goes
    on, until the budget is spent. So the count is exact without removing or adding points against
    the rule: any two points that are not both in the calibration block, where ``centre`` is true,
    are at least ``f * min(d1, d2)`` apart, where ``d`` is `mean_spacing` at each and ``f`` the last
    factor reached (0.65 to 0.9). (McCool, Fiume, "Hierarchical Poisson disk sampling
    distributions", Graphics Interface 1992, 94.)
    """
    if count == int(centre.sum()):
        return centre.copy()
    spacing = mean_spacing(centre, count)
    margin = math.ceil(START * float(spacing.max()))
    padded_shape = tuple(n + 2 * margin for n in centre.shape)
    inside = tuple(slice(margin, margin + n) for n in centre.shape)

    flat = np.arange(math.prod(padded_shape)).reshape(padded_shape)[inside]
    spacing_at = np.zeros(padded_shape)
    spacing_at[inside] = spacing
    spacing_at = spacing_at.ravel()
    candidates = flat[~centre]
    candidates = candidates[np.argsort(generator.random(candidates.size), kind="stable")]
    points: list[int] = flat[centre].tolist()

    factor = START
    while len(points) < count:
        squared = np.ceil((factor * spacing_at) ** 2).astype(np.int64)
        blocked = np.zeros(spacing_at.size, dtype=bool)
        _block_discs(blocked, np.asarray(points, dtype=np.int64), squared, padded_shape)
        for point in candidates[~blocked[candidates]].tolist():
            if blocked[point]:
                continue
            points.append(point)
            if len(points) == count:
                break
            blocked[point + _disc_offsets(int(squared[point]), padded_shape)] = True
        factor *= SHRINK

    mask = np.zeros(spacing_at.size, dtype=bool)
    mask[points] = True
    return mask.reshape(padded_shape)[inside]


@functools.lru_cache(maxsize=4096)
def _disc_offsets(squared_radius: int, padded_shape: tuple[int, ...]) -> IntArray:
    """Return flat offsets of the positions nearer than the radius (integer squared distances)."""
    reach = math.isqrt(squared_radius)
    steps = np.indices((2 * reach + 1,) * len(padded_shape)).reshape(len(padded_shape), -1) - reach
    strides = [math.prod(padded_shape[axis + 1 :]) for axis in range(len(padded_shape))]
    near = (steps**2).sum(axis=0) < squared_radius
    return np.asarray(strides @ steps[:, near], dtype=np.int64)


def _block_discs(
    blocked: BoolArray, points: IntArray, squared: IntArray, padded_shape: tuple[int, ...]
) -> None:
    """Block the disc of every point, all points of one radius at a time."""
    for key in np.unique(squared[points]):
        centres = points[squared[points] == key]
        blocked[centres[:, None] + _disc_offsets(int(key), padded_shape)] = True
