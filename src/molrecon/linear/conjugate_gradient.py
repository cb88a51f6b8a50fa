"""Batched conjugate gradients for (I + c AᴴA) x = r."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.linear.solution import LinearSolution, as_weights, statuses
from molrecon.operators.base import LinearOperator, inner, norm, per_sample


@dataclass(frozen=True)
class ConjugateGradient:
    """Conjugate gradients for the shifted normal equations ``(I + c AᴴA) x = r``.

    Every sample has its own ``c``, stops by itself, and leaves the batch then
    (`LinearOperator.for_samples`). The matrix has all eigenvalues in
    ``[1, 1 + c‖A‖²]``, so the iteration always converges in exact arithmetic (Hestenes and
    Stiefel 1952). Where the operator knows a `LinearOperator.preconditioner` it is used, and the
    residual that decides is that of the equation itself.

    Parameters
    ----------
    rtol
        A sample stops when its residual is at most ``rtol`` times the reference.
    relative_to
        The reference: ``"rhs"``, the norm of r, or ``"start"``, the residual at the starting
        point, so that a warm start is always improved by the factor ``rtol``.
    max_iterations
        Cap on the iterations.
    preconditioned
        Whether `LinearOperator.preconditioner` is used. It changes what few iterations reach, and
        no solution.

    Examples
    --------
    >>> import torch
    >>> from molrecon import ConjugateGradient, Denoising
    >>> solution = ConjugateGradient()(Denoising((1, 4, 4)), 3.0, torch.full((1, 1, 4, 4), 8.0))
    >>> solution.value[0, 0, 0, 0].item(), int(solution.iterations)
    (2.0, 1)
    """

    rtol: float = 1e-6
    relative_to: Literal["rhs", "start"] = "rhs"
    max_iterations: int = 500
    preconditioned: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rtol < 1:
            raise InputError(f"rtol is {self.rtol}, expected a value in [0, 1)")
        if self.relative_to not in ("rhs", "start"):
            raise InputError(f"relative_to is {self.relative_to!r}, expected 'rhs' or 'start'")
        if self.max_iterations < 1:
            raise InputError(f"max_iterations is {self.max_iterations}, expected at least 1")

    @torch.no_grad()
    def __call__(
        self,
        A: LinearOperator,
        c: Tensor | float,
        r: Tensor,
        x0: Tensor | None = None,
    ) -> LinearSolution:
        """Solve without recording gradients; see `solve_regularised` for the differentiable call.

        Parameters
        ----------
        A
            The operator.
        c
            Non-negative weight, a number or ``(batch,)``.
        r
            Right-hand side, ``(batch, *shape_in)``.
        x0
            Warm start of the same shape; zero if not given.

        Raises
        ------
        InputError
            If ``c`` is negative or not finite.
        """
        c = as_weights(c, r)
        x = torch.zeros_like(r) if x0 is None else x0.clone()
        residual = r.clone() if x0 is None else r - x - per_sample(c, x) * A.normal(x)
        now = _Iterate(A, c, x, residual, preconditioned=self.preconditioned)
        size, rhs = now.size, norm(r)
        # Relative to the start even where that is at the rounding level of r: correcting a warm
        # start is iterative refinement, and stopping there would return it as if it were exact.
        reference = rhs if self.relative_to == "rhs" else size
        limit = max(self.rtol, torch.finfo(rhs.dtype).eps) * reference
        iterations = torch.zeros(r.shape[0], dtype=torch.int64, device=r.device)
        evaluations = 0 if x0 is None else 1
        # Of all samples; the iterate is of those that are in the batch yet.
        value, final, samples = x, size.clone(), torch.arange(len(r), device=r.device)
        for _ in range(self.max_iterations):
            active = now.size > limit[samples]
            going = torch.nonzero(active).flatten()
            if not len(going):
                break
            few = None if len(going) == len(active) else now.A.for_samples(going)
            if few is not None:
                now.store(value, final, samples)
                now, samples, active = now.only(few, going), samples[going], active[going]
            now.advance(active)
            evaluations += 1
            iterations[samples] += active
        now.store(value, final, samples)
        return LinearSolution(
            value=value,
            status=statuses(final, limit),
            iterations=iterations,
            residual=final,
            error=final,
            initial_residual=size,
            normal_evaluations=evaluations,
        )


class _Iterate:
    """What conjugate gradients hold of the samples that are in the batch."""

    def __init__(
        self, A: LinearOperator, c: Tensor, x: Tensor, residual: Tensor, *, preconditioned: bool
    ) -> None:
        self.A, self.c, self.x, self.residual = A, c, x, residual
        self._preconditioned = preconditioned
        self._precondition = A.preconditioner(c) if preconditioned else None
        scaled = self._scaled()
        self._direction, self._rz = scaled.clone(), inner(residual, scaled)
        self.size = inner(residual, residual).sqrt()

    def store(self, value: Tensor, final: Tensor, samples: Tensor) -> None:
        """Write images and norms of residuals where they belong among all samples."""
        if self.x is not value:
            value[samples] = self.x
        final[samples] = self.size

    def only(self, A: LinearOperator, going: Tensor) -> _Iterate:
        """Return some of the samples, of which the operator is A."""
        few = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(few, name, value[going])
        few.A = A
        few._precondition = A.preconditioner(few.c) if self._preconditioned else None
        return few

    def advance(self, active: Tensor) -> None:
        """Take one step; samples that are not active stay as they are."""
        x, direction = self.x, self._direction
        product = direction + per_sample(self.c, direction) * self.A.normal(direction)
        step = torch.where(active, self._rz / inner(direction, product), 0)
        # In place: of volumes there should be no more copies than the method needs.
        x.addcmul_(per_sample(step.to(x.dtype), x), direction)
        self.residual.addcmul_(per_sample(-step.to(x.dtype), x), product)
        scaled = self._scaled()
        previous, self._rz = self._rz, inner(self.residual, scaled)
        self.size = inner(self.residual, self.residual).sqrt()
        beta = torch.where(active, self._rz / previous, 0)
        direction.mul_(per_sample(beta, x)).add_(scaled)

    def _scaled(self) -> Tensor:
        return self.residual if self._precondition is None else self._precondition(self.residual)
