"""A scan along spokes, spirals or other lines: from its samples to an image.

**The unit.** Neither samples nor operator are scaled. `NonCartesianMRI` is the orthonormal Fourier
transform at every point of the grid, as `CartesianMRI` is, and σ is the noise of one sample; so the
data term ``λ‖Ax − y‖²`` counts every sample as one of a Cartesian scan, for which the weights of
the shipped models were learned. Where samples lie denser there are more of them and they say more,
which is ‖A‖ > 1, and right. Scaling both so that ‖A‖ ≤ 1 tells the network a noise level that the
centre of k-space alone would have: on 40 spokes of 256² it costs 3 dB (benchmarks/radial.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from molrecon.data.check.samples import check_samples
from molrecon.data.formats.reading import PathLike
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError, shape_text
from molrecon.linear.status import Status
from molrecon.operators.noise import NoiseEstimate
from molrecon.pipeline.memory import MemoryPlan, in_tiles, plan_memory
from molrecon.pipeline.memory_limit import memory_limit
from molrecon.pipeline.pixel_maps import PixelMaps, Wanted, pixel_maps
from molrecon.pipeline.preparation import Step
from molrecon.pipeline.prepared_samples import (
    frames_of,
    is_split,
    samples_noise,
    sampling_of_samples,
    whitened,
    with_estimated_maps,
)
from molrecon.pipeline.reconstruction import Reconstruction, unproved
from molrecon.pipeline.solve import require_converged, without_image
from molrecon.pipeline.tuning import Strength, Tuning, chooses_by_default, doubt_of_noise, untuned
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor, at_strength
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.start import require_plausible

ENDS_IN_TIME = {Status.CONVERGED, Status.TIME_LIMIT}
"""What a solve with a limit of its time may end with; its bound says how far it came."""


@dataclass(frozen=True, eq=False)
class Settings:
    """What `reconstruct` was asked for; see there."""

    method: Reconstructor
    tol: float
    sigma: float | None
    strength: Strength
    whiten: bool
    wanted: Wanted
    force: bool
    max_memory: float | None
    device: str
    output: PathLike | None
    made_by: str
    progress: Progress
    latency: float | None = None


@torch.no_grad()
def reconstruct_samples(scan: NonCartesianScan, settings: Settings) -> Reconstruction:
    """Reconstruct a scan along lines, slice by slice or frame by frame, as `reconstruct` does.

    Parameters
    ----------
    scan
        The scan.
    settings
        What was asked for.
    """
    started = time.perf_counter()
    method = settings.method
    split = is_split(scan, method.axes, method.label)
    limited = limited_in_time(method, settings.latency)
    if settings.strength == "auto":
        raise InputError(
            f"strength is auto, but {scan.source} is not Cartesian, expected a number: its samples "
            "are too few and too uneven to be left out; give a number or leave it out."
        )
    checked = check_samples(scan)
    if not settings.force:
        checked.require_none(scan.source)
    scan, whitening = whitened(scan, settings.whiten)
    plan = _memory(scan, settings)
    learned = method if isinstance(method, LearnedReconstructor) else None
    solver = _Solver(settings, limited, len(scan.kspace) * (scan.shape[0] if split else 1))
    with in_tiles(learned, plan.tile):
        items = [solver.item(scan.item(n), n, split) for n in range(len(scan.kspace))]
    image = torch.cat([one for one, _ in items])
    maps = PixelMaps.joined([one for _, one in items], torch.cat)
    found = Reconstruction(
        image=image,
        solutions=unproved(_with_images(solver.solved, image, split, scan), checked),
        places=tuple(solver.places),
        assumed=_assumed(scan, solver.noises[0], split, method),
        method=method.name,
        model=method.model,
        source=scan.source,
        sampling=sampling_of_samples(scan),
        steps=(whitening, *_positions(scan)),
        axes=scan.axes,
        taken_apart=split,
        coil_maps=_maps_source(scan),
        noises=tuple(solver.noises),
        tunings=tuple(solver.tunings),
        memory=plan,
        tol=settings.tol,
        device=settings.device,
        check=checked,
        maps=maps.maps,
        map_failures=maps.failures,
        linearised=maps.linearised,
        noise_draws=settings.wanted.noise_draws,
        robust=method.most_gain,
        retuned=method.retuned,
        made_by=settings.made_by,
        seconds=time.perf_counter() - started,
    )
    if settings.output is not None:
        found.save(settings.output)
    return found


def limited_in_time(method: Reconstructor, latency: float | None) -> dict[str, Any]:
    """Return the arguments that make each solve of a method end after so many seconds, softly.

    Parameters
    ----------
    method
        The method.
    latency
        Seconds; None for no limit.

    Raises
    ------
    InputError
        If the method solves no equation that could be left with a bound.
    """
    if latency is None:
        return {}
    equilibrium = getattr(method, "equilibrium", None)
    if not isinstance(equilibrium, Equilibrium):
        raise InputError(
            f"latency is {latency:g}, but {method.label} has no bound on what is left when it is "
            "cut short, expected an equilibrium model, as of mol; choose one or leave it out."
        )
    forward = replace(equilibrium.forward, seconds=latency)
    return {"equilibrium": replace(equilibrium, forward=forward)}


class _Solver:
    """Solves for the items of a scan, one after the other."""

    def __init__(self, settings: Settings, limited: dict[str, Any], total: int) -> None:
        self.settings, self.limited, self.total = settings, limited, total
        self.wanted = settings.wanted
        self.solved: list[Solution] = []
        self.places: list[str] = []
        self.noises: list[NoiseEstimate | None] = []
        self.tunings: list[Tuning | None] = []

    def item(self, scan: NonCartesianScan, number: int, split: bool) -> tuple[Tensor, PixelMaps]:
        """Return the image of an item, and the maps that are wanted."""
        method, settings = self.settings.method, self.settings
        name = scan.axes.item
        if scan.coil_maps is None:
            text = f"{name} {number + 1}: coil maps"
            settings.progress(text, len(self.solved), self.total)
            scan = with_estimated_maps(scan)
        if settings.sigma is not None:
            require_plausible(settings.sigma, scan.kspace)
            scan = replace(scan, sigma=settings.sigma)
        noise = samples_noise(scan) if method.needs_sigma else None
        doubt = doubt_of_noise(noise) if chooses_by_default(method) else ""
        tuning = None
        if settings.strength is None and doubt:
            tuning = untuned(f"{doubt}, and samples on no grid do not choose it")
        images, maps, start = [], [], None
        for part, place in frames_of(scan, f"{name} {number}", split):
            solution, mapped = self._solve(part, place, noise, start)
            image = solution.value.cpu()
            # Frames resemble each other: an equilibrium is found from any start.
            start = solution.value if method.takes_start and split else None
            images.append(image)
            maps.append(mapped)
            self.solved.append(without_image(solution))
            self.places.append(place)
            self.noises.append(noise)
            self.tunings.append(tuning)
        join = partial(torch.stack, dim=2) if split else torch.cat
        return join(images), PixelMaps.joined(maps, join)

    def _solve(
        self,
        part: NonCartesianScan,
        place: str,
        noise: NoiseEstimate | None,
        start: Tensor | None,
    ) -> tuple[Solution, PixelMaps]:
        settings, done = self.settings, len(self.solved)
        where = f"{part.source}, {place}"
        method, device = settings.method, settings.device
        label = f"{done + 1} of {self.total}: {method.name}" if self.total > 1 else method.name
        settings.progress(label, done, self.total)
        y, A = part.kspace.to(device), part.operator().to(device)
        sigma = None if noise is None else float(noise.sigma[0])
        options: dict[str, Any] = {"sigma": sigma, "tol": settings.tol, "raise_on_failure": False}
        options |= self.limited
        if start is not None:
            options["x0"] = start
        strength = 1.0 if settings.strength is None else float(settings.strength)
        with at_strength(method, strength):
            solution = method(y, A, **options)
            if not (settings.latency and set(solution.status) <= ENDS_IN_TIME):
                require_converged(solution, where, settings.tol)
            wanted: dict[str, Any] = {"where": where, "sigma": sigma, "progress": silent}
            maps = pixel_maps(method, y, A, solution, self.wanted, **wanted)
            self.wanted = self.wanted.without(maps.failures)
        settings.progress(label, done + 1, self.total)
        return solution, maps


def _with_images(
    solutions: list[Solution], image: Tensor, split: bool, scan: NonCartesianScan
) -> list[Solution]:
    """Return the solutions with their images, parts of all."""
    frames = scan.shape[0] if split else 1
    found = []
    for number, solution in enumerate(solutions):
        item, frame = divmod(number, frames)
        value = image[item : item + 1]
        found.append(replace(solution, value=value[:, :, frame] if split else value))
    return found


def _positions(scan: NonCartesianScan) -> tuple[Step, ...]:
    """Return what the reader decided about the trajectory, as a step."""
    text = "; ".join(scan.notes) or "as given, in cycles per field of view"
    return (Step("trajectory", bool(scan.notes), text),)


def _memory(scan: NonCartesianScan, settings: Settings) -> MemoryPlan:
    limit = memory_limit(settings.max_memory, settings.device, held=scan.kspace.nbytes)
    axes = scan.trajectory.shape[-1]
    split = is_split(scan, settings.method.axes, settings.method.label)
    spatial = scan.shape[-axes:] if split else scan.shape
    return plan_memory(
        spatial,
        scan.kspace.shape[1],
        settings.method,
        limit=limit,
        maps_shape=scan.shape[-axes:],
        held=scan.kspace.nbytes,
        device=settings.device,
    )


def _maps_source(scan: NonCartesianScan) -> str:
    if scan.coil_maps is not None:
        return "those of the scan"
    if scan.kspace.shape[1] == 1:
        return "one coil, none needed"
    return "estimated from the centre of k-space, brought to a grid (ESPIRiT)"


def _assumed(
    scan: NonCartesianScan, noise: NoiseEstimate | None, split: bool, method: Reconstructor
) -> dict[str, str]:
    assumed = {}
    if split:
        assumed["axes"] = f"{method.label} is a model of slices: every frame is solved by itself."
    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        where = " of all frames together" if scan.axes.time else ""
        assumed["coil maps"] = (
            f"They are estimated from the centre of k-space{where}, brought to a grid (ESPIRiT)."
        )
    if noise is not None and noise.estimated:
        assumed["noise"] = (
            f"σ = {float(noise.sigma[0]):.4g} {noise.doubt} per k-space sample is estimated "
            f"({noise.source})."
        )
    if scan.unframed:
        assumed["frames"] = (
            "The last line is in no frame and is not used."
            if scan.unframed == 1
            else f"The last {scan.unframed} lines are in no frame and are not used."
        )
    if any("as far as" in note for note in scan.notes):
        assumed["field of view"] = (
            f"The image has {shape_text(scan.shape)} pixels, as far as the trajectory reaches."
        )
    return assumed
