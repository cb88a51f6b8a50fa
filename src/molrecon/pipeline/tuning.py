"""The strength of regularisation, chosen by predicting measurements that were left out.

A part of the measured samples outside the calibration region is left out, the rest reconstructed
at several strengths, and each image asked for the samples that it was not shown. Their squared
distance to what was measured is, up to the noise of the samples, which is the same for every
strength, an unbiased measure of the squared error of the image at these frequencies (Wahba, Ann.
Stat. 13 (1985) 1378, on cross-validation).

Which samples are left out depends on the mask alone, and the chosen strength is an average of the
tried ones in which those count that predict nearly as well as the best: so the choice moves
continuously with the measurements.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from molrecon.data.scan import Scan
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator
from molrecon.pipeline.left_out import left_out_samples
from molrecon.reconstructors.base import Reconstructor, at_strength

STRENGTHS = (2.0, 1.0, 0.5, 0.25, 0.1)
"""Strengths that are tried, in units of the noise level."""
SHARE = 0.15
"""Share of the samples outside the calibration region that is left out."""
LOOSE = 1e-2
"""Tolerance of the trials, far below the differences between strengths."""
SHARPNESS = 0.03
"""Excess of the squared residual over the least, as a share of the range of the curve, at which a
strength counts a factor e less."""
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
        The strengths that were tried.
    residuals
        For each, the distance to the left-out samples, relative to their size.
    certified
        Whether every trial kept its tolerance by a proved bound.
    network_evaluations, normal_evaluations
        Work of the trials.
    seconds
        Time of the trials.

    Examples
    --------
    >>> print(Tuning(0.7, (1.0, 0.5), (0.11, 0.10), True))
    0.7 × that of the noise level, by samples left out: relative error 0.11 at 1, 0.1 at 0.5
    """

    strength: float
    tried: tuple[float, ...]
    residuals: tuple[float, ...]
    certified: bool
    network_evaluations: int = 0
    normal_evaluations: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        curve = ", ".join(
            f"{residual:.4g} at {strength:g}"
            for strength, residual in zip(self.tried, self.residuals, strict=True)
        )
        return (
            f"{self.strength:.3g} × that of the noise level, by samples left out: relative "
            f"error {curve}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the choice and its curve as plain values."""
        return vars(self).copy()


@torch.no_grad()
def tune(
    method: Reconstructor,
    part: Scan,
    problem: Callable[[Scan], tuple[Tensor, LinearOperator]],
    *,
    sigma: float | None = None,
) -> tuple[Tuning, Tensor]:
    """Choose the strength of a method for what is solved for by itself.

    Every trial starts from the one before, where the method takes a start, and keeps a tolerance
    of 1 %, certified as far as the method is.

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
        The choice, and the image ``(1, *A.shape_in)`` of the best trial, to start from.

    Raises
    ------
    InputError
        If too few samples can be left out, or no trial can be solved.
    """
    started = time.perf_counter()
    try:
        left_out = left_out_samples(part, SHARE)
    except InputError as error:
        raise InputError(f"strength: {error}; give the strength as a number.") from None
    full, A = problem(part)
    kept = part.mask & ~left_out
    y, without = problem(replace(part, kspace=part.kspace * kept, mask=kept))
    settled = method.settled(full, A, sigma)
    options = {"sigma": settled.get("sigma", sigma)}
    if method.takes_start and "scale" in settled:
        options["scale"] = settled["scale"]
    coils = part.kspace.shape[1]
    wanted = part.kspace.to(y.device)
    samples = left_out.to(y.device).expand_as(wanted)
    size = wanted[samples].norm()
    trials: list[tuple[float, float, Solution]] = []
    for strength in STRENGTHS:
        start = {"x0": trials[-1][2].value} if trials and method.takes_start else {}
        with at_strength(method, strength):
            solution = method(y, without, tol=LOOSE, raise_on_failure=False, **options, **start)
        bound = solution.error_bound
        if solution.status[0] is not Status.CONVERGED or (
            bound is not None and float(bound[0]) > LOOSE
        ):
            continue
        # Where k-space is completed, the measured samples come first.
        predicted = A(solution.value)[:, :coils]
        residual = float((predicted - wanted)[samples].norm() / size)
        trials.append((strength, residual, solution))
    if not trials:
        raise InputError(
            f"strength: none of the trials of {method.name} on {part.source} met its tolerance; "
            "give the strength as a number."
        )
    strengths, residuals, solutions = zip(*trials, strict=True)
    best = min(range(len(trials)), key=lambda number: residuals[number])
    found = Tuning(
        strength=averaged_strength(strengths, residuals),
        tried=strengths,
        residuals=residuals,
        certified=all(solution.certified for solution in solutions),
        network_evaluations=sum(solution.network_evaluations for solution in solutions),
        normal_evaluations=sum(solution.normal_evaluations for solution in solutions),
        seconds=time.perf_counter() - started,
    )
    return found, solutions[best].value


def averaged_strength(strengths: tuple[float, ...], residuals: tuple[float, ...]) -> float:
    """Return the average of strengths, on a logarithmic scale, by how well they predict.

    Where all predict alike it is 1.

    Parameters
    ----------
    strengths
        The strengths that were tried.
    residuals
        For each, the relative distance to the left-out samples.

    Examples
    --------
    >>> round(averaged_strength((2.0, 1.0, 0.5), (0.3, 0.2, 0.3)), 3)
    1.0
    """
    squares = torch.tensor(residuals, dtype=torch.float64).square()
    least = squares.min()
    span = squares.max() - least
    weights = (-(squares - least) / (SHARPNESS * (span + 1e-6 * least))).exp()
    logs = torch.tensor(strengths, dtype=torch.float64).log()
    known = span / (span + FLAT * least)
    return float((known * (weights * logs).sum() / weights.sum()).exp())
