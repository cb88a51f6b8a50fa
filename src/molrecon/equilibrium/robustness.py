r"""How far an error of the measurements can move a solution.

For ``F(x*) + λAᴴ(Ax* − y) = 0`` with F μ-monotone, two measurements that differ by Δy (λ, A and F
the same) give, with ``a = AΔx``, ``μ‖Δx‖² + λ‖a‖² ≤ λ Re⟨Δy, a⟩``, and so
``‖Δx‖² ≤ c (‖Δy‖‖a‖ − ‖a‖²)``, ``c = λ/μ``, whose maximum over ``‖a‖`` is at ``‖Δy‖/2``.

The full scan ``z = x + Aᴴ(y − Ax)``: with ``‖A‖² ≤ N``, ``p = Re⟨Δy, a⟩`` and ``s = ‖a‖``,
``‖Δz‖² = ‖Δx‖² + 2Re⟨a, Δy − a⟩ + ‖Aᴴ(Δy − a)‖²
≤ c(p − s²) + 2(p − s²) + N(‖Δy‖² − 2p + s²)``. For ``‖Δy‖ = 1`` the factor of p is
``c + 2 − 2N``; if it is not negative then ``p ≤ s`` gives
``‖Δz‖² ≤ N + (c + 2 − 2N)s − (c + 2 − N)s² ≤ N + (c + 2 − 2N)²/(4(c + 2 − N))``.
For N = 1 this is ``1 + c²/(4(1 + c))``, close to ``c/4`` for large c: completing costs next to
nothing. Where the equation of x holds for g times the measurements, ``‖Δx‖² ≤ c(gp − s²)`` and
``c + 2 − 2N`` becomes ``gc + 2 − 2N``. In any case
``‖Δz‖ ≤ ‖I − AᴴA‖‖Δx‖ + ‖A‖‖Δy‖``; the smaller one is returned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator


def robustness_constant(lam: Tensor, mu: float) -> Tensor:
    """Return ``½√(λ/μ)``: ``‖Δx*‖`` is at most so many times ``‖Δy‖``.

    Parameters
    ----------
    lam
        Data weight λ, ``(batch,)``.
    mu
        Constant of monotonicity of F, positive.

    Returns
    -------
    Tensor
        The factor, ``(batch,)``.

    Examples
    --------
    >>> robustness_constant(torch.tensor([100.0]), 0.04)
    tensor([25.])
    """
    return (lam / mu).sqrt() / 2


def completed_constant(
    constant: Tensor | None, A: LinearOperator, *, gain: Tensor | float = 1.0
) -> Tensor | None:
    """Turn the constant of x* into that of the full scan (see the module's docstring).

    Parameters
    ----------
    constant
        That of x*, ``g ½√(λ/μ)``, ``(batch,)``, or None.
    A
        The operator; where ‖A‖ has no known bound there is no constant either.
    gain
        g, the factor on the measurements in the equation of x*, a number or ``(batch,)``.
    """
    norm = A.norm_bound
    if constant is None or norm is None:
        return None
    norm = norm.to(constant.dtype)
    c, n = 4 * (constant / gain) ** 2, norm**2
    apart = A.completion_gain.to(constant.dtype) * constant + norm
    slope, bend = gain * c + 2 - 2 * n, c + 2 - n
    joint = (n + slope**2 / (4 * bend)).sqrt()
    return torch.where(slope >= 0, torch.minimum(joint, apart), apart)
