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
nothing. In any case ``‖Δz‖ ≤ ‖I − AᴴA‖‖Δx‖ + ‖A‖‖Δy‖``; the smaller one is returned.
"""

from __future__ import annotations

import torch
from torch import Tensor


def robustness_constant(lam: Tensor, mu: float) -> Tensor:
    """Return ``½√(λ/μ)``: ``‖Δx*‖`` is at most so many times ``‖Δy‖``.

    Parameters
    ----------
    lam
        Data weight λ, ``(batch,)``.
    mu
        Constant of monotonicity of F, positive.
    """
    return (lam / mu).sqrt() / 2


def full_scan_constant(lam: Tensor, mu: float, norm: Tensor, gain: Tensor) -> Tensor:
    """Return the constant for the full scan that x* predicts (see the module's docstring).

    Parameters
    ----------
    lam, mu
        As in `robustness_constant`.
    norm
        Bound on ‖A‖, ``(batch or 1,)``.
    gain
        Bound on ‖I − AᴴA‖, ``(batch or 1,)``.
    """
    c, n = lam / mu, norm.to(lam.dtype) ** 2
    apart = gain.to(lam.dtype) * robustness_constant(lam, mu) + norm.to(lam.dtype)
    slope, bend = c + 2 - 2 * n, c + 2 - n
    joint = (n + slope**2 / (4 * bend)).sqrt()
    return torch.where(slope >= 0, torch.minimum(joint, apart), apart)
