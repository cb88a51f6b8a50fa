"""The fixed-point engine: stopping, safeguarded acceleration, stagnation, the best iterate."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from molrecon.equilibrium.anderson import AndersonHistory, select
from molrecon.equilibrium.solution import Guarantee, Solution
from molrecon.equilibrium.stagnation import Records, patience
from molrecon.linear.status import Status
from molrecon.operators.base import norm

Stopping = Literal["bound", "residual", "relative-change"]

DIVERGENCE_FACTOR = 1e3

BEFORE_REFINEMENT = 5
"""Iterations without progress after which a solve goes on in double precision, where it can."""

RETRY = 0.25
"""Where rounding keeps a bound above its tolerance, it is computed again at this part of it."""


@dataclass(frozen=True)
class Iteration:
    """One application of a contraction T, possibly inexact.

    Attributes
    ----------
    image
        ``T(x)`` for the whole batch, as computed.
    difference
        ``T(x) − x``.
    error
        Bound on how far the image is from T(x) for another reason than rounding, ``(batch,)``.
    terms
        Size of what the step was computed from, and so the scale of its rounding, ``(batch,)``.
    """

    image: Tensor
    difference: Tensor
    error: Tensor
    terms: Tensor


class Step(ABC):
    """A contraction T, applied once per call.

    Attributes
    ----------
    contraction
        A factor k < 1 with ``‖T(x) − T(z)‖ ≤ k‖x − z‖``.
    network_evaluations, normal_evaluations
        Applications of the network and of AᴴA so far.
    rounding_counted
        Whether `bound` includes the rounding of the arithmetic.
    """

    contraction: float
    network_evaluations: int = 0
    normal_evaluations: int = 0
    rounding_counted: bool = False

    def for_samples(self, samples: Tensor) -> Step | None:
        """Return the step of some samples of the batch, whose counts go on; None if unknown.

        Parameters
        ----------
        samples
            Their numbers, int64 ``(count,)``.
        """
        return None

    @abstractmethod
    def __call__(self, x: Tensor, *, last: bool = False) -> Iteration:
        """Return ``T(x)`` for images ``(batch, *shape_in)``.

        Parameters
        ----------
        x
            Images.
        last
            Whether `bound` is likely to be asked about this step, so that what both need is
            computed once.
        """

    def bound(self, x: Tensor, image: Tensor, difference: Tensor, tol: float) -> Tensor:
        """Bound ``‖image − x*‖ / ‖image‖`` afresh, rounding included, ``(batch,)``.

        Infinity where rounding is not counted.

        Parameters
        ----------
        x, image, difference
            Of an iteration, as the call took and returned them.
        tol
            A bound of at most this size need not be tightened.
        """
        return torch.full_like(norm(image), torch.inf)


class Equation(ABC):
    """An equation ``G(x) = 0`` with a strongly monotone G, solved by a contraction.

    Attributes
    ----------
    lam
        Data weight of every sample, ``(batch,)``; None where there is none.
    monotonicity
        The constant m that the error bound uses.
    """

    lam: Tensor | None
    monotonicity: float

    @property
    def assumes(self) -> tuple[str, ...]:
        """What a bound rests on besides the monotonicity, clauses as in `Guarantee`."""
        return ()

    @abstractmethod
    def step(self, alpha: float, inner: Any) -> Step:
        """Return the contraction whose fixed point is the solution."""

    @abstractmethod
    def recorded_residual(self, x: Tensor) -> Tensor:
        """Return G(x), recorded for autograd but for the inside of the network."""

    @abstractmethod
    def adjoint(self, x: Tensor, g: Tensor) -> Equation:
        """Return the equation ``(∂G/∂x)ᵀ w = g`` at the point ``x``."""

    @abstractmethod
    def tangent(self, x: Tensor, g: Tensor) -> Equation:
        """Return the equation ``(∂G/∂x) w = g`` at the point ``x``."""


@dataclass(frozen=True)
class Limits:
    """When an iteration ends, and how it is accelerated; see `ForwardBackward`.

    Attributes
    ----------
    tol, stopping, max_iterations, memory
        As in `ForwardBackward`.
    contracts
        Whether the step is proved to contract: a residual that grows is then the work of rounding
        or of an inexact linear solve, and no divergence.
    refined
        Whether what stagnates goes on in double precision, so that it need not be waited for.
    seconds
        Time after which no further step begins; None for any.
    """

    tol: float
    stopping: Stopping
    max_iterations: int
    memory: int
    contracts: bool = False
    refined: bool = False
    seconds: float | None = None


@torch.no_grad()
def iterate(step: Step, x0: Tensor, limits: Limits) -> Solution:
    """Iterate from ``x0`` until every sample has stopped; a failure is a status.

    Samples that have stopped leave the batch, where the step is known for the others alone
    (`Step.for_samples`): it is applied to no more images than have to be improved.

    Anderson acceleration proposes iterates; one that does not lower the residual by the factor
    that the plain step is sure of is discarded for the plain step. A sample that stops before its
    tolerance has the iterate of the smallest bound for its value.

    Parameters
    ----------
    step
        The contraction.
    x0
        Starting images ``(batch, *shape_in)``.
    limits
        Tolerance, stopping rule, cap and Anderson memory.
    """
    state, started = _State(x0, step, limits), time.perf_counter()
    for _ in range(limits.max_iterations):
        state.advance()
        if not bool(state.active.any()):
            break
        if limits.seconds is not None and time.perf_counter() - started >= limits.seconds:
            state.end_in_time()
            break
        state.let_go()
    return state.solution()


class _State:
    """The iteration's memory: per sample, where it stands and whether it has stopped."""

    def __init__(self, x0: Tensor, step: Step, limits: Limits) -> None:
        batch, device, real = x0.shape[0], x0.device, x0.real.dtype
        # Which of the batch are in it yet, and what the others came to.
        self._samples = torch.arange(batch, device=device)
        self._left: list[_Left] = []
        self.x = x0
        self.active = torch.ones(batch, dtype=torch.bool, device=device)
        self._step, self._limits = step, limits
        self._counted = step.rounding_counted and limits.stopping == "bound"
        self._iterations = torch.zeros(batch, dtype=torch.int64, device=device)
        self._status = [Status.ITERATION_LIMIT] * batch
        unknown = torch.full((batch,), torch.inf, dtype=real, device=device)
        self._residual, self._bound, self._before = unknown, unknown.clone(), unknown.clone()
        self._target = torch.full_like(unknown, limits.tol)
        # Of the best iterate so far: it, and the start and length of the step that led to it.
        self._value = self._start = x0
        self._difference = torch.zeros_like(x0)
        self._plain = x0
        self._history = AndersonHistory(limits.memory)
        self._accelerated = torch.zeros(batch, dtype=torch.bool, device=device)
        self._records = Records(batch, real, device)
        self._trace: list[Tensor] = []

    def advance(self) -> None:
        """Apply the step once, and see which samples stop."""
        step = self._step(self.x, last=self._expects_the_end())
        self._iterations += self.active
        tiny = torch.finfo(self._bound.dtype).tiny
        length, size = norm(step.difference), norm(step.image).clamp_min(tiny)
        residual = length + step.error
        k = self._step.contraction
        # ‖x − T(x)‖ ≤ residual; ‖T̃(x) − x*‖ ≤ ‖T̃(x) − T(x)‖ + k/(1 − k) ‖x − T(x)‖.
        bound = (step.error + k / (1 - k) * residual) / size
        finite = torch.isfinite(residual)
        # What the plain step is sure to reach, an accelerated one has to reach too.
        best = self._records.residual
        rejected = self._accelerated & ~(residual <= k * best)
        accepted = self.active & finite & ~rejected
        figures = {
            "bound": bound,
            "residual": length / size,
            "relative-change": length / norm(self.x).clamp_min(tiny),
        }
        self._trace.append(torch.stack([length / size, bound]))
        self._keep(step, accepted, bound, length / size)
        done = accepted & (figures[self._limits.stopping] <= self._target)
        done = self._confirmed(done)
        diverged = self.active & ~rejected & (residual > DIVERGENCE_FACTOR * best)
        if self._limits.contracts:
            diverged = torch.zeros_like(diverged)
        broken = self.active & ~finite & ~self._accelerated
        self._records.update(residual, bound, accepted)
        accelerated = self._limits.memory > 0
        waited = BEFORE_REFINEMENT if self._limits.refined else patience(k, accelerated=accelerated)
        stagnant = self._records.stand_still(waited, length, step.terms)
        stagnant = self.active & stagnant & ~(done | diverged | broken)
        self._mark(done, Status.CONVERGED)
        self._mark(diverged, Status.DIVERGED)
        self._mark(broken, Status.NON_FINITE)
        self._mark(stagnant, Status.STAGNATED)
        self.active = self.active & ~(done | diverged | broken | stagnant)
        self._propose(step, accepted)

    def _expects_the_end(self) -> bool:
        """Whether a sample will reach its tolerance in the next step if it goes on as it did."""
        if not self._counted:
            return False
        known = torch.isfinite(self._before)
        expected = torch.where(known, self._bound * (self._bound / self._before), self._bound)
        return bool((self.active & (expected <= self._target)).any())

    def _keep(self, step: Iteration, accepted: Tensor, bound: Tensor, residual: Tensor) -> None:
        better = accepted
        if self._limits.stopping != "relative-change":
            # Of equal bounds, but for their rounding, the later one.
            equal = 1 + 8 * torch.finfo(bound.dtype).eps
            better = accepted & ~(bound > equal * self._bound)
        self._value = select(better, step.image, self._value)
        if self._counted:
            # As it is where that is one for all: the step knows it again.
            every = bool(better.all())
            self._start = self.x if every else select(better, self.x, self._start)
            self._difference = select(better, step.difference, self._difference)
        self._before = torch.where(better, self._bound, self._before)
        self._residual = torch.where(better, residual, self._residual)
        self._bound = torch.where(better, bound, self._bound)

    def _confirmed(self, done: Tensor) -> Tensor:
        """Return which of the samples that seem done are so with rounding."""
        if not (self._counted and bool(done.any())):
            return done
        counted = self._bound_with_rounding()
        sure = done & (counted <= self._limits.tol)
        self._target = torch.where(done & ~sure, RETRY * self._bound, self._target)
        self._bound = torch.where(sure, counted, self._bound)
        return sure

    def _bound_with_rounding(self) -> Tensor:
        bound = self._step.bound(self._start, self._value, self._difference, self._limits.tol)
        return bound.to(self._bound.dtype)

    def _propose(self, step: Iteration, accepted: Tensor) -> None:
        self._plain = select(accepted, step.image, self._plain)
        proposal = self._plain
        if self._limits.memory > 0:
            self._history.push(step.image, step.difference, accepted)
            proposal = select(accepted, self._history.propose(), self._plain)
        self._accelerated = accepted & (self._iterations > 1) & (self._limits.memory > 0)
        self.x = select(self.active, proposal, self._value)

    def _mark(self, which: Tensor, status: Status) -> None:
        for sample in torch.nonzero(which).flatten().tolist():
            self._status[sample] = status

    def end_in_time(self) -> None:
        """Note that the samples still in the batch end for want of time."""
        self._mark(self.active, Status.TIME_LIMIT)

    def let_go(self) -> None:
        """Take the samples that have stopped out of the batch, if the step is known without."""
        if bool(self.active.all()):
            return
        rest, gone = (torch.nonzero(one).flatten() for one in (self.active, ~self.active))
        step = self._step.for_samples(rest)
        if step is None:
            return
        self._left.append(self._ended(gone))
        step.network_evaluations = self._step.network_evaluations
        step.normal_evaluations = self._step.normal_evaluations
        self._step = step
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[rest])
        self._status = [self._status[number] for number in rest.tolist()]
        self._trace = [figures[:, rest] for figures in self._trace]
        self._history.keep(rest)
        self._records.keep(rest)

    def _ended(self, which: Tensor) -> _Left:
        """Return what samples have come to, their bounds with rounding where that counts."""
        status = [self._status[number] for number in which.tolist()]
        bound = self._bound[which]
        if self._counted and any(one is not Status.CONVERGED for one in status):
            solved = torch.tensor([one is Status.CONVERGED for one in status], device=bound.device)
            bound = torch.where(solved, bound, self._bound_with_rounding()[which])
            # Rounding may have been on this side: a bound within the tolerance is what was asked.
            reached = (bound <= self._limits.tol).tolist()
            status = [
                Status.CONVERGED if one is Status.STAGNATED and within else one
                for one, within in zip(status, reached, strict=True)
            ]
        trace = torch.stack(self._trace, dim=1)[:, :, which].cpu()
        figures = self._iterations[which], self._residual[which], bound
        return _Left(self._samples[which], self._value[which], status, *figures, trace)

    def solution(self) -> Solution:
        parts = [*self._left, self._ended(torch.arange(len(self.x), device=self.x.device))]
        order = torch.cat([part.samples for part in parts]).argsort()
        longest = max(part.trace.shape[1] for part in parts)
        status = [one for part in parts for one in part.status]

        def whole(name: str) -> Tensor:
            values = [getattr(part, name) for part in parts]
            return values[0] if len(values) == 1 else torch.cat(values)[order]

        traces = torch.cat([part.continued(longest) for part in parts], dim=2)
        return Solution(
            value=whole("value"),
            status=tuple(status[number] for number in order.tolist()),
            iterations=whole("iterations"),
            network_evaluations=self._step.network_evaluations,
            normal_evaluations=self._step.normal_evaluations,
            relative_residual=whole("residual"),
            guarantee=Guarantee(error_bound=whole("bound"), proved=self._counted, rests_on=""),
            trace=traces[:, :, order.cpu()],
        )


@dataclass(frozen=True)
class _Left:
    """What samples came to that have left the batch, or were in it at the end."""

    samples: Tensor
    value: Tensor
    status: list[Status]
    iterations: Tensor
    residual: Tensor
    bound: Tensor
    trace: Tensor

    def continued(self, count: int) -> Tensor:
        """Return the trace over so many iterations, with its last figures in those without."""
        more = count - self.trace.shape[1]
        last = self.trace[:, -1:].expand(-1, more, -1)
        return torch.cat([self.trace, last], dim=1)
