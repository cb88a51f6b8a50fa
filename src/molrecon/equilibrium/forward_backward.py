"""Forward–backward splitting, and the settings of every fixed-point solve."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import get_args

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.equilibrium import rounding
from molrecon.equilibrium.anderson import select
from molrecon.equilibrium.fixed_point import (
    Equation,
    Iteration,
    Limits,
    Step,
    Stopping,
    iterate,
)
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.operator_model import operator_norm, operator_rounding
from molrecon.equilibrium.solution import AS_TRAINED, Solution
from molrecon.errors import InputError
from molrecon.linear.solution import Solver
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.operators.base import norm, per_sample

PROVED = "the network satisfies Lip(H) ≤ 1 − m, and rounding is counted"
ROUNDING_UNKNOWN = "rounding in single precision, which was not counted, is below it"


@dataclass(frozen=True)
class ForwardBackward:
    """Solve an equation by a contraction, an `Inclusion` by forward–backward splitting.

    For the inclusion the contraction is
    ``T(x) = (I + αλAᴴA)⁻¹((1 − α)x + αH(x) + αλAᴴy)`` (Pramanik et al. 2023, supplement eq. 1),
    computed as ``x − α(I + αλAᴴA)⁻¹G(x)``. If ``Lip(H) ≤ 1 − m`` the map contracts with factor
    ``1 − αm`` for every α in (0, 1], and its fixed point does not depend on α. Anderson
    acceleration proposes iterates; one that does not lower the residual by that factor is discarded
    for the plain step, which carries the guarantee. Every sample of a batch stops by itself: at its
    tolerance, or where rounding lets it come no closer, see `molrecon.equilibrium.stagnation`. One
    that stops before its tolerance has the iterate of the smallest bound for its value.

    The bound includes rounding where the network is known in double precision
    (`Inclusion.precise`), see `molrecon.equilibrium.rounding`. A solve that rounding in single
    precision keeps above its tolerance then goes on in double (`refined`), if the rounding of the
    image that is returned leaves room for it: below a tolerance of about 4e-7 it does not.

    Parameters
    ----------
    alpha
        Step in (0, 1].
    tol
        Tolerance of the stopping rule, in (0, 1].
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
        Solver of the linear systems ``(I + cAᴴA) w = −αG(x)``; by default direct where the
        operator has a closed form. A residual of 0.2 of the right-hand side is the best
        compromise for conjugate gradients: the bound counts what is left of it.
    seconds
        Soft limit of the time: after so many seconds no further iteration begins, and the solution
        has the status ``"time limit"`` and the bound that was reached. None for no limit.

    Raises
    ------
    InputError
        If a setting is out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, ForwardBackward, Inclusion
    >>> y = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    >>> A = Denoising((1, 4, 4), dtype=torch.float64)
    >>> equation = Inclusion(lambda x: 0.5 * x, A, torch.tensor([3.5]), y, monotonicity=0.5)
    >>> solution = ForwardBackward(tol=1e-6)(equation, torch.zeros_like(y))
    >>> solution.converged, bool(solution.error_bound <= 1e-6)
    (True, True)
    """

    alpha: float = 1.0
    tol: float = 1e-3
    stopping: Stopping = "bound"
    max_iterations: int = 200
    memory: int = 5
    inner: Solver = field(default_factory=lambda: LinearSolver(rtol=0.2, max_iterations=100))
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise InputError(f"alpha is {self.alpha}, expected a step in (0, 1]")
        require_positive("tol", self.tol, most=1)
        require_positive("seconds", self.seconds)
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
    def __call__(self, equation: Equation, x0: Tensor, *, certified: bool = False) -> Solution:
        """Iterate from ``x0`` until every sample has stopped.

        Divergence, non-finite values, stagnation and the limits of iterations and time are statuses
        of the returned `Solution`; nothing is raised here.

        Parameters
        ----------
        equation
            The equation.
        x0
            Starting images ``(batch, *shape_in)``.
        certified
            Whether ``equation.monotonicity`` is proved.
        """
        conditions = [*([] if certified else [AS_TRAINED]), *equation.assumes]
        contracts = not conditions
        limits = Limits(
            self.tol,
            self.stopping,
            self.max_iterations,
            self.memory,
            contracts,
            seconds=self.seconds,
        )
        step, finer = equation.step(self.alpha, self.inner), _tolerance_in_double(self.tol, x0)
        goes_on = step.rounding_counted and self.stopping == "bound" and finer > 0
        solution = iterate(step, x0, replace(limits, refined=goes_on))
        if goes_on and Status.STAGNATED in solution.status and isinstance(equation, Inclusion):
            double = equation.refined()
            assert double is not None
            fine = double.step(self.alpha, self.inner)
            solution = refined(solution, fine, replace(limits, tol=finer), self.tol)
        assert solution.guarantee is not None
        counted = solution.guarantee.proved
        if not counted:
            conditions.append(ROUNDING_UNKNOWN)
        guarantee = replace(
            solution.guarantee,
            proved=not conditions,
            rests_on=", and ".join(conditions) or PROVED,
            monotonicity=equation.monotonicity,
        )
        return replace(solution, guarantee=guarantee, lam=equation.lam)


def _tolerance_in_double(tol: float, x: Tensor) -> float:
    """Return the bound in double precision that leaves room for rounding images as ``x``, or 0."""
    u = rounding.unit_roundoff(x.dtype)
    if u == rounding.unit_roundoff(torch.float64):
        return 0.0
    # The image is rounded twice, as it is stored and as it is multiplied by its unit. What is left
    # has to be a half at least, or the solve would go on for nothing.
    rest = tol / rounding.SLACK**2 - 2 * u
    return rest if rest >= tol / 2 else 0.0


@torch.no_grad()
def refined(solution: Solution, step: Step, limits: Limits, tol: float) -> Solution:
    r"""Return a solution whose stagnated samples went on in double precision.

    The image z of the solve in double has a proved bound b, ``‖z − x*‖ ≤ b‖z‖``. It is returned
    as x in the precision of the solution, and ``‖x − x*‖ ≤ ‖x − z‖ + b‖z‖``, where ``‖x − z‖`` is
    not estimated but computed; a rounding of x is added for its multiplication by the unit of the
    measurements. Samples that had another status are left as they were.

    Parameters
    ----------
    solution
        Of the solve in single precision, its bound with rounding.
    step
        The contraction of the same equation in double precision.
    limits
        Of the solve in double precision.
    tol
        What the bound has to be at most.
    """
    assert solution.guarantee is not None
    assert solution.relative_residual is not None
    assert solution.trace is not None
    stagnated = [status is Status.STAGNATED for status in solution.status]
    chosen = torch.tensor(stagnated, device=solution.value.device)
    which = torch.nonzero(chosen).flatten()
    few = None if all(stagnated) else step.for_samples(which)
    if few is None:
        few, which = step, torch.arange(len(chosen), device=chosen.device)
    coarse, before = solution.value[which], solution.guarantee.error_bound[which]
    kind = torch.complex128 if coarse.is_complex() else torch.float64
    fine = iterate(few, coarse.to(kind), limits)
    assert fine.guarantee is not None
    assert fine.relative_residual is not None
    assert fine.trace is not None
    image = fine.value.to(coarse.dtype)
    length = norm(image.to(kind)).clamp_min(torch.finfo(torch.float64).tiny)
    away = norm(fine.value - image) + fine.guarantee.error_bound * norm(fine.value)
    bound = rounding.SLACK * (away / length + rounding.unit_roundoff(coarse.dtype))
    bound = bound.nan_to_num(torch.inf, torch.inf).to(before)
    better = chosen[which] & (bound <= before)
    residual = fine.relative_residual.to(before)

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, which, select(better, new, old[which]))

    bound = put(solution.guarantee.error_bound, bound)
    reached = (bound <= tol).tolist()
    ends = list(solution.status)
    for sample, status in zip(which.tolist(), fine.status, strict=True):
        if stagnated[sample] and status is Status.TIME_LIMIT:
            ends[sample] = status
    # Of the others, which did not go on, the last figures again.
    more = solution.trace[:, -1:].repeat(1, fine.trace.shape[1], 1)
    more[:, :, which.cpu()] = fine.trace.to(more)
    return replace(
        solution,
        value=put(solution.value, image),
        status=tuple(
            Status.CONVERGED if was and within else status
            for was, within, status in zip(stagnated, reached, ends, strict=True)
        ),
        iterations=solution.iterations.index_add(0, which, fine.iterations * chosen[which]),
        network_evaluations=solution.network_evaluations + fine.network_evaluations,
        normal_evaluations=solution.normal_evaluations + fine.normal_evaluations,
        relative_residual=put(solution.relative_residual, residual),
        guarantee=replace(solution.guarantee, error_bound=bound),
        trace=torch.cat([solution.trace, more], dim=1),
    )


class SplittingStep(Step):
    """One step of forward–backward splitting for an `Inclusion`, in residual form.

    ``T(x) = x + (I + cAᴴA)⁻¹ p`` with ``p = −αG(x)/s``, ``c = αλ/s``, ``s = 1 + α shift``. The
    correction is computed from a right-hand side that vanishes at the solution, so the rounding of
    the linear solve is relative to the correction and not to the image.
    """

    def __init__(self, equation: Inclusion, alpha: float, inner: Solver) -> None:
        self._equation, self._alpha, self._inner = equation, alpha, inner
        s = 1 + alpha * equation.shift
        self._length, self._c = alpha / s, alpha * equation.lam / s
        self._rate = alpha * equation.strong_monotonicity / s
        self.contraction = 1 - self._rate
        known = equation.precise is not None or equation.lam.dtype == torch.float64
        self.rounding_counted = equation.counts_rounding and known
        self._precise: tuple[Tensor, Tensor] | None = None

    def for_samples(self, samples: Tensor) -> SplittingStep | None:
        """Return the step of some samples of the batch; None where the equation is not known."""
        equation = self._equation.for_samples(samples)
        if equation is None:
            return None
        step = SplittingStep(equation, self._alpha, self._inner)
        return step if step.rounding_counted == self.rounding_counted else None

    def __call__(self, x: Tensor, *, last: bool = False) -> Iteration:
        """Return ``T(x)`` for images ``(batch, *shape_in)``; p in double precision if ``last``."""
        equation = self._equation
        if last:
            p = self._right_side_in_double(x).to(x.dtype)
        else:
            p = equation.residual(x).mul_(-self._length)
            self.network_evaluations += 1
            self.normal_evaluations += 1
        linear = self._inner(equation.A, self._c, p)
        self.normal_evaluations += linear.normal_evaluations
        image = x + linear.value
        gain = 1 + self._c * equation.A.nominal_norm**2
        return Iteration(image, linear.value, linear.error, norm(image) * gain)

    def bound(self, x: Tensor, image: Tensor, difference: Tensor, tol: float) -> Tensor:
        """Bound ``‖image − x*‖ / ‖image‖``, ``(batch,)``; see `molrecon.equilibrium.rounding`."""
        equation = self._double
        kind = torch.complex128 if x.is_complex() else torch.float64
        # Of the λ that is stored: the weight of the steps may have been rounded.
        c, k = self._length * equation.lam, self.contraction
        floor = self._floor(x, difference, c)
        q, w = self._right_side_in_double(x), difference.to(kind)
        stored = norm((image.to(kind) - x).sub_(w))
        size = norm(image.to(kind)).clamp_min(torch.finfo(c.dtype).tiny)
        q = (q - w).sub_(per_sample(c, w) * equation.A.normal(w))
        self.normal_evaluations += 1
        own = operator_rounding(equation.A)
        gain = 1 + 2 * own * c * operator_norm(equation.A) ** 2

        def total(error: Tensor) -> Tensor:
            error = error + floor
            sum_ = stored + error + k / self._rate * (norm(w) + error)
            # The image is rounded once more, when it is multiplied by its unit.
            last = rounding.unit_roundoff(difference.dtype)
            single = equation is not self._equation
            slack = rounding.SLACK if single else rounding.DOUBLE_SLACK
            return sum_ / size * slack + last * (sum_ > 0)

        found = total(norm(q))
        coarse = found > tol
        if bool(coarse.any()):
            linear = self._inner(self._equation.A.in_double, c, q)
            v = linear.value
            self.normal_evaluations += 1 + linear.normal_evaluations
            rest = norm(q - v - per_sample(c, v) * equation.A.normal(v))
            rest = rest + rounding.unit_roundoff(kind) * gain * norm(v)
            found = torch.where(coarse, torch.minimum(found, total(norm(v) + rest)), found)
        return found.nan_to_num(torch.inf, torch.inf)

    @cached_property
    def _double(self) -> Inclusion:
        equation = self._equation.in_double()
        assert equation is not None
        return equation

    def _right_side_in_double(self, x: Tensor) -> Tensor:
        """Return ``p = −αG(x)/s`` in double precision, kept for the images it was made of."""
        if self._precise is None or self._precise[0] is not x:
            # In place: of volumes in double precision there should be few copies.
            self._precise = None
            wide = x.to(torch.complex128 if x.is_complex() else torch.float64)
            with torch.autocast(x.device.type, enabled=False):
                p = self._double.residual(wide).mul_(-self._length)
            self._precise = x, p
            self.network_evaluations += 1
            self.normal_evaluations += 1
        return self._precise[1]

    def _floor(self, x: Tensor, difference: Tensor, c: Tensor) -> Tensor:
        """Return the rounding that double precision leaves, from norms in the present one."""
        equation = self._equation
        size, step = norm(x).to(c), norm(difference).to(c)
        operator = operator_norm(equation.A).to(c)
        predicted, data = equation.A(x), 0 * size
        measured = equation.data
        if measured is not None:
            data = norm(measured).to(c)
            predicted = predicted - measured
        applied = operator_rounding(equation.A)
        own = applied * rounding.unit_roundoff(x.dtype) * (data + operator * size)
        return rounding.floor(
            size=size,
            mismatch=norm(predicted).to(c) + own,
            data=data,
            step=step,
            c=c,
            norm=operator,
            network=equation.network_rounding.size(x),
            operator=applied,
        )
