"""Forward–backward splitting with a safeguarded acceleration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from molrecon.equilibrium.anderson import AndersonHistory, select
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.solution import AS_TRAINED, Guarantee, Solution
from molrecon.equilibrium.stagnation import Records, patience
from molrecon.errors import InputError
from molrecon.linear.solution import Solver
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.operators.base import norm

Stopping = Literal["bound", "residual", "relative-change"]

DIVERGENCE_FACTOR = 1e3


@dataclass(frozen=True)
class ForwardBackward:
    """Solve an `Inclusion` by ``T(x) = (I + αλAᴴA)⁻¹((1 − α)x + αH(x) + α rhs)``.

    (Pramanik et al. 2023, supplement eq. 1.) If ``Lip(H) ≤ 1 − m`` the map contracts with factor
    ``1 − αm`` for every α in (0, 1], and its fixed point does not depend on α. Anderson
    acceleration proposes iterates; one that does not lower the residual by that factor is discarded
    for the plain step, which carries the guarantee. Every sample of a batch stops by itself: at its
    tolerance, or where rounding lets it come no closer, see `molrecon.equilibrium.stagnation`.

    Parameters
    ----------
    alpha
        Step in (0, 1].
    tol
        Tolerance of the stopping rule.
    stopping
        ``"bound"``: the a-posteriori bound on ``‖x − x*‖ / ‖x‖`` is at most ``tol``;
        ``"residual"``: ``‖x − T(x)‖ / ‖x‖`` is at most ``tol``;
        ``"relative-change"``: the published rule, ``‖x_{n+1} − x_n‖ / ‖x_n‖ < tol``, which says
        nothing about the distance to the solution when α is small.
    max_iterations
        Cap on applications of H.
    memory
        Anderson memory; 0 for the plain iteration.
    inner
        Solver of the linear systems, warm-started at the current iterate; by default direct where
        the operator has a closed form. The tolerance of an iterative one must be relative to the
        *starting* residual, which is αG(x): relative to the right-hand side it
        would return its start near the solution, and x − T(x) would vanish by mistake.
    """

    alpha: float = 1.0
    tol: float = 1e-3
    stopping: Stopping = "bound"
    max_iterations: int = 200
    memory: int = 5
    inner: Solver = field(
        default_factory=lambda: LinearSolver(rtol=0.2, relative_to="start", max_iterations=100)
    )

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise InputError(f"alpha is {self.alpha}, expected a step in (0, 1]")
        if not self.tol > 0:
            raise InputError(f"tol is {self.tol}, expected a positive tolerance")
        if self.stopping not in get_args(Stopping):
            raise InputError(
                f"stopping is {self.stopping!r}, expected one of {', '.join(get_args(Stopping))}"
            )
        if self.max_iterations < 1 or self.memory < 0:
            raise InputError(
                f"max_iterations is {self.max_iterations} and memory {self.memory}, expected at "
                "least 1 and 0"
            )

    @torch.no_grad()
    def __call__(self, inclusion: Inclusion, x0: Tensor, *, certified: bool = False) -> Solution:
        """Iterate from ``x0`` (``(batch, *shape_in)``) until every sample has stopped.

        Divergence, non-finite values, stagnation and the iteration cap are statuses of the
        returned `Solution`; nothing is raised here.
        """
        state = _State(x0, self.memory)
        for _ in range(self.max_iterations):
            step = self._step(inclusion, state)
            state.advance(step, self._converged(step))
            if not bool(state.active.any()):
                break
        return state.solution(inclusion, certified)

    def _step(self, inclusion: Inclusion, state: _State) -> _Step:
        x = state.x
        a = self.alpha
        h = inclusion.H(x)
        s = 1 + a * inclusion.shift
        target = ((1 - a) * x + a * (h + inclusion.rhs)) / s
        # The residual of this system at x is −αG(x)/s, where a warm-started solver begins.
        linear = self.inner(inclusion.A, a * inclusion.lam / s, target, x)
        state.network_evaluations += 1
        state.normal_evaluations += linear.normal_evaluations
        difference = linear.value - x
        length = norm(difference)
        size = norm(linear.value).clamp_min(torch.finfo(length.dtype).tiny)
        # ‖x − T(x)‖ ≤ length + error of the linear solve;
        # ‖T̃(x) − x*‖ ≤ ‖T̃(x) − T(x)‖ + (1 − αμ)/(αμ) ‖x − T(x)‖.
        contraction = 1 - a * inclusion.strong_monotonicity / s
        distance = length + linear.error
        bound = linear.error + contraction / (1 - contraction) * distance
        return _Step(
            image=linear.value,
            difference=difference,
            residual=distance,
            relative_residual=length / size,
            relative_change=length / norm(x).clamp_min(torch.finfo(length.dtype).tiny),
            relative_bound=bound / size,
            contraction=contraction,
            length=length,
            terms=size * (1 + a * inclusion.lam / s * inclusion.A.nominal_norm**2),
        )

    def _converged(self, step: _Step) -> Tensor:
        measure = {
            "bound": step.relative_bound,
            "residual": step.relative_residual,
            "relative-change": step.relative_change,
        }[self.stopping]
        return measure <= self.tol


@dataclass(frozen=True)
class _Step:
    image: Tensor
    difference: Tensor
    residual: Tensor
    relative_residual: Tensor
    relative_change: Tensor
    relative_bound: Tensor
    contraction: float
    length: Tensor
    terms: Tensor
    """Size of what the step was computed from, and so the scale of its rounding."""


class _State:
    """The iteration's memory: per sample, where it stands and whether it has stopped."""

    def __init__(self, x0: Tensor, memory: int) -> None:
        batch, device, real = x0.shape[0], x0.device, x0.real.dtype
        self.x = x0
        self.value = x0
        self.active = torch.ones(batch, dtype=torch.bool, device=device)
        self.iterations = torch.zeros(batch, dtype=torch.int64, device=device)
        self.relative_residual = torch.full((batch,), torch.inf, dtype=real, device=device)
        self.relative_bound = self.relative_residual.clone()
        self.status = [Status.ITERATION_LIMIT] * batch
        self.network_evaluations = 0
        self.normal_evaluations = 0
        self._memory = memory
        self._history = AndersonHistory(memory)
        self._accelerated = torch.zeros(batch, dtype=torch.bool, device=device)
        self._records = Records(batch, real, device)
        self._plain = x0

    def advance(self, step: _Step, converged: Tensor) -> None:
        self.iterations += self.active
        finite = torch.isfinite(step.residual)
        # What the plain step is sure to reach, an accelerated one has to reach too.
        best = self._records.residual
        rejected = self._accelerated & ~(step.residual <= step.contraction * best)
        accepted = self.active & finite & ~rejected
        self.value = select(accepted, step.image, self.value)
        self.relative_residual = torch.where(
            accepted, step.relative_residual, self.relative_residual
        )
        self.relative_bound = torch.where(accepted, step.relative_bound, self.relative_bound)
        diverged = self.active & ~rejected & (step.residual > DIVERGENCE_FACTOR * best)
        broken = self.active & ~finite & ~self._accelerated
        done = accepted & converged
        self._records.update(step.residual, step.relative_bound, accepted)
        waited = patience(step.contraction, accelerated=self._memory > 0)
        stagnant = self._records.stand_still(waited, step.length, step.terms)
        stagnant = self.active & stagnant & ~(done | diverged | broken)
        self._mark(done, Status.CONVERGED)
        self._mark(diverged, Status.DIVERGED)
        self._mark(broken, Status.NON_FINITE)
        self._mark(stagnant, Status.STAGNATED)
        self.active = self.active & ~(done | diverged | broken | stagnant)
        self._propose(step, accepted, rejected)

    def _propose(self, step: _Step, accepted: Tensor, rejected: Tensor) -> None:
        self._plain = select(accepted, step.image, self._plain)
        proposal = self._plain
        if self._memory > 0:
            self._history.push(step.image, step.difference, accepted)
            proposal = select(accepted, self._history.propose(), self._plain)
        self._accelerated = accepted & (self.iterations > 1) & (self._memory > 0)
        self.x = select(self.active, proposal, self.value)

    def _mark(self, which: Tensor, status: Status) -> None:
        for sample in torch.nonzero(which).flatten().tolist():
            self.status[sample] = status

    def solution(self, inclusion: Inclusion, certified: bool) -> Solution:
        return Solution(
            value=self.value,
            status=tuple(self.status),
            iterations=self.iterations,
            network_evaluations=self.network_evaluations,
            normal_evaluations=self.normal_evaluations,
            relative_residual=self.relative_residual,
            guarantee=Guarantee(
                error_bound=self.relative_bound,
                proved=certified,
                rests_on="the network satisfies Lip(H) ≤ 1 − m" if certified else AS_TRAINED,
                monotonicity=inclusion.monotonicity,
            ),
            lam=inclusion.lam,
        )
