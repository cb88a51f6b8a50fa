"""Solving for all that a scan holds, part by part."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from molrecon.data.image_items import ImageFile, ImageItems
from molrecon.data.sampling import Sampling, SamplingCount
from molrecon.data.scan import Scan
from molrecon.data.stack import stack_of
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.operators.base import LinearOperator
from molrecon.operators.soft_sense import combined_sets
from molrecon.pipeline.match import Matched
from molrecon.pipeline.measurements import (
    Progress,
    estimated_noise,
    silent,
)
from molrecon.pipeline.preparation import Preparation, Step, worst
from molrecon.reconstructors.base import Reconstructor
from molrecon.trust.noise import noise_map


@dataclass(frozen=True, eq=False)
class Solved:
    """What was solved for.

    Attributes
    ----------
    image
        ``(batch, 1, *spatial)`` of the scan, on the CPU or mapped from disk.
    items
        The same, to go through one by one.
    noise_map
        Standard deviation of every pixel, of the shape of the image; None if none was asked for.
    solutions
        One for every part that was solved for by itself, on the CPU; their values are parts of
        the image.
    places
        Where each part belongs, in words.
    sampling
        How the scan was sampled.
    steps
        How the items were prepared; of each step the one that lost most.
    """

    image: Tensor
    items: ImageItems
    noise_map: Tensor | None
    solutions: tuple[Solution, ...]
    places: tuple[str, ...]
    sampling: Sampling
    steps: tuple[Step, ...]


@torch.no_grad()
def solve(
    items: Iterable[Matched],
    method: Reconstructor,
    *,
    count: int,
    preparation: Preparation,
    tol: float,
    device: str,
    stored: ImageFile | None = None,
    noise_draws: int = 0,
    progress: Progress = silent,
) -> Solved:
    """Reconstruct all a scan holds; coil maps are estimated where it has none.

    Parameters
    ----------
    items
        The items of the scan, brought to the axes of the method; one at a time is held.
    method
        The method, built for ``device``.
    count
        Number of items.
    preparation
        How coil maps and operators are made.
    tol
        Tolerance on the relative distance to the method's solution.
    device
        Where to compute.
    stored
        Where the images are kept; None for the memory.
    noise_draws
        Draws of the noise for a noise map, which is kept in memory; 0 for none.
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
    noises: list[Tensor] = []
    solved: list[_Part] = []
    sampling, steps = SamplingCount(), []
    for number, matched in enumerate(items):
        sampling.add(matched.scan)
        item, total = matched.scan, count * matched.count
        if item.coil_maps is None:
            text = f"{item.axes.item} {number + 1} of {count}: coil maps"
            progress(text, len(solved), total)
        item, sets = preparation.with_maps(item)
        parts = _parts(item, matched.split)
        values, stds = [], []
        for index, plane in enumerate(parts.planes):
            part, done = parts.scan.item(index), len(solved)
            label = f"{done + 1} of {total}: {method.name}" if total > 1 else method.name
            progress(label, done, total)
            y, A, completion = preparation.problem(part)
            if index == 0:
                steps.append((*matched.steps, sets, completion))
            y, A = y.to(device), A.to(device)
            solution = method(y, A, sigma=part.sigma, tol=tol, raise_on_failure=False)
            place = f"{item.axes.item} {number}"
            if plane is not None:
                name = f"{item.axes.plane} {plane}"
                place = name if count == 1 else f"{place}, {name}"
            _require_converged(solution, f"{item.source}, {place}", tol)
            values.append(combined_sets(solution.value.cpu()))
            if noise_draws:
                show = partial(_draw, progress, label, done, total)
                stds.append(_noise_std(method, part, y, A, solution, noise_draws, show))
            # The image is kept once, and here what is known about it.
            known = replace(solution, value=solution.value.new_empty(0, *solution.value.shape[1:]))
            solved.append(_Part(known, place, number, matched.split, plane))
            progress(label, done + 1, total)
        image = parts.join(torch.cat(values))
        if noise_draws:
            noise = parts.join(torch.cat(stds))
            noises.append(noise if matched.restore is None else matched.restore(noise))
        image = image if matched.restore is None else matched.restore(image)
        if stored is None:
            images.append(image)
        else:
            stored.append(image[0])
    image = torch.cat(images) if stored is None else stored.tensor()
    return Solved(
        image,
        ImageItems.of(image) if stored is None else stored.items(),
        torch.cat(noises) if noises else None,
        tuple(part.solution(image) for part in solved),
        tuple(part.place for part in solved),
        sampling.sampling(),
        worst(steps),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """What is known of one part, and where its image lies."""

    known: Solution
    place: str
    number: int
    split: int | None
    plane: int | None

    def solution(self, image: Tensor) -> Solution:
        """Return the solution with its image, a part of all."""
        value = image[self.number : self.number + 1]
        if self.split is not None:
            assert self.plane is not None
            value = value.select(2 + self.split, self.plane)
        return replace(self.known, value=value)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is solved for by itself of one item, and how the images come together again."""

    scan: Scan
    planes: tuple[int | None, ...]
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
    return _Parts(stack.scan, stack.places, stack.join)


def _noise_std(
    method: Reconstructor,
    part: Scan,
    y: Tensor,
    A: LinearOperator,
    solution: Solution,
    draws: int,
    show: Progress,
) -> Tensor:
    used = part.sigma if solution.sigma is None else float(solution.sigma[0])
    # One draw at a time: the memory that was planned is that of one image.
    noise = noise_map(
        method, y, A, sigma=used, count=draws, batch=1, x0=solution.value, progress=show
    )
    # Of several sets of maps the noise of their root sum of squares.
    shares = solution.value.abs() / combined_sets(solution.value).abs().clamp_min(1e-30)
    std = noise.std if len(shares[0]) == 1 else (shares * noise.std).norm(dim=1, keepdim=True)
    return std.cpu()


def _draw(
    progress: Progress, label: str, done: int, total: int, text: str, draw: int, draws: int
) -> None:
    progress(f"{label}: {text}, {draw} of {draws}", done, total)


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
