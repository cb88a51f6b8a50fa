"""Solving for everything a scan holds, part by part, and joining the images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.data.scan import Scan
from molrecon.data.stack import stack_of
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.pipeline.match import Matched
from molrecon.pipeline.measurements import (
    Progress,
    estimated_noise,
    items_with_maps,
    operator_of,
    silent,
)
from molrecon.reconstructors.base import Reconstructor


@dataclass(frozen=True, eq=False)
class Solved:
    """What was solved for.

    Attributes
    ----------
    image
        ``(batch, 1, *spatial)`` of the scan, on the CPU.
    solutions
        One for every part that was solved for by itself, on the CPU.
    places
        Where each part belongs, in words.
    """

    image: Tensor
    solutions: tuple[Solution, ...]
    places: tuple[str, ...]


@torch.no_grad()
def solve(
    matched: Matched,
    method: Reconstructor,
    *,
    tol: float,
    device: str,
    progress: Progress = silent,
) -> Solved:
    """Reconstruct all a scan holds; coil maps are estimated where it has none.

    Parameters
    ----------
    matched
        The scan, brought to the axes of the method.
    method
        The method, built for ``device``.
    tol
        Tolerance on the relative distance to the method's solution.
    device
        Where to compute.
    progress
        Called with what is being done, the number of solves done and their number.

    Raises
    ------
    InputError
        If coil maps are missing and there is no calibration region.
    ConvergenceError
        If a solve did not converge.
    """
    images: list[Tensor] = []
    solutions: list[Solution] = []
    places: list[str] = []
    total = matched.count

    def mapping(text: str, done: int, count: int) -> None:
        progress(text, len(solutions), total)

    for number, item in enumerate(items_with_maps(matched.scan, mapping)):
        parts = _parts(item, matched.split)
        values = []
        for index, plane in enumerate(parts.planes):
            part, done = parts.scan.item(index), len(solutions)
            label = f"{done + 1} of {total}: {method.name}" if total > 1 else method.name
            progress(label, done, total)
            A = operator_of(part).to(device)
            solution = method(
                part.kspace.to(device), A, sigma=part.sigma, tol=tol, raise_on_failure=False
            )
            place = f"{item.axes.item} {number}"
            if plane is not None:
                place = plane if len(matched.scan.kspace) == 1 else f"{place}, {plane}"
            _require_converged(solution, f"{matched.scan.source}, {place}", tol)
            values.append(solution.value.cpu())
            solutions.append(replace(solution, value=values[-1]))
            places.append(place)
            progress(label, done + 1, total)
        images.append(parts.join(torch.cat(values)))
    return Solved(torch.cat(images), tuple(solutions), tuple(places))


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is solved for by itself of one item, and how the images come together again."""

    scan: Scan
    planes: tuple[str | None, ...]
    join: Callable[[Tensor], Tensor]


def _parts(item: Scan, split: int | None) -> _Parts:
    if split is None:
        return _Parts(item, (None,), lambda images: images)
    if item.sigma is None:
        # Of all planes at once: it is the same in each, and a volume shows more of it. Where it
        # does not, methods that need no noise level go on, and others refuse.
        with contextlib.suppress(InputError):
            item = replace(item, sigma=float(estimated_noise(item)))
    stack = stack_of(item, split)
    return _Parts(
        stack.scan, tuple(f"{item.axes.plane} {place}" for place in stack.places), stack.join
    )


def _require_converged(solution: Solution, where: str, tol: float) -> None:
    failure = solution.failure()
    if failure is not None:
        raise ConvergenceError(f"{where}: {failure}")
    bound = solution.facts()["error_bound"]
    if bound is not None and bound > tol:
        # Rounding ends a linear solve as converged although this tolerance is below its reach.
        raise ConvergenceError(
            f"{where}: the error bound is {bound:.1e} where {tol:.1e} was wanted, and rounding "
            "leaves no better one. Give a looser tolerance."
        )
