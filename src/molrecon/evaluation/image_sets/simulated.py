"""Scans simulated from magnitude images or volumes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from molrecon.data.formats import read_array
from molrecon.data.masks import make_mask
from molrecon.data.phase import simulate_phase
from molrecon.data.randomness import integer, make_generator
from molrecon.data.root import file_digest, find_files
from molrecon.data.simulation.acquisition import acquire
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.errors import InputError, shape_text
from molrecon.evaluation.image_sets.base import Case, Draw, SampledSet, within
from molrecon.evaluation.image_sets.magnitude_images import MagnitudeImage, read_magnitudes
from molrecon.evaluation.reference_problem import ReferenceProblem, simulated_problem

Reference = Literal["noise-free", "full-scan"]


@dataclass(frozen=True)
class SimulatedCase(Case):
    """An image with coils, phase, mask and noise of its own."""

    part: str
    dimensions: int
    longest: int | None
    mask_kind: str
    acceleration: float
    calibration: int
    seed: int
    sigma: float
    coils: int
    phase: float
    coil_maps: str | None
    coil_maps_digest: str
    estimate_maps: bool
    reference: Reference

    def problem(self) -> ReferenceProblem:
        """Simulate the scan; maps are estimated from it unless the true ones were asked for."""
        found = _images(self.source, self.digest, self.dimensions, self.longest)
        image = next(one.values for one in found if one.part == self.part)
        # Maps and phase are those of the image, whatever its noise and sampling.
        own = hashlib.sha256(f"{self.digest} {self.part}".encode()).digest()
        generator = make_generator(self.seed, int.from_bytes(own[:4], "big"))
        shape = tuple(image.shape)
        phase = simulate_phase(shape, generator=generator, strength=self.phase)
        if self.coil_maps is None:
            maps = simulate_coil_maps(shape, self.coils, generator=generator)
        else:
            maps = _given_maps(self.coil_maps)
        mask = make_mask(
            self.mask_kind,
            shape,
            self.acceleration,
            calibration=self.calibration,
            seed=integer((0, 2**31 - 1), generator),
        )
        acquisition = acquire(
            (image * phase)[None, None],
            maps[None],
            mask[None, None],
            torch.tensor([self.sigma]),
            generator=generator,
        )
        return simulated_problem(
            acquisition, estimate_maps=self.estimate_maps, reference=self.reference
        )


class SimulatedScans(SampledSet):
    """Simulated scans of magnitude images, whose 99.9th percentile is brought to 1."""

    kind: Literal["simulated"] = "simulated"
    dimensions: Literal[2, 3] = 2  # 2: the slices of each file; 3: each volume as a whole
    # Number of slices taken from every stack or contrast, evenly spaced; all by default.
    slices: Annotated[int, Field(ge=1)] | None = None
    # Pixels of the longer side after resampling as a scanner would; by default as stored.
    longest: Annotated[int, Field(ge=16)] | None = None
    coils: int = Field(8, ge=1)  # number of simulated coils
    # A file of maps ``(coil, *spatial)`` to use in place of simulated ones; all images must then
    # have their size.
    coil_maps: str | None = None
    # Noise per complex k-space sample, relative to the image's peak.
    sigma: list[Annotated[float, Field(gt=0)]] = Field([0.01], min_length=1)
    phase: float = Field(1.0, ge=0)  # strength of the simulated phase, see `simulate_phase`
    # Whether reconstructions are given maps estimated from the calibration region or the true.
    maps: Literal["estimated", "true"] = "estimated"
    # What is compared with: the image simulated from, or what a full scan of the same noise shows.
    reference: Reference = "noise-free"

    def cases(self, root: Path) -> list[Case]:
        """List every image at every noise level under every mask."""
        maps_file = None if self.coil_maps is None else find_files(root, [self.coil_maps])[0]
        maps = None if maps_file is None else _given_maps(maps_file)
        found: list[Case] = []
        for source, title in self.sources(root).items():
            digest = file_digest(source)
            images = _images(source, digest, self.dimensions, self.longest)
            for shape in {one.shape for one in images}:
                self._check_size(shape, maps, source)
                self.check_draws(shape, source)
            found += [
                self._case(
                    source,
                    f"{title} {one.part}".rstrip(),
                    one.part,
                    sigma,
                    draw,
                    group=within(root, source.split("::", 1)[0]),
                    coil_maps=maps_file,
                )
                for one in _chosen(images, self.slices)
                for sigma in self.sigma
                for draw in self.draws()
            ]
        return found

    def _case(
        self,
        source: str,
        title: str,
        part: str,
        sigma: float,
        draw: Draw,
        *,
        group: str,
        coil_maps: str | None,
    ) -> SimulatedCase:
        condition = f"{draw.condition}, σ = {100 * sigma:g} %"
        return SimulatedCase(
            image_set=self.name,
            name=f"{title}, {condition}, seed {draw.seed}",
            condition=condition,
            group=group,
            ndim=self.dimensions,
            source=source,
            digest=file_digest(source),
            part=part,
            dimensions=self.dimensions,
            longest=self.longest,
            calibration=self.calibration,
            sigma=sigma,
            coils=self.coils,
            phase=self.phase,
            coil_maps=coil_maps,
            coil_maps_digest="" if coil_maps is None else file_digest(coil_maps),
            estimate_maps=self.maps == "estimated",
            reference=self.reference,
            **draw._asdict(),
        )

    def _check_size(self, shape: tuple[int, ...], maps: Tensor | None, source: str) -> None:
        if maps is not None and shape != tuple(maps.shape[1:]):
            raise InputError(
                f"The image set {self.name!r} has mixed sizes: {source} has images of "
                f"{shape_text(shape)} pixels, but the coil maps {self.coil_maps} have "
                f"{shape_text(maps.shape[1:])}; give images of that size, or leave the "
                "maps out to have them simulated."
            )


def _chosen(images: list[MagnitudeImage], count: int | None) -> list[MagnitudeImage]:
    """Take so many of every stack, evenly spaced."""
    stacks: dict[str, list[MagnitudeImage]] = {}
    for one in images:
        stacks.setdefault(one.stack, []).append(one)
    chosen = []
    for stack in stacks.values():
        taken = len(stack) if count is None else min(count, len(stack))
        chosen += [stack[int((i + 0.5) * len(stack) / taken)] for i in range(taken)]
    return chosen


@lru_cache(maxsize=2)
def _images(source: str, digest: str, dimensions: int, longest: int | None) -> list[MagnitudeImage]:
    return read_magnitudes(source, dimensions=dimensions, longest=longest)


def _given_maps(path: str) -> Tensor:
    """Read maps ``(coil, *spatial)`` and bring their root sum of squares to at most 1."""
    maps = torch.from_numpy(read_array(path, prefer=("coil_maps",))).to(torch.complex64)
    while maps.ndim > 3 and maps.shape[0] == 1:
        maps = maps[0]
    return maps / maps.abs().square().sum(0).sqrt().max()
