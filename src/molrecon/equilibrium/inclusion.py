"""The equation that an equilibrium solves, forward and adjoint alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.linear.solution import Solver
from molrecon.operators.base import LinearOperator, inner, norm, per_sample


@dataclass(frozen=True)
class Inclusion:
    """Find x with ``G(x) = (1 + shift) x − H(x) + λ AᴴA x − rhs = 0``.

    Forward, ``rhs = λ Aᴴ y`` and H is the network (Pramanik et al. 2023, eq. 8). The adjoint
    equation ``(I − J_Hᵀ + λAᴴA) w = g`` has the same form with ``H = J_Hᵀ`` and ``rhs = g``, so
    one solver serves both.

    Attributes
    ----------
    H
        The network, or its vector–Jacobian product, on ``(batch, *shape_in)``.
    A
        The forward operator.
    lam
        Data weight λ > 0 of every sample, ``(batch,)``.
    rhs
        Right-hand side, ``(batch, *shape_in)``.
    monotonicity
        m: the bound ``Lip(H) ≤ 1 − m`` under which convergence and error bound hold.
    shift
        Extra multiple of x in the score; the published code adds a hidden one (its linear system
        has 1.001·I), molrecon none.
    """

    H: Callable[[Tensor], Tensor]
    A: LinearOperator
    lam: Tensor
    rhs: Tensor
    monotonicity: float
    shift: float = 0.0

    @property
    def strong_monotonicity(self) -> float:
        """The constant μ with ``Re⟨G(x) − G(z), x − z⟩ ≥ μ‖x − z‖²``."""
        return self.monotonicity + self.shift

    def residual(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """G(x), computed from its definition; ``h`` is H(x) if it is known."""
        h = self.H(x) if h is None else h
        data = per_sample(self.lam, x) * self.A.normal(x)
        return (1 + self.shift) * x - h + data - self.rhs


@torch.no_grad()
def error_bound(inclusion: Inclusion, x: Tensor, *, solver: Solver | None = None) -> Tensor:
    r"""Bound on the distance of ``x`` to the solution, ``‖x − x*‖``, ``(batch,)``.

    Both bounds hold for any x, however it was found, when the network has the monotonicity it
    claims. Without ``solver`` it is ``‖G(x)‖ / μ``, from
    ``μ‖x − x*‖² ≤ Re⟨G(x) − G(x*), x − x*⟩ ≤ ‖G(x)‖‖x − x*‖``. With one it is the tighter
    ``½‖w‖ + ½‖G(x)‖_{M⁻¹} / √μ``, ``Mw = G(x)``, ``M = μI + λAᴴA``, which does not count what the
    data term amplifies: ``e = x − x*`` has ``‖e‖²_M ≤ Re⟨G(x), e⟩ = Re⟨w, e⟩_M``, so it lies in
    the ball ``‖e − w/2‖_M ≤ ‖w‖_M / 2``, and ``‖w‖_M = ‖G(x)‖_{M⁻¹}``.

    Parameters
    ----------
    inclusion
        The equation.
    x
        Any image ``(batch, *shape_in)``.
    solver
        Solver of ``M u = G(x)``. However inexact its u is, the result is a bound: with the
        residual ``r = G − Mu``, ``⟨G, M⁻¹G⟩ = 2⟨u, G⟩ − ⟨u, Mu⟩ + ⟨r, M⁻¹r⟩`` and the last term
        is at most ``‖r‖² / μ``; and ``‖w‖ ≤ ‖u‖ + ‖r‖ / μ``.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Inclusion, LinearSolver, error_bound
    >>> y = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    >>> A = Denoising((1, 4, 4), dtype=torch.float64)
    >>> equation = Inclusion(
    ...     lambda x: 0.5 * x, A, torch.tensor([3.5]), rhs=3.5 * y, monotonicity=0.5
    ... )
    >>> x = torch.zeros_like(y)  # at a distance of 3.5 from the solution 0.875 y
    >>> bounds = error_bound(equation, x), error_bound(equation, x, solver=LinearSolver())
    >>> [round(bound.item(), 2) for bound in bounds]
    [28.0, 6.7]
    """
    g = inclusion.residual(x)
    mu = inclusion.strong_monotonicity
    plain = norm(g) / mu
    if solver is None:
        return plain
    u = solver(inclusion.A, inclusion.lam / mu, g / mu).value
    product = mu * u + per_sample(inclusion.lam, u) * inclusion.A.normal(u)
    rest = norm(g - product) / mu
    square = 2 * inner(u, g) - inner(u, product) + mu * rest**2
    radius = (square.clamp_min(0) / mu).sqrt()
    return torch.minimum(plain, torch.minimum(radius, (norm(u) + rest + radius) / 2))
