"""The monotone inclusion of MOL, forward and adjoint alike, and a bound for any image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from molrecon.equilibrium.fixed_point import Equation, Step
from molrecon.equilibrium.of_samples import OfSamples, TransposedJacobian, part_of, rows
from molrecon.equilibrium.operator_model import follows_model
from molrecon.equilibrium.rounding import NetworkRounding
from molrecon.equilibrium.solution import OPERATOR_AS_ASSUMED
from molrecon.errors import InputError
from molrecon.linear.solution import Solver
from molrecon.lipschitz.linearised import Linearised
from molrecon.operators.base import LinearOperator, inner, norm, per_sample


@dataclass(frozen=True)
class Inclusion(Equation):
    """Find x with ``G(x) = (1 + shift) x − H(x) + λAᴴ(Ax − y) − rhs = 0``.

    Forward (Pramanik et al. 2023, eq. 8) H is the network and y what was measured. The adjoint
    equation ``(I − J_Hᵀ + λAᴴA) w = g`` has the same form with ``H = J_Hᵀ``, ``rhs = g`` and no y,
    so one solver serves both. λAᴴy and λAᴴAx are never rounded apart: what their difference lost
    would lie in part in the null space of A, where it is divided by m.

    Where A sees nothing (`LinearOperator.support`) x is zero: with P the projection on the support,
    H is replaced by PHP, which has the same Lipschitz bound.

    Parameters
    ----------
    H
        The network, or its vector–Jacobian product, on ``(batch, *shape_in)``. With a method
        ``for_samples`` that returns it for the samples of some numbers, those that are solved
        leave the batch.
    A
        The forward operator.
    lam
        Data weight λ ≥ 0 of every sample, ``(batch,)``.
    y
        Measurements ``(batch, *shape_out)``; None for zero.
    monotonicity
        m: the bound ``Lip(H) ≤ 1 − m`` under which convergence and error bound hold.
    rhs
        Right-hand side ``(batch, *shape_in)``; None for zero.
    shift
        Extra multiple of x in the score; the published code adds a hidden one (its linear system
        has 1.001·I), molrecon none.
    precise
        H on images of the same shape in double precision, for a bound that includes rounding; None
        where there is none and H is in single precision.
    network_rounding
        Rounding of ``precise``, see `molrecon.equilibrium.rounding`.
    counts_rounding
        Whether a bound has to include rounding; that of an adjoint solve need not.
    measured
        Measurements ``(batch, *shape_out)`` and a unit ``(batch,)`` whose quotient y is, but for
        its rounding, which a bound then counts; None where y counts as it is.
    unit
        What y has to be divided by, ``(batch,)``; None for nothing.

    Raises
    ------
    InputError
        If m is not in (0, 1] or the shift is negative.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, ForwardBackward, Inclusion
    >>> y = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    >>> A = Denoising((1, 4, 4), dtype=torch.float64)
    >>> equation = Inclusion(lambda x: 0.5 * x, A, torch.tensor([3.5]), y, monotonicity=0.5)
    >>> round(float(ForwardBackward()(equation, 0 * y).value[0, 0, 0, 0]), 3)
    0.875
    """

    H: Callable[[Tensor], Tensor]
    A: LinearOperator
    lam: Tensor
    y: Tensor | None = None
    monotonicity: float = 0.02
    rhs: Tensor | None = None
    shift: float = 0.0
    precise: Callable[[Tensor], Tensor] | None = None
    network_rounding: NetworkRounding = field(default_factory=NetworkRounding)
    counts_rounding: bool = True
    measured: tuple[Tensor, Tensor] | None = None
    unit: Tensor | None = None

    def __post_init__(self) -> None:
        if not (0 < self.monotonicity <= 1 and self.shift >= 0):
            raise InputError(
                f"monotonicity is {self.monotonicity} and shift {self.shift}, expected m in (0, 1] "
                "and a shift of at least 0"
            )

    @property
    def assumes(self) -> tuple[str, ...]:
        """That A is what it says, unless that is known."""
        return () if follows_model(self.A) else (OPERATOR_AS_ASSUMED,)

    @property
    def strong_monotonicity(self) -> float:
        """The constant μ with ``Re⟨G(x) − G(z), x − z⟩ ≥ μ‖x − z‖²``."""
        return self.monotonicity + self.shift

    def network(self, x: Tensor) -> Tensor:
        """Return ``PHP(x)``: H, confined to the pixels that A can see."""
        support = self.A.support
        if support is None:
            return self.H(x)
        return self.H(x * support) * support

    def _confined(self) -> OfSamples:
        """Return `network` as a map that is known for some samples, too, where H is."""

        def part(samples: Tensor) -> OfSamples | None:
            few = self.for_samples(samples)
            return None if few is None else few._confined()

        return OfSamples(self.network, part)

    def data_gradient(self, x: Tensor) -> Tensor:
        """Return ``Aᴴ(y − Ax)``."""
        if self.y is None:
            return -self.A.normal(x)
        if self.unit is None:
            return self.A.mismatch(x, self.y)
        unit = per_sample(self.unit, x)
        return self.A.mismatch(x * unit, self.y) / unit

    @property
    def data(self) -> Tensor | None:
        """The measurements in the unit of the image, ``(batch, *shape_out)``; None for zero."""
        if self.y is None or self.unit is None:
            return self.y
        return self.y / per_sample(self.unit, self.y)

    def residual(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """G(x), computed from its definition; ``h`` is PHP(x) if it is known."""
        h = self.network(x) if h is None else h
        g = (1 + self.shift) * x - h - per_sample(self.lam, x) * self.data_gradient(x)
        return g if self.rhs is None else g - self.rhs

    def recorded_residual(self, x: Tensor) -> Tensor:
        """Return G(x), recorded for autograd but for the inside of the network."""
        h = checkpoint(self.network, x, use_reentrant=False, preserve_rng_state=False)
        return self.residual(x, h)

    def adjoint(self, x: Tensor, g: Tensor) -> Inclusion:
        """Return ``(I − J_Hᵀ + λAᴴA) w = g`` at the point ``x``."""
        return self._linear(TransposedJacobian(self._confined(), x), g)

    def tangent(self, x: Tensor, g: Tensor) -> Inclusion:
        """Return ``(I − J_H + λAᴴA) w = g`` at the point ``x``."""
        return self._linear(Linearised(self.network, x).forward, g)

    def _linear(self, product: Callable[[Tensor], Tensor], g: Tensor) -> Inclusion:
        return replace(self, H=product, lam=self.lam.detach(), y=None, rhs=g, counts_rounding=False)

    def for_samples(self, samples: Tensor) -> Inclusion | None:
        """Return the equation of some samples of the batch; None where H or A is not known so.

        Parameters
        ----------
        samples
            Their numbers, int64 ``(count,)``.
        """
        H, A = part_of(self.H, samples), self.A.for_samples(samples)
        if H is None or A is None:
            return None

        def of(values: Tensor | None) -> Tensor | None:
            return None if values is None else rows(values, samples)

        measured = self.measured
        return replace(
            self,
            H=H,
            A=A,
            lam=rows(self.lam, samples),
            y=of(self.y),
            rhs=of(self.rhs),
            precise=None if self.precise is None else part_of(self.precise, samples),
            measured=measured and (rows(measured[0], samples), rows(measured[1], samples)),
            unit=of(self.unit),
        )

    def in_double(self) -> Inclusion | None:
        """Return the same equation in double precision; None where H is not known in it."""
        if self.lam.dtype == torch.float64:
            return self
        if self.precise is None:
            return None
        double = torch.complex128 if self.A.dtype.is_complex else torch.float64
        operator = self.A.for_double
        y, unit = (self.y, None) if self.measured is None else self.measured
        return replace(
            self,
            H=self.precise,
            A=operator,
            lam=self.lam.double(),
            # An operator that takes the precision of its arguments converts y part by part.
            y=y if y is None or operator is self.A else y.to(double),
            unit=None if unit is None else unit.double(),
            measured=None,
            rhs=None if self.rhs is None else self.rhs.to(double),
        )

    def refined(self) -> Inclusion | None:
        """Return `in_double` with all that the operator holds in that precision, None likewise.

        A bound takes a product or two with the operator; a solve takes many, and its closed form.
        """
        double = self.in_double()
        if double is None or double.A is not self.A:
            return double
        wide = self.A.in_double
        return replace(double, A=wide, y=None if double.y is None else double.y.to(wide.dtype))

    def step(self, alpha: float, inner: Solver) -> Step:
        """Return the forward–backward step of length ``alpha``."""
        from molrecon.equilibrium.forward_backward import SplittingStep

        return SplittingStep(self, alpha, inner)


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
        None for the first bound. A solver of ``M u = G(x)`` for the second. However inexact its u
        is, the result is a bound: with the
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
