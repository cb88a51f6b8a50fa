"""The largest data weight for which the gain of a reconstruction is proved to be what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.equilibrium.bound_text import bound_text
from molrecon.equilibrium.robustness import completed_constant, robustness_constant
from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.learned import Output

LEAST_OF_FULL_SCAN = 2 / math.sqrt(3)
"""Least gain that is proved of a full scan with an operator of norm 1."""

SMALL_WEIGHTS = (1.0, 1 / 3, *(0.9**n for n in range(1, 60)))
"""Data weights in units of μ, among which the one of least gain is sought."""

TYPICAL_NOISE = 0.01
"""Noise relative to the image peak at which λ and m change alike."""

FREE_MONOTONICITY = 0.02
"""Up to here a larger m costs next to nothing: the gain is bought with m alone first."""

LARGEST_MONOTONICITY = 0.5
"""Above it a network is no longer the one that was trained."""

HALVINGS = 60

MARGIN = 1 - 1e-6
"""Of what was asked, for the rounding of λ and of the constant in single precision."""


def require_above_one(most: float) -> None:
    """Refuse a bound on the gain that no image can have in which nothing is shrunk.

    With ``c = λ/μ`` and what the score shrinks made up for, the proved gain of the fixed point is
    ``½(√c + 1/√c) ≥ 1``, least at c = 1; that of a full scan with ``‖A‖ ≤ 1`` is
    ``√(5/4 + c/4)`` besides, and the larger of both is least, 2/√3, at c = 1/3.
    """
    require_positive("robust", most)
    if most <= 1:
        raise InputError(
            f"robust is {most:g}, expected more than 1, and more than {LEAST_OF_FULL_SCAN:.4g} for "
            "a full scan: an image in which nothing is shrunk passes an error on with a gain of 1; "
            "give a larger number, or use sense, which shrinks the image for any gain."
        )


def larger_monotonicity(m: float, shift: float, own: float, most: float) -> float:
    """Return the m with which a network is used for a gain of ``most``, below its ``own``.

    The gain is in proportion to ``1/√(m + shift)``. What a larger m costs next to nothing for is
    bought with m alone, and the square root of the rest: λ is lowered by as much.
    """
    raised = min(m * (own / most) ** 2, max(m, FREE_MONOTONICITY))
    left = own * math.sqrt((m + shift) / (raised + shift))
    return min(raised * left / most, max(raised, LARGEST_MONOTONICITY)) if most < left else raised


def limited_weight(
    own: Tensor,
    mu: float,
    most: float,
    *,
    data_gain: Callable[[Tensor], Tensor | float],
    A: LinearOperator,
    output: Output,
) -> Tensor:
    """Return the largest λ up to a sample's own that proves a gain of ``most``, ``(batch,)``.

    Parameters
    ----------
    own
        λ without a limit, ``(batch,)``.
    mu
        Constant of monotonicity μ.
    most
        Largest gain of the image that is returned.
    data_gain
        Factor on the measurements as a function of λ, see `MOL.data_gain`.
    A
        The forward operator.
    output
        Which image is returned.

    Raises
    ------
    InputError
        If no λ has that gain, or no bound is known on the norm of ``A`` that it follows from.
    """

    def constant(lam: Tensor) -> Tensor:
        gain = data_gain(lam)
        found = robustness_constant(lam, mu) * gain
        if output == "fixed-point":
            return found
        full = completed_constant(found, A, gain=gain)
        if full is None:
            raise InputError(
                f"robust is {most:g}, but no bound is known on the norm of the operator, which "
                "the gain of a full scan follows from; ask for the output fixed-point."
            )
        return torch.maximum(found, full)

    return largest_weight(constant, own, mu, most)


@torch.no_grad()
def largest_weight(
    constant: Callable[[Tensor], Tensor], own: Tensor, mu: float, most: float
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
    mu
        Constant of monotonicity μ: the gain is least for some λ of at most that.
    most
        The bound that is asked for.

    Raises
    ------
    InputError
        If it is exceeded whatever λ is.
    """
    wanted = MARGIN * most
    high = own.double()
    fits = constant(high) <= wanted
    if bool(fits.all()):
        return own
    tried = [torch.minimum(high, torch.full_like(high, mu * share)) for share in SMALL_WEIGHTS]
    gains = torch.stack([constant(lam) for lam in tried])
    found, place = gains.min(0)
    low = torch.stack(tried).gather(0, place[None])[0]
    if bool((found > wanted).any()):
        raise InputError(
            f"robust is {most:g}, but the least gain that is proved with this operator is "
            f"{bound_text(float(found.max()), 4)}; ask for more than that, or for the output "
            "fixed-point."
        )
    for _ in range(HALVINGS):
        middle = (low * high).sqrt()
        small = constant(middle) <= wanted
        low, high = torch.where(small, middle, low), torch.where(small, high, middle)
    return torch.where(fits, own, low.to(own))
