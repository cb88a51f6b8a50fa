"""What can be measured of a map at given images: attack ≤ local values ≤ any certified bound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.lipschitz.attack import LipschitzAttack, lipschitz_attack
from molrecon.lipschitz.linearised import Map
from molrecon.lipschitz.local import TOLERANCE, LocalLipschitz, local_lipschitz
from molrecon.operators.base import norm, per_sample


@dataclass(frozen=True)
class Measured:
    """Values of every sample, each ``(batch,)``."""

    attack: LipschitzAttack  # largest difference quotient found
    # Those at the images, or where an attack led if they are larger there; what is probable is said
    # of the images.
    local: LocalLipschitz


def measure(
    f: Map, x: Tensor, *, tol: float = TOLERANCE, starts: int = 3, steps: int = 20, seed: int = 0
) -> Measured:
    """Measure the Lipschitz constant of ``f`` around images, from below.

    Parameters are those of `lipschitz_attack` and `local_lipschitz`. A quotient over a distance may
    exceed ‖J‖ at x, but not on the whole segment: where it does, the local values are measured
    there instead, so that they are the larger ones (to their tolerance).
    """
    local = local_lipschitz(f, x, tol=tol, seed=seed)
    attack = lipschitz_attack(
        f, x, starts=starts, steps=steps, directions=[local.vector], seed=seed
    )
    if bool((attack.value > local.norm).any()):
        point = steepest(f, attack.x, attack.other)
        # From the direction of the attack, so as not to end below it.
        there = local_lipschitz(f, point, tol=tol, start=attack.other - attack.x)
        local = _larger(local, there)
    return Measured(attack, local)


@torch.no_grad()
def steepest(f: Map, x: Tensor, other: Tensor, *, pieces: int = 8) -> Tensor:
    """Middle of that of so many equal pieces of a segment whose difference quotient is largest.

    The quotient of its two ends is at most the mean over the pieces, so that of the best piece is
    at least as large, and so is ‖J‖ somewhere on it.
    """
    ends = [x + (other - x) * (k / pieces) for k in range(pieces + 1)]
    values = [f(end) for end in ends]
    quotients = torch.stack(
        [norm(values[k + 1] - values[k]) / norm(ends[k + 1] - ends[k]) for k in range(pieces)]
    )
    place = (quotients.argmax(0).to(x.real.dtype) + 0.5) / pieces
    return x + per_sample(place, x) * (other - x)


def _larger(here: LocalLipschitz, there: LocalLipschitz) -> LocalLipschitz:
    """Take from either what belongs to its larger norm, and to its larger eigenvalue."""

    def chosen(name: str, by: str) -> Tensor:
        one, two = getattr(here, name), getattr(there, name)
        better = getattr(there, by) > getattr(here, by)
        return torch.where(per_sample(better, one), two, one)

    return replace(
        here,
        norm=chosen("norm", "norm"),
        norm_error=chosen("norm_error", "norm"),
        norm_probable=torch.maximum(here.norm_probable, there.norm),
        symmetric=chosen("symmetric", "symmetric"),
        symmetric_error=chosen("symmetric_error", "symmetric"),
        symmetric_probable=torch.maximum(here.symmetric_probable, there.symmetric),
        vector=chosen("vector", "norm"),
        converged=here.converged & there.converged,
        steps=here.steps + there.steps,
    )
