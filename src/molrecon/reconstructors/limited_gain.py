"""The largest data weight for which the gain of a reconstruction is proved to be what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.errors import InputError

LEAST_GAIN = 1.25
"""Less cannot be asked: with λ = μ an image that keeps the measured values has √1.5."""

TYPICAL_NOISE = 0.01
"""Noise relative to the image peak at which λ and m change alike."""

FREE_MONOTONICITY = 0.02
"""Up to here a larger m costs next to nothing: the gain is bought with m alone first."""

LARGEST_MONOTONICITY = 0.5
"""Above it a network is no longer the one that was trained."""

HALVINGS = 60

MARGIN = 1 - 1e-6
"""Of what was asked, for the rounding of λ and of the constant in single precision."""


def require_gain(most: float) -> None:
    """Refuse a bound on the gain that no image which keeps the measured values can have."""
    require_positive("robust", most)
    if most < LEAST_GAIN:
        raise InputError(
            f"robust is {most:g}, expected at least {LEAST_GAIN:g}: an image that keeps what was "
            "measured passes its errors on with a gain of about 1; give a larger number."
        )


def larger_monotonicity(m: float, shift: float, own: float, most: float) -> float:
    """Return the m with which a network is used for a gain of ``most``, below its ``own``.

    The gain is in proportion to ``1/√(m + shift)``. What a larger m costs next to nothing for is
    bought with m alone, and the square root of the rest: λ is lowered by as much.
    """
    raised = min(m * (own / most) ** 2, max(m, FREE_MONOTONICITY))
    left = own * math.sqrt((m + shift) / (raised + shift))
    return min(raised * left / most, max(raised, LARGEST_MONOTONICITY)) if most < left else raised


@torch.no_grad()
def largest_weight(
    constant: Callable[[Tensor], Tensor], own: Tensor, least: float, most: float
) -> Tensor:
    """Return λ of every sample, at most its own, whose constant is at most ``most``, ``(batch,)``.

    Whatever the constant is as a function of λ, that of the result was computed and found small
    enough; where it grows with λ, the result is the largest such λ.

    Parameters
    ----------
    constant
        The proved bound on the gain as a function of λ in double precision, ``(batch,)``.
    own
        λ without a limit, ``(batch,)``.
    least
        λ that is small enough in any case but where A enlarges what it sees.
    most
        The bound that is asked for.

    Raises
    ------
    InputError
        If it is exceeded with λ = ``least`` too.
    """
    wanted = MARGIN * most
    high = own.double()
    fits = constant(high) <= wanted
    low = torch.minimum(high, torch.full_like(high, least))
    found = constant(low)
    if bool((found > wanted).any()):
        raise InputError(
            f"robust is {most:g}, but the least gain that is proved with this operator is "
            f"{float(found.max()):.3g}; ask for more than that, or normalise the coil maps."
        )
    for _ in range(HALVINGS):
        middle = (low * high).sqrt()
        small = constant(middle) <= wanted
        low, high = torch.where(small, middle, low), torch.where(small, high, middle)
    return torch.where(fits, own, low.to(own))
