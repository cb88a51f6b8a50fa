"""The strength of regularisation, chosen by predicting measurements that were left out.

A part of the measured samples outside the calibration region is left out, the rest reconstructed
at several strengths, and each image asked for the samples that it was not shown. Their squared
distance to what was measured is, up to the noise of the samples, which is the same for every
strength, an unbiased measure of the squared error of the image at these frequencies (Wahba, Ann.
Stat. 13 (1985) 1378, on cross-validation).

Which samples are left out depends on the mask alone, and the choice is the minimum of a parabola
through the best of the tried strengths and those beside it, which moves with the measurements.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from molrecon.data.scan import Scan
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator
from molrecon.operators.noise import UNCERTAIN, NoiseEstimate
from molrecon.pipeline.left_out import distance_ratio, left_out_samples
from molrecon.reconstructors.base import Reconstructor, at_strength
from molrecon.reconstructors.learned import LearnedReconstructor

Strength = float | Literal["auto"] | None
"""A strength, ``"auto"`` to choose it, None to choose it where the noise level is uncertain."""
STRENGTHS = (2.0, 1.0, 0.5, 0.25, 0.1)
"""Strengths that may be tried, in units of the noise level."""
SHARE = 0.15
"""Share of the samples outside the calibration region that is left out."""
LOOSE = 1e-2
"""Tolerance of the trials: the true distance is about ten times smaller."""
FIRST = 5e-3
"""Tolerance of the first trial, which the others start from: what is far from solved in it is so in
all of them, and would pass for the work of the strength that is tried last."""
REGULAR = 1.75
"""Largest `distance_ratio`: what predicts holes that the scan does not have best is too strong."""
FLAT = 1e-3
"""Range of the curve of squared residuals, as a share of the least, at which it moves the strength
by half of what it says: a flat one says nothing. With one coil least squares predict nothing."""


@dataclass(frozen=True)
class Tuning:
    """A strength of regularisation and how it was chosen.

    Attributes
    ----------
    strength
        Factor on the strength of the method, in units of the noise level.
    tried
        The strengths that were tried, from the largest on.
    residuals
        For each, the distance to the left-out samples, relative to their size.
    bounds
        For each, the bound on the relative distance of the trial to its exact solution; None where
        the method bounds none.
    certified
        Whether every trial kept its tolerance by a proved bound.
    network_evaluations, normal_evaluations
        Work of the trials.
    seconds
        Time of the trials.
    note
        Why it was chosen, or could not be, where nobody asked for it.

    Examples
    --------
    >>> print(Tuning(0.7, (1.0, 0.5), (0.11, 0.10), (0.01, 0.01), True))
    0.7 × that of the noise level, by samples left out: relative error 0.11 at 1, 0.1 at 0.5
    """

    strength: float
    tried: tuple[float, ...]
    residuals: tuple[float, ...]
    bounds: tuple[float | None, ...]
    certified: bool
    network_evaluations: int = 0
    normal_evaluations: int = 0
    seconds: float = 0.0
    note: str = ""

    def __str__(self) -> str:
        if not self.tried:
            return f"{self.strength:.3g} × that of the noise level: {self.note}"
        curve = ", ".join(
            f"{residual:.4g} at {strength:g}"
            for strength, residual in zip(self.tried, self.residuals, strict=True)
        )
        return (
            f"{self.strength:.3g} × that of the noise level, by samples left out"
            f"{self.note and f', since {self.note}'}: relative error {curve}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the choice and its curve as plain values."""
        return vars(self).copy()


class CannotTuneError(InputError):
    """A strength cannot be chosen, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"strength: {reason}; give the strength as a number.")


def untuned(note: str) -> Tuning:
    """Return strength 1, which could not be chosen, and why."""
    return Tuning(1.0, (), (), (), False, note=note)


def chooses_by_default(method: Reconstructor) -> bool:
    """Whether the strength of a method is chosen without being asked where the noise is uncertain.

    Not where the gain is limited: what is chosen follows the measurements, in which the bound holds
    the noise level fixed.
    """
    return method.tunable and method.needs_sigma and method.most_gain is None


def doubt_of_noise(noise: NoiseEstimate | None) -> str:
    """Say that a noise level is uncertain; nothing if it is not."""
    if noise is None or not float(noise.uncertainty.max()) > UNCERTAIN:
        return ""
    return f"the noise level is uncertain (σ {noise.doubt})"


@torch.no_grad()
def tune(
    method: Reconstructor,
    part: Scan,
    problem: Callable[[Scan], tuple[Tensor, LinearOperator]],
    *,
    sigma: float | None = None,
) -> tuple[Tuning, dict[str, Tensor]]:
    """Choose the strength of a method for what is solved for by itself.

    Strength 1 and its half are tried, and from the better one on the next of `STRENGTHS` as long
    as the prediction gets better. A trial starts from those before, where the method takes a start.

    Parameters
    ----------
    method
        The method, tunable.
    part
        The scan of one item, with coil maps.
    problem
        Makes measurements and operator of a scan, on the device of the method.
    sigma
        Noise level per complex k-space sample; by default the method's own estimate from all
        samples.

    Returns
    -------
    tuple
        The choice, and where to start from with it, as arguments of a call; nothing for methods
        that take no start.

    Raises
    ------
    CannotTuneError
        If too few samples can be left out, or no trial can be solved.
    """
    started = time.perf_counter()
    trials = _Trials(method, part, problem, sigma)
    upwards, downwards = STRENGTHS[:1], STRENGTHS[3:]
    one, half = trials.residual(1.0), trials.residual(0.5)
    best = min(one, half)
    for strength in downwards if half < one else upwards:
        found = trials.residual(strength)
        if found >= best:
            break
        best = found
    choice = trials.choice(part.source, started)
    return choice, trials.start(choice.strength)


class _Trials:
    """Reconstructions at several strengths of what is not left out; arguments as in `tune`."""

    def __init__(
        self,
        method: Reconstructor,
        part: Scan,
        problem: Callable[[Scan], tuple[Tensor, LinearOperator]],
        sigma: float | None,
    ) -> None:
        try:
            left_out = left_out_samples(part, SHARE)
        except InputError as error:
            raise CannotTuneError(str(error)) from None
        ratio = distance_ratio(part, left_out)
        if ratio > REGULAR:
            raise CannotTuneError(
                f"{part.source} is sampled so regularly that samples left out lie {ratio:.1f} "
                "times as far from the others as the missing ones, which they have to stand for"
            )
        full, self._full = problem(part)
        kept = part.mask & ~left_out
        self._y, self._A = problem(replace(part, kspace=part.kspace * kept, mask=kept))
        self._method = method
        self._options = {"sigma": sigma, **method.settled(self._y, self._A, sigma)}
        if isinstance(method, LearnedReconstructor):
            # What is solved for, which the next trial starts from, and not what is given out.
            self._options["output"] = "fixed-point"
        # Where k-space is completed, the measured samples come first.
        self._coils = part.kspace.shape[1]
        self._left_out = left_out.to(full.device).expand(part.kspace.shape)
        self._samples = full[:, : self._coils][self._left_out]
        self._solved: dict[float, tuple[float, Solution]] = {}

    def residual(self, strength: float) -> float:
        """Reconstruct, and return the relative distance to the left-out samples.

        It is infinite where the trial does not meet its tolerance.
        """
        method, tol = self._method, LOOSE if self._solved else FIRST
        with at_strength(method, strength):
            solution = method(
                self._y,
                self._A,
                tol=tol,
                raise_on_failure=False,
                **self._options,
                **self.start(strength),
            )
        bound = solution.error_bound
        failed = solution.status[0] is not Status.CONVERGED
        if failed or (bound is not None and float(bound[0]) > tol):
            return math.inf
        image = solution.value
        if isinstance(method, LearnedReconstructor):
            image = method.returned(image, self._A, self._y)
        predicted = self._full(image)[:, : self._coils][self._left_out]
        residual = float((predicted - self._samples).norm() / self._samples.norm())
        self._solved[strength] = residual, solution
        return residual

    def start(self, strength: float) -> dict[str, Tensor]:
        """Return the image to expect at a strength, from the two nearest ones, as an argument."""
        if not self._method.takes_start or not self._solved:
            return {}
        near = sorted(self._solved, key=lambda tried: abs(math.log(tried / strength)))[:2]
        images = [self._solved[tried][1].value for tried in near]
        if len(near) == 1:
            return {"x0": images[0]}
        along = math.log(strength / near[0]) / math.log(near[1] / near[0])
        return {"x0": images[0].lerp(images[1], along)}

    def choice(self, source: str, started: float) -> Tuning:
        """Return the strength that predicts best, and how it was found."""
        if not self._solved:
            raise CannotTuneError(
                f"none of the trials of {self._method.name} on {source} met its tolerance"
            )
        tried = tuple(sorted(self._solved, reverse=True))
        residuals = tuple(self._solved[strength][0] for strength in tried)
        solutions = [self._solved[strength][1] for strength in tried]
        bounds = [solution.error_bound for solution in solutions]
        return Tuning(
            strength=best_strength(tried, residuals),
            tried=tried,
            residuals=residuals,
            bounds=tuple(None if bound is None else float(bound[0]) for bound in bounds),
            certified=all(solution.certified for solution in solutions),
            network_evaluations=sum(one.network_evaluations for one in solutions),
            normal_evaluations=sum(one.normal_evaluations for one in solutions),
            seconds=time.perf_counter() - started,
        )


def best_strength(tried: Sequence[float], residuals: Sequence[float]) -> float:
    """Return the strength that predicts best, on a logarithmic scale.

    It is the minimum of the parabola through the least squared residual and those beside it; the
    tried strength itself at an end of the curve. Where all predict alike it is 1.

    Parameters
    ----------
    tried
        The strengths that were tried, in falling order.
    residuals
        For each, the relative distance to the left-out samples.

    Examples
    --------
    >>> round(best_strength((2.0, 1.0, 0.5), (0.3, 0.2, 0.3)), 3)
    1.0
    """
    squares = [residual**2 for residual in residuals]
    logs = [math.log(strength) for strength in tried]
    best = min(range(len(squares)), key=lambda number: squares[number])
    least, place = squares[best], logs[best]
    if 0 < best < len(squares) - 1:
        # Slopes between neighbours are those of the parabola in the middle of each interval.
        (a, b, c), (f, g, h) = logs[best - 1 : best + 2], squares[best - 1 : best + 2]
        first, second = (g - f) / (b - a), (h - g) / (c - b)
        if first != second:
            place = (a + b) / 2 - first * (c - a) / 2 / (second - first)
    span = max(squares) - least
    known = span / (span + FLAT * least) if span > 0 else 0.0
    return math.exp(known * place)
