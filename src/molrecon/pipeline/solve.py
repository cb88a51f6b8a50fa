"""Solving for all that a scan holds, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from molrecon.data.image_items import ImageFile, ImageItems
from molrecon.data.sampling import Sampling, SamplingCount
from molrecon.data.scan import Scan
from molrecon.data.stack import stack_of
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.operators.base import LinearOperator
from molrecon.operators.noise import NoiseEstimate
from molrecon.operators.soft_sense import combined_sets
from molrecon.pipeline.match import Matched
from molrecon.pipeline.measurements import (
    Progress,
    known_noise,
    silent,
)
from molrecon.pipeline.preparation import Preparation, Step, worst
from molrecon.pipeline.tuning import Tuning, required_share, tune
from molrecon.reconstructors.base import Reconstructor, at_strength
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
    noises
        What is known about the noise of each part; None where nothing shows it.
    tunings
        How the strength of each part was chosen; None where it was not.
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
    noises: tuple[NoiseEstimate | None, ...]
    tunings: tuple[Tuning | None, ...]
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
    strength: float | Literal["auto"] | None = None,
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
    strength
        Factor on the strength of the method; ``"auto"`` to choose it (see `tune`), None to do so
        where the noise level is uncertain.
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
    noise_maps: list[Tensor] = []
    solved: list[_Part] = []
    sampling, steps = SamplingCount(), []
    for number, matched in enumerate(items):
        sampling.add(matched.scan)
        item, total = matched.scan, count * matched.count
        if item.coil_maps is None:
            progress(f"{item.axes.item} {number + 1} of {count}: coil maps", len(solved), total)
        item, sets = preparation.with_maps(item)
        noise = known_noise(item) if method.needs_sigma else None
        parts = _parts(item, matched.split, noise)
        progress(f"{method.name}: strength", len(solved), total)
        setting = _setting(method, parts.scan, noise, preparation, device, strength)
        values, stds = [], []
        for index, plane in enumerate(parts.planes):
            part, done = parts.scan.item(index), len(solved)
            label = f"{done + 1} of {total}: {method.name}" if total > 1 else method.name
            progress(label, done, total)
            y, A, completion = preparation.problem(part)
            if index == 0:
                steps.append((*matched.steps, sets, completion))
            y, A = y.to(device), A.to(device)
            start = setting.start if index == setting.place else {}
            with at_strength(method, setting.strength):
                solution = method(y, A, sigma=part.sigma, tol=tol, raise_on_failure=False, **start)
            place = _place(item, number, plane, count)
            _require_converged(solution, f"{item.source}, {place}", tol)
            values.append(combined_sets(solution.value.cpu()))
            if noise_draws:
                draw = partial(_draw, progress, label, done, total)
                with at_strength(method, setting.strength):
                    stds.append(_noise_std(method, part, y, A, solution, noise_draws, draw))
            # The image is kept once, and here what is known about it.
            known = replace(solution, value=solution.value.new_empty(0, *solution.value.shape[1:]))
            solved.append(_Part(known, place, number, matched.split, plane, noise, setting.tuning))
            progress(label, done + 1, total)
        image = parts.join(torch.cat(values))
        restore = matched.restore or (lambda image: image)
        if noise_draws:
            noise_maps.append(restore(parts.join(torch.cat(stds))))
        image = restore(image)
        if stored is None:
            images.append(image)
        else:
            stored.append(image[0])
    image = torch.cat(images) if stored is None else stored.tensor()
    return Solved(
        image,
        ImageItems.of(image) if stored is None else stored.items(),
        torch.cat(noise_maps) if noise_maps else None,
        tuple(part.solution(image) for part in solved),
        tuple(part.place for part in solved),
        tuple(part.noise for part in solved),
        tuple(part.tuning for part in solved),
        sampling.sampling(),
        worst(steps),
    )


def _place(item: Scan, number: int, plane: int | None, count: int) -> str:
    """Say where a part belongs, in words."""
    whole = f"{item.axes.item} {number}"
    if plane is None:
        return whole
    name = f"{item.axes.plane} {plane}"
    return name if count == 1 else f"{whole}, {name}"


@dataclass(frozen=True, eq=False)
class _Part:
    """What is known of one part, and where its image lies."""

    known: Solution
    place: str
    number: int
    split: int | None
    plane: int | None
    noise: NoiseEstimate | None
    tuning: Tuning | None

    def solution(self, image: Tensor) -> Solution:
        """Return the solution with its image, a part of all."""
        value = image[self.number : self.number + 1]
        if self.split is not None:
            assert self.plane is not None
            value = value.select(2 + self.split, self.plane)
        return replace(self.known, value=value)


@dataclass(frozen=True, eq=False)
class _Setting:
    """How strongly a method regularises the parts of an item, and how that was chosen."""

    strength: float = 1.0
    tuning: Tuning | None = None
    # Where to start from, as arguments of a call, at the part that it was chosen at.
    start: dict[str, Tensor] = field(default_factory=dict)
    place: int = 0


def _setting(
    method: Reconstructor,
    parts: Scan,
    noise: NoiseEstimate | None,
    preparation: Preparation,
    device: str,
    strength: float | Literal["auto"] | None,
) -> _Setting:
    """Choose the strength of a method; of planes of a volume the one in the middle decides."""
    if isinstance(strength, float | int):
        return _Setting(strength)
    share = 1.0 if strength == "auto" else required_share(noise)
    if share == 0 or (strength is None and not method.tunable):
        return _Setting()

    def problem(scan: Scan) -> tuple[Tensor, LinearOperator]:
        y, A, _ = preparation.problem(scan)
        return y.to(device), A.to(device)

    place = len(parts.kspace) // 2
    part = parts.item(place)
    try:
        tuning, image = tune(method, part, problem, sigma=part.sigma, share=share)
    except InputError:
        if strength == "auto":
            raise
        return _Setting()
    start = {"x0": image} if method.takes_start else {}
    return _Setting(tuning.strength, tuning, start, place)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is solved for by itself of one item, and how the images come together again."""

    scan: Scan
    planes: tuple[int | None, ...]
    join: Callable[[Tensor], Tensor]


def _parts(item: Scan, split: int | None, noise: NoiseEstimate | None) -> _Parts:
    if split is None:
        if noise is not None and not noise.estimated:
            item = replace(item, sigma=float(noise.sigma[0]))
        return _Parts(item, (None,), lambda images: images)
    # Of all planes at once: it is the same in each, and a volume shows more of it. Where it does
    # not, methods that need no noise level go on, and others refuse.
    if noise is not None:
        item = replace(item, sigma=float(noise.sigma[0]))
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
