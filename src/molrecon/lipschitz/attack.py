"""Lower bounds on Lipschitz constants by ascent with line search, from several starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.lipschitz.linearised import Map
from molrecon.lipschitz.vectors import random_like, unit
from molrecon.operators.base import norm, per_sample

SMALLEST = 1e-2
"""Length of the shortest difference relative to the longest: shorter ones drown in rounding."""

LARGEST_STEP = 4.0
"""Length of a step relative to the difference, at most."""


@dataclass(frozen=True)
class LipschitzAttack:
    """The pair found for every sample.

    Attributes
    ----------
    value
        ``‖f(x) − f(other)‖ / ‖x − other‖``, ``(batch,)``: no Lipschitz constant is smaller.
    x, other
        The pair, each ``(batch, …)``.

    Examples
    --------
    >>> found = lipschitz_attack(lambda x: 0.5 * x, torch.ones(1, 1, 4, 4))
    >>> difference = found.x - found.other
    >>> torch.allclose(found.value, (0.5 * difference).norm() / difference.norm())
    True
    """

    value: Tensor
    x: Tensor
    other: Tensor


def lipschitz_attack(
    f: Map,
    x: Tensor,
    *,
    starts: int = 3,
    steps: int = 20,
    radius: float = 0.1,
    directions: Sequence[Tensor] = (),
    seed: int = 0,
) -> LipschitzAttack:
    """Largest difference quotient ``‖f(x) − f(x + e)‖ / ‖e‖`` found by gradient ascent on e.

    Length and direction of e are both free. A step that does not enlarge the quotient is taken
    back and halved, the next after one that does is doubled, so every start ends at least as high
    as it began; `published_quotient`, the published estimator, has neither.

    Parameters
    ----------
    f
        Differentiable map that keeps the shape of ``x``; samples must not interact.
    x
        ``(batch, …)``, real or complex.
    starts
        Random starts, of lengths from ``radius·‖x‖`` down to a hundredth of it.
    steps
        Steps from every start.
    radius
        Largest ‖e‖ relative to ‖x‖.
    directions
        More starts, each ``(batch, …)`` of any length; see `LocalLipschitz.vector`.
    seed
        Seed of the random starts.

    Examples
    --------
    >>> found = lipschitz_attack(lambda x: 0.5 * x, torch.ones(1, 1, 4, 4))
    >>> round(found.value.item(), 3)
    0.5
    """
    x = x.detach()
    size = norm(x)
    longest = radius * torch.where(size > 0, size, torch.ones_like(size))
    with torch.no_grad():
        fx = f(x)
    candidates = [*directions, *(random_like(x, seed + k) for k in range(starts))]
    value, best = torch.zeros_like(size), x
    for number, direction in enumerate(candidates):
        share = SMALLEST ** ((number + 0.5) / len(candidates))
        found, e = _ascend(
            f, x, fx, per_sample(share * longest, x) * unit(direction), longest, steps
        )
        best = torch.where(per_sample(found > value, x), x + e, best)
        value = torch.maximum(value, found)
    return LipschitzAttack(value, x, best)


def _ascend(
    f: Map, x: Tensor, fx: Tensor, e: Tensor, longest: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    value, gradient = _quotient(f, x, fx, e)
    step = torch.ones_like(value)
    for _ in range(steps):
        proposal = _limited(e + per_sample(step * norm(e), e) * unit(gradient), longest)
        found, slope = _quotient(f, x, fx, proposal)
        better = found > value
        value = torch.where(better, found, value)
        e = torch.where(per_sample(better, e), proposal, e)
        gradient = torch.where(per_sample(better, e), slope, gradient)
        step = torch.where(better, (2 * step).clamp_max(LARGEST_STEP), step / 2)
    return value, e


def _quotient(f: Map, x: Tensor, fx: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    e = e.detach().requires_grad_()
    with torch.enable_grad():
        # The difference that x + e really makes, after rounding.
        other = x + e
        quotient = norm(f(other) - fx) / norm(other - x)
        (gradient,) = torch.autograd.grad(quotient.sum(), e)
    return quotient.detach(), gradient


def _limited(e: Tensor, longest: Tensor) -> Tensor:
    length = norm(e).clamp_min(torch.finfo(longest.dtype).tiny)
    allowed = torch.minimum(torch.maximum(length, SMALLEST * longest), longest)
    return e * per_sample(allowed / length, e)
