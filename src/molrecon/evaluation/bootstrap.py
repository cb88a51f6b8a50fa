"""Paired differences with a bootstrap confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from molrecon.errors import InputError

_CHUNK = 1_000_000
"""Numbers drawn at once."""


@dataclass(frozen=True)
class Interval:
    """The mean of paired differences and where it may lie."""

    mean: float  # over the images
    low: float  # percentile bootstrap interval; NaN if there are fewer than two units
    high: float
    confidence: float  # level of the interval
    images: int  # number of differences
    units: int  # number of units that were resampled
    # Where all images are of one group, the interval covers other images of that group only.
    unit: str
    resamples: int  # number of bootstrap samples


def paired_interval(
    differences: Sequence[float],
    groups: Sequence[str],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bound the mean difference by resampling groups, since images of one are not independent.

    Whole groups are drawn with replacement, and the mean is taken over all images drawn (the
    cluster bootstrap). If there is one group only, its images are drawn. The order of the
    differences plays no part. (Davison, Hinkley, "Bootstrap methods and their application",
    Cambridge 1997, section 3.8.)

    Parameters
    ----------
    differences
        Finite differences of a metric, one per image.
    groups
        The scan or subject of every image.
    resamples, seed
        Number of bootstrap samples, and the seed of their draw.
    confidence
        Probability, between 0 and 1, with which intervals made like this hold the true mean.
    """
    unit, parts = _units(differences, groups)
    mean = math.fsum(differences) / len(differences)
    low = high = math.nan
    if len(parts) > 1:
        # Exact sums make the result independent of the order.
        sums = np.array([math.fsum(part) for part in parts])
        counts = np.array([len(part) for part in parts])
        means = _resampled_means(sums, counts, resamples, seed)
        tail = (1 - confidence) / 2
        low, high = (float(value) for value in np.quantile(means, (tail, 1 - tail)))
    return Interval(mean, low, high, confidence, len(differences), len(parts), unit, resamples)


def _units(differences: Sequence[float], groups: Sequence[str]) -> tuple[str, list[list[float]]]:
    """Return what is resampled, ``"group"`` or ``"image"``, and the differences of each."""
    if not differences or len(differences) != len(groups):
        raise InputError(
            f"bootstrap: found {len(differences)} differences and {len(groups)} groups, expected "
            "equal numbers of at least one."
        )
    if not all(map(math.isfinite, differences)):
        raise InputError("bootstrap: a difference is not finite; leave that image out.")
    by_group: dict[str, list[float]] = {}
    for value, group in zip(differences, groups, strict=True):
        by_group.setdefault(group, []).append(value)
    if len(by_group) > 1:
        return "group", [by_group[name] for name in sorted(by_group)]
    return "image", [[value] for value in sorted(differences)]


def _resampled_means(
    sums: np.ndarray[tuple[int], np.dtype[np.float64]],
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
    resamples: int,
    seed: int,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    generator = np.random.default_rng(seed)
    n = len(sums)
    means = []
    for start in range(0, resamples, max(1, _CHUNK // n)):
        rows = min(resamples - start, max(1, _CHUNK // n))
        drawn = generator.integers(0, n, size=(rows, n))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)
