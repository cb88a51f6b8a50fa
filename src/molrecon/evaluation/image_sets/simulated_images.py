"""What sets of scans simulated from images or volumes share, whatever the sampling."""

from __future__ import annotations

import hashlib
from abc import ABC
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from molrecon.data.formats import read_array
from molrecon.data.phase import simulate_phase
from molrecon.data.randomness import make_generator
from molrecon.data.root import file_digest, find_files
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.errors import InputError, shape_text
from molrecon.evaluation.image_sets.base import Case, ImageSet
from molrecon.evaluation.image_sets.magnitude_images import MagnitudeImage, read_magnitudes


@dataclass(frozen=True)
class SimulatedImageCase(Case):
    """An image with coils, phase and noise of its own."""

    part: str
    dimensions: int
    longest: int | None
    seed: int
    sigma: float
    coils: int
    phase: float
    coil_maps: str | None
    coil_maps_digest: str
    estimate_maps: bool

    def drawn(self) -> tuple[Tensor, Tensor, torch.Generator]:
        """Return the complex image ``(*spatial)``, its maps, and the source of all else."""
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
        return image * phase, maps, generator


class SimulatedImages(ImageSet, ABC):
    """Scans of magnitude images, whose 99.9th percentile is brought to 1."""

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
    # Whether reconstructions are given maps estimated from the centre of k-space or the true.
    maps: Literal["estimated", "true"] = "estimated"

    def images(self, root: Path, dimensions: int) -> list[dict[str, Any]]:
        """Read the images below a root; return for each what its cases have in common.

        Beside these there is the shape, under ``"shape"``, and a title, under ``"title"``.
        """
        maps_file = None if self.coil_maps is None else find_files(root, [self.coil_maps])[0]
        maps = None if maps_file is None else _given_maps(maps_file)
        found: list[dict[str, Any]] = []
        for source, title in self.sources(root).items():
            common = self.of_source(root, source)
            images = _images(source, common["digest"], dimensions, self.longest)
            for shape in {one.shape for one in images}:
                self._check_size(shape, maps, source)
            found += [
                {
                    "shape": one.shape,
                    "title": f"{title} {one.part}".rstrip(),
                    "ndim": dimensions,
                    "part": one.part,
                    "dimensions": dimensions,
                    "longest": self.longest,
                    "coils": self.coils,
                    "phase": self.phase,
                    "coil_maps": maps_file,
                    "coil_maps_digest": "" if maps_file is None else file_digest(maps_file),
                    "estimate_maps": self.maps == "estimated",
                    **common,
                }
                for one in _chosen(images, self.slices)
            ]
        return found

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
