"""Solving for all that a scan holds, part by part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from molrecon.data.image_items import ImageFile, ImageItems
from molrecon.data.sampling import Sampling, SamplingCount
from molrecon.data.scan import Scan
from molrecon.equilibrium.bound_text import bound_text
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError
from molrecon.operators.base import LinearOperator
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.noise import NoiseEstimate
from molrecon.operators.soft_sense import combined_sets
from molrecon.pipeline.free_memory import give_back
from molrecon.pipeline.match import Matched
from molrecon.pipeline.measurements import known_noise
from molrecon.pipeline.parts import parts_of
from molrecon.pipeline.pixel_maps import PixelMaps, Wanted, pixel_maps
from molrecon.pipeline.preparation import Preparation, Step, worst
from molrecon.pipeline.tuning import (
    CannotTuneError,
    Strength,
    Tuning,
    chooses_by_default,
    doubt_of_noise,
    tune,
    untuned,
)
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor, at_strength


@dataclass(frozen=True, eq=False)
class Solved:
    """What was solved for.

    Attributes
    ----------
    image
        ``(batch, 1, *spatial)`` of the scan, on the CPU or mapped from disk.
    items
        The same, to go through one by one.
    maps
        Maps of every pixel, of the shape of the image, as far as they are wanted.
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
    maps: PixelMaps
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
    wanted: Wanted,
    stored: ImageFile | None = None,
    strength: Strength = None,
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
    wanted
        Which maps of every pixel are wanted; they are kept in memory.
    stored
        Where the images are kept; None for the memory.
    strength
        Factor on the strength of the method, or ``"auto"`` to choose it (see `tune`); None to
        choose it where the noise level is uncertain.
    progress
        Called with what is being done, the number of solves done and their number.

    Raises
    ------
    InputError
        If coil maps are missing and there is no calibration region.
    ConvergenceError
        If a solve did not converge.
    """
    solver = _ItemSolver(method, count, preparation, tol, device, wanted, strength, progress)
    images: list[Tensor] = []
    maps: list[PixelMaps] = []
    sampling, steps = SamplingCount(), []
    for number, matched in enumerate(items):
        sampling.add(matched.scan)
        image, mapped, prepared = solver.solve(matched, number)
        steps.append(prepared)
        maps.append(mapped)
        if stored is None:
            images.append(image)
        else:
            stored.append(image[0])
    image = torch.cat(images) if stored is None else stored.tensor()
    return Solved(
        image,
        ImageItems.of(image) if stored is None else stored.items(),
        PixelMaps.joined(maps, torch.cat),
        tuple(part.solution(image) for part in solver.solved),
        tuple(part.place for part in solver.solved),
        tuple(part.noise for part in solver.solved),
        tuple(part.tuning for part in solver.solved),
        sampling.sampling(),
        worst(steps),
    )


class _ItemSolver:
    """Solves for the items of a scan, one after the other; arguments as in `solve`."""

    def __init__(
        self,
        method: Reconstructor,
        count: int,
        preparation: Preparation,
        tol: float,
        device: str,
        wanted: Wanted,
        strength: Strength,
        progress: Progress,
    ) -> None:
        self.method, self.count, self.preparation = method, count, preparation
        self.tol, self.device, self.wanted = tol, device, wanted
        self.strength, self.progress = strength, progress
        self.solved: list[_Part] = []

    def solve(self, matched: Matched, number: int) -> tuple[Tensor, PixelMaps, tuple[Step, ...]]:
        """Return the image of an item, the maps that are wanted, and its preparation."""
        item, total = matched.scan, self.count * matched.count
        if item.coil_maps is None:
            text = f"{item.axes.item} {number + 1} of {self.count}: coil maps"
            self.progress(text, len(self.solved), total)
        give_back()  # what reading it left
        item, sets = self.preparation.with_maps(item)
        give_back()
        noise = known_noise(item) if self.method.needs_sigma else None
        parts = parts_of(item, matched.split, noise)
        setting = self._setting(parts.scan, noise, total)
        values, maps, steps = [], [], matched.steps
        for index, plane in enumerate(parts.planes):
            place = _place(item, number, plane, self.count)
            where = f"{item.source}, {place}"
            solution, mapped, completion = self._part(
                parts.scan.item(index), where, setting, index, total, noise
            )
            steps = (*matched.steps, sets, completion) if index == 0 else steps
            values.append(combined_sets(solution.value.cpu()))
            maps.append(mapped)
            known = without_image(solution)
            self.solved.append(
                _Part(known, place, number, matched.split, plane, noise, setting.tuning)
            )
        give_back()
        restore = matched.restore or (lambda image: image)
        joined = PixelMaps.joined(maps, lambda planes: parts.join(torch.cat(planes)))
        if "noise" in joined.maps:  # in the unit of the image, which the others have not
            noises = {"noise": restore(joined.maps["noise"])}
            joined = replace(joined, maps=joined.maps | noises)
        return restore(parts.join(torch.cat(values))), joined, steps

    def _setting(self, parts: Scan, noise: NoiseEstimate | None, total: int) -> _Setting:
        """Choose the strength; of planes of a volume the one in the middle decides."""
        strength, doubt = self.strength, ""
        if strength is None:
            doubt = doubt_of_noise(noise) if chooses_by_default(self.method) else ""
            strength = "auto" if doubt else 1.0
        if strength != "auto":
            return _Setting(strength)
        self.progress(f"{self.method.name}: strength", len(self.solved), total)
        place = len(parts.kspace) // 2
        part = parts.item(place)
        try:
            tuning, start = tune(self.method, part, self._problem, sigma=part.sigma)
        except CannotTuneError as error:
            if not doubt:
                raise
            return _Setting(1.0, untuned(f"{doubt}, but {error.reason}"))
        return _Setting(tuning.strength, replace(tuning, note=doubt), start, place)

    def _problem(self, part: Scan) -> tuple[Tensor, LinearOperator]:
        y, A, _ = self.preparation.problem(part)
        return y.to(self.device), A.to(self.device)

    def _part(
        self,
        part: Scan,
        where: str,
        setting: _Setting,
        index: int,
        total: int,
        noise: NoiseEstimate | None,
    ) -> tuple[Solution, PixelMaps, Step]:
        done, name = len(self.solved), self.method.name
        label = f"{done + 1} of {total}: {name}" if total > 1 else name
        self.progress(label, done, total)
        y, A, completion = self.preparation.problem(part)
        y, A = y.to(self.device), A.to(self.device)
        if part.sigma is None and noise is not None and isinstance(A, MultiCoilMRI):
            # What the method would find in the same measurements once more: of parts of a volume
            # the level is given, and those of an operator of another kind are others.
            A.remember_sigma(y, noise.sigma)
        options: dict[str, Any] = {"sigma": part.sigma, "tol": self.tol, "raise_on_failure": False}
        with at_strength(self.method, setting.strength):
            solution = self.method(y, A, **options | setting.start(index))
            require_converged(solution, where, self.tol)
            draw = partial(_draw, self.progress, label, done, total)
            wanted: dict[str, Any] = {"where": where, "sigma": part.sigma, "progress": draw}
            maps = pixel_maps(self.method, y, A, solution, self.wanted, **wanted)
            self.wanted = self.wanted.without(maps.failures)
        self.progress(label, done + 1, total)
        return solution, maps, completion


def without_image(solution: Solution) -> Solution:
    """Return what is known of an image, which is kept once, with those of the other parts."""
    return replace(solution, value=solution.value.new_empty(0, *solution.value.shape[1:]))


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
    # Where the part that it was chosen by starts from, as arguments of a call, and which it is.
    begin: dict[str, Tensor] = field(default_factory=dict)
    place: int = 0

    def start(self, part: int) -> dict[str, Tensor]:
        """Return where to start from, as arguments of a call."""
        return self.begin if part == self.place else {}


def _draw(
    progress: Progress, label: str, done: int, total: int, text: str, draw: int, draws: int
) -> None:
    progress(f"{label}: {text}, {draw} of {draws}", done, total)


def require_converged(solution: Solution, where: str, tol: float) -> None:
    """Refuse a solution that is not what was asked for; ``where`` names it."""
    failure = solution.failure()
    if failure is not None:
        raise ConvergenceError(f"{where}: {failure}")
    bound = solution.facts()["error_bound"]
    if bound is not None and bound > tol:
        # Rounding ends a linear solve as converged although this tolerance is below its reach.
        raise ConvergenceError(
            f"{where}: the error bound is {bound_text(bound)} where {tol:.3g} was wanted, and "
            "rounding leaves no better one. Give a looser tolerance."
        )
