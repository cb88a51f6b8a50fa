"""Methods under attack on one scan, over several sizes of the perturbation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from molrecon.arguments import require_seed
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.evaluation.attack.target import Target
from molrecon.evaluation.attack.worst_case import Perturbed, gaussian, harm, perturbed, worst_case
from molrecon.evaluation.metrics import psnr
from molrecon.operators.base import LinearOperator, norm
from molrecon.progress import Advance, silent
from molrecon.reconstructors.base import Reconstructor

HELD_FIXED = (
    "Unit, noise level σ, data weight λ, the image of a guide, coil maps and mask are held at "
    "their values for the unperturbed scan, the condition that the bound is proved under."
)

Goal = Literal["change", "loss"]
"""What is made as large as possible: how far the image moves, or its error."""


@dataclass(frozen=True)
class AttackEffort:
    """How hard to attack.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    # Starts for every ε: the perturbation found for the smaller one, the strongest Gaussian draw,
    # then random ones.
    restarts: int = 2
    steps: int = 12  # steps from every start
    draws: int = 3  # gaussian perturbations, of whose figures the means are reported
    # Of the solves that are reported: largest relative distance to the exact solution.
    tol: float = 1e-4
    seed: int = 0  # of starts and draws
    goal: Goal = "change"

    def __post_init__(self) -> None:
        if self.goal not in get_args(Goal):
            raise InputError(
                f"goal is {self.goal!r}, expected one of {', '.join(get_args(Goal))}; correct it."
            )
        for name, least in (("restarts", 1), ("steps", 1), ("draws", 1)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} is {value}, expected at least {least}")
        if not 0 < self.tol < 1:
            raise InputError(f"tol is {self.tol}, expected a number between 0 and 1")
        require_seed(self.seed)

    def solves(self, sizes: int) -> int:
        """Number of steps of a whole attack over so many sizes."""
        return self.restarts * self.steps * sizes


@dataclass(frozen=True)
class Effect:
    """What a perturbation does."""

    change: float  # ‖Δx‖ / ‖x‖
    gain: float  # ‖Δx‖ / ‖Δy‖
    gain_error: float  # how far it may be from that of the exact solutions
    psnr: float  # in dB, against the reference or, without one, the unperturbed image


@dataclass(frozen=True, eq=False)
class Point:
    """A method at one size of the perturbation."""

    epsilon: float  # ‖Δy‖ / ‖y‖ over the sampled positions
    worst: Effect | None  # of the worst one found; None where it cannot be sought
    gaussian: Effect  # mean of Gaussian ones of the same norm
    exceeded: bool  # whether the exact solutions move by more than the bound allows
    delta: Tensor | None  # the worst perturbation, on the CPU
    image: Tensor | None  # the image it gives, on the CPU


@dataclass(frozen=True, eq=False)
class Attacked:
    """A method and its points."""

    name: str  # see `Reconstructor.label`
    method: str
    model: str | None  # as the user named it; None where there is none
    most_gain: float | None  # what its bound was to be at most; None where none was asked for
    bound: float | None  # ‖Δx‖ ≤ bound · ‖Δy‖ by theory; None where there is no such theory
    certified: bool  # whether what the bound rests on is proved; if not, it is conditional
    sigma: float | None  # as held fixed; None where a method has none
    lam: float | None  # as held fixed; None where a method has none
    psnr: float | None  # of the unperturbed image against the reference; None without a reference
    image: Tensor  # unperturbed, on the CPU
    points: tuple[Point, ...]  # by ascending ε
    doubt: str | None = None  # what of the data the bound rests on, a clause; None for nothing

    @property
    def exceeded(self) -> tuple[Point, ...]:
        """The points beyond the bound: there are none if the bound is certified."""
        return tuple(point for point in self.points if point.exceeded)

    @property
    def remarks(self) -> list[str]:
        """What the figures do not say by themselves, one sentence each."""
        remarks = []
        if self.bound is not None and self.doubt is not None:
            remarks.append(f"The bound of {self.name} is conditional: it holds if {self.doubt}.")
        if self.points[0].worst is None:
            remarks.append(f"{self.name} has no gradient: only Gaussian perturbations.")
        if self.exceeded:
            sizes = ", ".join(f"{100 * point.epsilon:g} %" for point in self.exceeded)
            what, why = "conditional", "its network is not as monotone here as it was trained to be"
            if self.certified:
                what, why = "certified", "please report this as an error of molrecon"
            remarks.append(f"{self.name} exceeds its {what} bound at {sizes}: {why}.")
        return remarks

    def facts(self) -> dict[str, Any]:
        """Return all but the images as plain values."""
        points = [
            {
                "epsilon": point.epsilon,
                "worst": None if point.worst is None else vars(point.worst),
                "gaussian": vars(point.gaussian),
                "exceeded": point.exceeded,
            }
            for point in self.points
        ]
        known = {name: value for name, value in vars(self).items() if name != "image"}
        return known | {"points": points}


def attack(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    epsilons: Sequence[float],
    *,
    sigma: float | None = None,
    reference: Tensor | None = None,
    effort: AttackEffort | None = None,
    report: Advance = silent,
) -> Attacked:
    """Attack a method on one scan of measurements ``y``, ``(1, *A.shape_out)``.

    ``epsilons`` are the sizes ``‖Δy‖ / ‖y‖`` of the perturbations, in (0, 1]; ``sigma`` is
    estimated if it is None; ``reference`` is the right image ``(1, 1, *spatial)`` in the unit of
    ``y``. ``report`` is told what is being done and the number of steps done. Images that are not
    finite raise.
    """
    effort = effort or AttackEffort()
    check_sizes(epsilons)
    check_goal(effort.goal, reference)
    aim = reference if effort.goal == "loss" else None
    name = method.label
    report(f"{name}: unperturbed", 0)
    target = Target.of(method, y, A, sigma)
    clean = _unperturbed(target, effort.tol)
    points: list[Point] = []
    for epsilon in sorted(epsilons):
        found = points[-1].delta if points else None
        tried = _tried(target, clean, epsilon, found, effort, aim, report)
        points.append(_point(tried, clean, epsilon, effort.draws, reference))
    return Attacked(
        name=name,
        method=method.name,
        model=method.model,
        most_gain=method.most_gain,
        bound=_only(clean.robustness),
        certified=clean.certified and clean.robustness is not None,
        sigma=_only(clean.sigma),
        lam=_only(clean.lam),
        psnr=None if reference is None else psnr(clean.value, reference).value,
        image=clean.value.cpu(),
        points=tuple(points),
    )


@torch.no_grad()
def _unperturbed(target: Target, tol: float) -> Solution:
    clean = target.reconstruct(target.y, tol=tol)
    _require_finite(clean, f"{target.method.label}: the unperturbed image")
    return clean


def _tried(
    target: Target,
    clean: Solution,
    epsilon: float,
    found: Tensor | None,
    effort: AttackEffort,
    aim: Tensor | None,
    report: Advance,
) -> list[Perturbed]:
    """Return the Gaussian perturbations of one size and then, if it can be sought, the worst case.

    ``found`` is the worst one of a smaller size, a start of the search, and ``aim`` the right image
    where the error is what is to grow.
    """
    name = target.method.label
    label = f"{name}, ε = {epsilon:g}"
    report(label, 0)
    seeds = [effort.seed + 1000 + k for k in range(effort.draws)]
    draws = [
        perturbed(target, clean, gaussian(target, epsilon, seed), tol=effort.tol) for seed in seeds
    ]
    for one in draws:
        _require_finite(one.solution, f"{name}: an image under attack")
    if not target.method.differentiable:
        return draws
    # The strongest draw is a start, so that no draw is worse than the worst case.
    strongest = max(draws, key=lambda one: float(harm(one.solution.value, clean.value, aim))).delta
    starts = [strongest] if found is None else [found.to(strongest.device), strongest]
    worst = worst_case(
        target,
        clean,
        epsilon,
        starts=starts[: effort.restarts],
        restarts=max(0, effort.restarts - len(starts)),
        steps=effort.steps,
        seed=effort.seed,
        reference=aim,
        report=lambda harm: report(f"{label}: {effort.goal} {harm:.3g} ‖Δy‖", 1),
    )
    found_worst = perturbed(target, clean, worst, tol=effort.tol)
    _require_finite(found_worst.solution, f"{name}: an image under attack")
    return [*draws, found_worst]


def _point(
    tried: Sequence[Perturbed],
    clean: Solution,
    epsilon: float,
    draws: int,
    reference: Tensor | None,
) -> Point:
    """Sum up what was tried at one size: the first ``draws`` are Gaussian, the rest worst cases."""

    def effect(one: Perturbed) -> Effect:
        against = clean.value if reference is None else reference
        return Effect(
            change=float(one.moved / norm(clean.value)),
            gain=float(one.gain),
            gain_error=float(one.gain_error),
            psnr=psnr(one.solution.value, against).value,
        )

    worst = tried[draws] if len(tried) > draws else None
    return Point(
        epsilon=epsilon,
        worst=None if worst is None else effect(worst),
        gaussian=_mean([effect(one) for one in tried[:draws]]),
        exceeded=_exceeded(clean, tried),
        delta=None if worst is None else worst.delta.cpu(),
        image=None if worst is None else worst.solution.value.cpu(),
    )


def _require_finite(solution: Solution, what: str) -> None:
    if not bool(torch.isfinite(solution.value).all()):
        raise ConvergenceError(f"{what} is not finite")


def check_goal(goal: Goal, reference: Tensor | None) -> None:
    """Refuse to seek the largest error where no reference says what an error is."""
    if goal == "loss" and reference is None:
        raise InputError(
            "goal is 'loss', expected a reference with it, which tells the error of an image; give "
            "one, or choose change."
        )


def check_sizes(epsilons: Sequence[float]) -> None:
    """Refuse sizes unless there are some, all different and in (0, 1]."""
    wrong = [one for one in epsilons if not 0 < one <= 1]
    if wrong or not epsilons or len(set(epsilons)) < len(epsilons):
        listed = ", ".join(f"{one:g}" for one in epsilons) or "empty"
        raise InputError(
            f"epsilon is {listed}, but different sizes in (0, 1] relative to the measurements were "
            "expected"
        )


def _exceeded(clean: Solution, found: Sequence[Perturbed]) -> bool:
    if clean.robustness is None:
        return False
    return any(bool(one.exceeds(clean.robustness).any()) for one in found)


def _only(values: Tensor | None) -> float | None:
    return None if values is None else float(values[0])


def _mean(effects: Sequence[Effect]) -> Effect:
    def mean(name: str) -> float:
        return math.fsum(getattr(one, name) for one in effects) / len(effects)

    return Effect(mean("change"), mean("gain"), mean("gain_error"), mean("psnr"))
