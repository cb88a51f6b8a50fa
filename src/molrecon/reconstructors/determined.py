"""λ and thresholds of samplings that determine the image well."""

from __future__ import annotations

import math

from torch import Tensor

from molrecon.operators.base import LinearOperator

WELL, POORLY = 0.0085, 0.0125
"""`LinearOperator.undetermined` up to which the factors count, and from which none does.

On persons that were trained on smaller λ and thresholds gain up to the first, and lose above the
second (docs/training.md).
"""
NOTHING = 5e-4
"""`LinearOperator.undetermined` below which the factors fade out: a full scan has none.

There noise is all there is to remove, and larger thresholds keep more contrast for as much of it.
"""
MUCH = 0.25
"""`LinearOperator.measured_share` from which λ falls further, with its fourth root."""
THRESHOLD_POWER = 1.6
"""Thresholds have ``determined_factor`` to this power: what is smoothed falls with τ/λ."""


def determined_factors(A: LinearOperator, factor: float) -> tuple[Tensor, Tensor]:
    """Return the factors on λ and on thresholds that suit what A determines, ``(batch,)`` each.

    F = I − H has a slope of at most 2, so with a smaller λ it removes more noise, and smaller
    thresholds keep what it would smooth of the image. Both together gain where the measurements
    determine the image, and lose where they hold parts of it so weakly that a small λ gives them
    up. Thresholds are those of about 4×; where more is measured than a fourth, the data of more
    directions pull at the image, and λ is smaller by the fourth root of that. Where nothing is
    undetermined neither changes.

    Parameters
    ----------
    A
        The forward operator.
    factor
        The factor on λ where A determines the image and measures up to a fourth of it, in (0, 1].
    """
    share = A.undetermined.clamp(WELL, POORLY)
    known = (POORLY / share).log() / math.log(POORLY / WELL)
    known = known * (A.undetermined / NOTHING).clamp(max=1)
    common = math.log(factor) * known
    more = 0.25 * (MUCH / A.measured_share.clamp(min=MUCH)).log() * known
    return (common + more).exp(), (THRESHOLD_POWER * common).exp()
