"""Simulated parallel MRI of a moving object: a series of frames, each with its own lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from molrecon.data.masks import MaskKind
from molrecon.data.phase import simulate_phase
from molrecon.data.root import expand_root
from molrecon.data.simulation.acquisition import Acquisition
from molrecon.data.simulation.base import Count, Files, Positive
from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.coil_mri import fitted
from molrecon.data.simulation.measured_maps import read_measured_maps, varied_maps
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.data.volumes import SeriesPool, load_volumes
from molrecon.operators.dynamic_mri import DynamicMRI

_DRIFT = 0.15
"""Strength of the phase that changes with time, relative to that which does not."""


@dataclass(frozen=True)
class DynamicAcquisition(Acquisition):
    """An `Acquisition` of frames ``(t, y, x)``, transformed over (y, x) alone.

    ``coil_maps`` has one frame, ``(batch, coil, 1, y, x)``, which serves all.
    """

    transformed: ClassVar[int | None] = 2

    @property
    def A(self) -> DynamicMRI:  # noqa: N802 - the field's name
        """The operator of maps and masks."""
        return DynamicMRI(self.coil_maps, self.mask)


class CineMRISimulation(ParallelMRISimulation):
    """Crops of series with phase, coil maps, masks and noise; see `ParallelMRISimulation`.

    Maps are shared by the frames; the phase changes little with time; every frame has its own
    noise, and by the kind of mask its own lines.
    """

    kind: Literal["cine-mri"] = "cine-mri"  # type: ignore[assignment]
    size: tuple[Count, Count, Count] = (12, 64, 64)
    batch_size: Count = 1
    mask_kinds: dict[str, Positive] = Field(
        default={
            "frames-variable-density": 0.4,
            "frames-golden-step": 0.3,
            "frames-lattice": 0.3,
        },
        min_length=1,
    )
    calibration: tuple[Count, Count] = (4, 12)
    support_share: float = Field(0.0, ge=0, le=1)
    # A file of measured maps, see `read_measured_maps`, which may name ``${VARIABLES}``; each image
    # gets a part of them, turned and enlarged at random, and ``coils`` has no effect. Without it
    # maps are simulated.
    coil_maps: str | None = None

    axes: ClassVar[str] = "tyx"
    batch_type: ClassVar[type[Batch]] = DynamicAcquisition
    validation_size: ClassVar[tuple[int, ...]] = (12, 128, 128)

    @classmethod
    def suits(cls, kind: MaskKind) -> bool:
        """Whether it is for frames."""
        return kind.frames

    def pool(self, files: Files) -> SeriesPool:
        """Read series of frames."""
        return SeriesPool(files)

    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return the middle frames of the first ``count`` series, shrunk to fit into ``size``."""
        images = []
        for stack in load_volumes(list(files)[:count]):
            first = max(0, (len(stack.volume) - size[0]) // 2)
            images.append(fitted(stack.volume[first : first + size[0]], size[1:]))
        return images

    def _draw_phase(self, shape: tuple[int, ...], strength: float, g: torch.Generator) -> Tensor:
        still = simulate_phase(shape[1:], generator=g, strength=strength)
        return still * simulate_phase(shape, generator=g, strength=_DRIFT * strength)

    def _draw_maps(self, shape: tuple[int, ...], coils: int, g: torch.Generator) -> Tensor:
        if self.coil_maps is None:
            return simulate_coil_maps(shape[1:], coils, generator=g)[:, None]
        maps = read_measured_maps(str(expand_root(self.coil_maps)))
        return varied_maps(maps, shape[1:], generator=g)[:, None]

    def _draw_support(self, image: Tensor, g: torch.Generator) -> Tensor:
        return super()._draw_support(image.amax(0, keepdim=True), g)
