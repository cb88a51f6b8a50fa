r"""How far a wrong forward operator moves a solution: errors in coil maps or the mask.

Let x* solve ``G(x; A) = F(x) + λAᴴ(Ax − y) = 0`` and x′ solve it with A′ (y, λ and F the same,
F μ-monotone), ``e = x − x′`` for any x, ``D = A′ − A``, ``M′ = μI + λA′ᴴA′``.

**A posteriori**, from x alone. ``G(·; A′)`` is strongly monotone, in fact
``Re⟨G(x; A′) − G(x′; A′), e⟩ ≥ ‖e‖²_{M′}``, and ``G(x′; A′) = 0``. So
``‖x − x′‖ ≤ ‖G(x; A′)‖ / μ``, and every tighter form of `error_bound` holds: it is the bound that a
solver with A′ would give for x, of the same residual.

**A priori**, from D. With ``r = Ax − y`` and ``g = G(x; A)``, zero at x*,
``G(x; A′) = g + λ(Dᴴr + A′ᴴDx)``. With ``a = ‖A′e‖`` therefore
``μ‖e‖² + λa² ≤ p‖e‖ + λ‖Dx‖a``, ``p = ‖g‖ + λ‖Dᴴr‖``. The maximum of ``λ(‖Dx‖a − a²)`` is
``λ‖Dx‖²/4``, and the larger root of the quadratic in ``‖e‖`` is

``‖x − x′‖ ≤ (p + √(p² + μλ‖Dx‖²)) / (2μ) ≤ ½√(λ/μ) ‖Dx‖ + p/μ``.

``Dx`` acts as an error of the measurements does; ``Dᴴr`` is what is left unexplained, seen through
the error of the operator. ``‖Dx‖ ≤ ‖D‖‖x‖`` and ``‖Dᴴr‖ ≤ ‖D‖‖r‖`` make it a bound in ``‖D‖``; for
coil maps ``‖D‖`` is at most the largest root sum of squares of their errors. One wrong sample of a
mask gives ``‖D‖ = 1`` already: there only the form with ``Dx`` and ``Dᴴr`` says something.

Where the two operators do not see the same pixels the network is confined to other ones
(`Inclusion.network`), and what that changes at x is counted with ‖g‖.

**The full scan** ``z = x + Aᴴ(y − Ax)`` moves to ``z′``, and subtracting
``x + A′ᴴ(y − A′x)`` gives ``‖z − z′‖ ≤ ‖I − A′ᴴA′‖‖x − x′‖ + ‖A′ᴴ(y − A′x) − Aᴴ(y − Ax)‖``.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from molrecon.equilibrium.inclusion import Inclusion, error_bound
from molrecon.linear.solution import Solver
from molrecon.operators.base import LinearOperator, norm


def with_operator(inclusion: Inclusion, y: Tensor, A: LinearOperator) -> Inclusion:
    """Return the equation of the same network, λ and measurements ``y`` with another operator.

    The network is then confined to what that operator sees (`Inclusion.network`): where the two
    supports differ, so do the networks.
    """
    return replace(inclusion, A=A, y=y, rhs=None)


@torch.no_grad()
def wrong_operator_bound(
    inclusion: Inclusion,
    y: Tensor,
    other: LinearOperator,
    x: Tensor,
    *,
    solver: Solver | None = None,
) -> Tensor:
    """Bound ``‖x − x′‖`` a posteriori, ``(batch,)`` (see the module's docstring).

    Parameters
    ----------
    inclusion
        The equation that x was computed from; its operator and right-hand side play no role.
    y
        Measurements ``(batch, *shape_out)``, in the unit of ``x``.
    other
        The operator A′ of x′, the true one, say.
    x
        Any image ``(batch, *shape_in)``.
    solver
        A solver of linear equations, for the tighter bound of `error_bound`; None for the first.

    Returns
    -------
    Tensor
        The bound of every sample, ``(batch,)``.

    Examples
    --------
    >>> from molrecon import Denoising
    >>> y = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    >>> A = Denoising((1, 4, 4), dtype=torch.float64)
    >>> equation = Inclusion(
    ...     lambda x: 0.5 * x, A, torch.tensor([3.5]), rhs=3.5 * y, monotonicity=0.5
    ... )
    >>> x, other = 0.875 * y, 3.15 / 3.335 * y  # the solutions with A and with 0.9 A
    >>> bound = wrong_operator_bound(equation, y, 0.9 * A, x)
    >>> round(norm(other - x).item(), 2), round(bound.item(), 2)
    (0.28, 1.86)
    """
    return error_bound(with_operator(inclusion, y, other), x, solver=solver)


@torch.no_grad()
def operator_sensitivity(
    inclusion: Inclusion, y: Tensor, other: LinearOperator, x: Tensor
) -> Tensor:
    """Bound ``‖x − x′‖`` from ``Dx`` and ``Dᴴr``, ``(batch,)``, without any application of A′ᴴA′.

    Parameters
    ----------
    inclusion
        The equation with the operator A, which x should nearly solve: its residual is counted.
    y
        Measurements ``(batch, *shape_out)``, in the unit of ``x``.
    other
        The operator A′ of x′, the true one, say.
    x
        Any image ``(batch, *shape_in)``.

    Examples
    --------
    >>> from molrecon import Denoising
    >>> y = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    >>> A = Denoising((1, 4, 4), dtype=torch.float64)
    >>> equation = Inclusion(
    ...     lambda x: 0.5 * x, A, torch.tensor([3.5]), rhs=3.5 * y, monotonicity=0.5
    ... )
    >>> x, other = 0.875 * y, 3.15 / 3.335 * y  # the solutions with A and with 0.9 A
    >>> bound = operator_sensitivity(equation, y, 0.9 * A, x)
    >>> round(norm(other - x).item(), 2), round(bound.item(), 2)
    (0.28, 0.67)
    """
    A = inclusion.A
    remaining = A(x) - y
    missing = norm(other(x) - A(x))
    seen = norm(other.H(remaining) - A.H(remaining))
    return sensitivity(
        inclusion.lam,
        inclusion.strong_monotonicity,
        missing=missing,
        seen=seen,
        residual=norm(inclusion.residual(x)) + _confined_elsewhere(inclusion, other, x),
    )


def _confined_elsewhere(inclusion: Inclusion, other: LinearOperator, x: Tensor) -> Tensor | float:
    """Return ``‖PHPx − P′HP′x‖``, the supports' part of ``G(x; A′) − G(x; A)``; 0 if they agree."""
    ours, theirs = inclusion.A.support, other.support
    if ours is theirs or (ours is not None and theirs is not None and bool((ours == theirs).all())):
        return 0.0
    return norm(inclusion.network(x) - replace(inclusion, A=other, y=None).network(x))


def sensitivity(
    lam: Tensor, mu: float, *, missing: Tensor, seen: Tensor, residual: Tensor | float = 0.0
) -> Tensor:
    """Return the a-priori bound for given norms, ``(batch,)``; μ is the monotonicity of F.

    ``missing`` is ``‖Dx‖`` or a bound on it, ``‖D‖‖x‖``; ``seen`` is ``‖Dᴴ(Ax − y)‖`` or a bound on
    it, ``‖D‖‖Ax − y‖``; ``residual`` is ``‖G(x; A)‖``, zero at the exact solution.
    """
    p = residual + lam * seen
    return (p + (p**2 + mu * lam * missing**2).sqrt()) / (2 * mu)


@torch.no_grad()
def completed_operator_bound(
    bound: Tensor, y: Tensor, A: LinearOperator, other: LinearOperator, x: Tensor
) -> Tensor:
    """Turn a bound on ``‖x − x′‖`` into one on the change of the full scan, ``(batch,)``.

    ``A`` is the operator of x, ``other`` that of x′; measurements and image are in the same unit.
    """
    change = norm(other.completed(x, y) - A.completed(x, y))
    return other.completion_gain.to(bound.dtype) * bound + change
