"""Batched conjugate gradients for (I + c AᴴA) x = r."""

from __future__ import annotations

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
        evaluations = 0
        if x0 is None:
            residual = r.clone()
        else:
            residual = r - x - per_sample(c, x) * A.normal(x)
            evaluations += 1
        precondition = A.preconditioner(c)
        scaled = residual if precondition is None else precondition(residual)
        size, rz = inner(residual, residual).sqrt(), inner(residual, scaled)
        start = size
        rhs = norm(r)
        reference = rhs if self.relative_to == "rhs" else start
        # Relative to the start even where that is at the rounding level of r: correcting a warm
        # start is iterative refinement, and stopping there would return it as if it were exact.
        threshold = max(self.rtol, torch.finfo(rhs.dtype).eps) * reference
        direction = scaled.clone()
        iterations = torch.zeros(r.shape[0], dtype=torch.int64, device=r.device)
        active = size > threshold
        # Of all samples; what follows is of those that are in the batch yet.
        value, final, limit = x, size.clone(), threshold
        samples = torch.arange(len(r), device=r.device)
        for _ in range(self.max_iterations):
            going = torch.nonzero(active).flatten()
            if not len(going):
                break
            few = None if len(going) == len(active) else A.for_samples(going)
            if few is not None:
                if x is not value:
                    value[samples] = x
                final[samples] = size
                A, x, residual, direction = few, x[going], residual[going], direction[going]
                c, rz, size, threshold, active, samples = (
                    one[going] for one in (c, rz, size, threshold, active, samples)
                )
                precondition = A.preconditioner(c)
            product = direction + per_sample(c, direction) * A.normal(direction)
            evaluations += 1
            curvature = inner(direction, product)
            step = torch.where(active, rz / curvature, torch.zeros_like(rz))
            # In place: of volumes there should be no more copies than the method needs.
            x.addcmul_(per_sample(step.to(x.dtype), x), direction)
            residual.addcmul_(per_sample(-step.to(x.dtype), x), product)
            scaled = residual if precondition is None else precondition(residual)
            previous, rz = rz, inner(residual, scaled)
            size = inner(residual, residual).sqrt()
            beta = torch.where(active, rz / previous, torch.zeros_like(rz))
            direction.mul_(per_sample(beta, x)).add_(scaled)
            iterations[samples] += active
            active = active & (size > threshold)
        if x is not value:
            value[samples] = x
        final[samples] = size
        return LinearSolution(
            value=value,
            status=statuses(final, limit),
            iterations=iterations,
            residual=final,
            error=final,
            initial_residual=start,
            normal_evaluations=evaluations,
        )
