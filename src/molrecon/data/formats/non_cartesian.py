"""Radial samples and trajectories, told from k-space on a grid by their numbers."""

from __future__ import annotations

import numpy as np

from molrecon.data.arrays import Array
from molrecon.errors import InputError

_LEAST = 32
"""Fewest lines and samples that are judged."""
_FLAT, _PEAKED = 3.0, 8.0
"""Strongest line over the mean one: below, all are alike; above, some stand out."""
_NEAR = 2
_PLANES = 64
_SHARE = 0.95


def non_cartesian(source: str, found: str) -> InputError:
    """Return the refusal of samples that do not lie on a grid."""
    return InputError(
        f"{source} is not Cartesian ({found}), expected samples on a grid; give radial, spiral and "
        "other samples with the file that says where they lie (trajectory)."
    )


def require_cartesian(trajectory: str, source: str) -> None:
    """Refuse a scan whose header names another trajectory."""
    if trajectory != "cartesian":
        raise non_cartesian(source, f"its trajectory is {trajectory}")


def require_grid(kspace: Array, source: str) -> None:
    """Refuse complex ``(…, y, x)`` whose lines all run through the centre, as radial spokes do.

    On a grid only the central lines hold much energy; spokes have their peaks at the same sample,
    the middle or the first, and none stands out.
    """
    if kspace.ndim < 2 or kspace.size == 0:
        return
    if kspace.size == kspace.shape[-1] * kspace.shape[-2]:
        places = kspace.reshape(kspace.shape[-2:])
        if is_trajectory(np.stack([places.real, places.imag], -1)):
            raise non_cartesian(source, "it is a trajectory")
    # Of one slice: a few coils tell as much as all slices do.
    planes = kspace.reshape(-1, *kspace.shape[-2:])[:_PLANES]
    power = np.zeros(planes.shape[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        # One by one: all together would take as much memory as they do.
        for plane in planes:
            power += np.square(np.abs(plane))
    for lines in (power, power.T):
        if _are_spokes(lines):
            raise non_cartesian(
                source, "all lines are alike, with their peak at the same sample, as spokes have it"
            )


def _are_spokes(power: Array) -> bool:
    lines = power[power.any(1)]
    if min(lines.shape) < _LEAST or not np.isfinite(lines).all():
        # What is not finite is refused by that name.
        return False
    along, across = lines.sum(0), lines.sum(1)
    if across.max() > _FLAT * across.mean() or along.max() < _PEAKED * along.mean():
        return False
    peaks = lines.argmax(1)
    return bool((np.abs(peaks - np.median(peaks)) <= _NEAR).mean() > _SHARE)


def is_trajectory(array: Array) -> bool:
    """Whether real ``(line, sample, 2 or 3)`` are positions in k-space.

    They are if the lines are straight, sampled evenly, and run in several directions.
    """
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[2] not in (2, 3):
        return False
    if min(array.shape[:2]) < 4 or not np.isfinite(array).all():
        return False
    for lines in (array, array.swapaxes(0, 1)):
        steps = np.diff(lines, axis=1)
        mean = steps.mean(1, keepdims=True)
        length = np.linalg.norm(mean, axis=2)
        even = np.abs(steps - mean).max() < 1e-3 * length.max()
        if even and length.min() > 0.1 * length.max() and np.ptp(mean[:, 0], axis=0).max() > 0:
            return True
    return False
