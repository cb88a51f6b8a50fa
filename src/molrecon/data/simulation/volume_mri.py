"""Simulated parallel MRI of volumes: two phase-encoding axes undersampled, readout full."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from molrecon.data.masks import MaskKind
from molrecon.data.pictures import centre
from molrecon.data.simulation.base import Count, Files, Positive
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.data.volumes import VolumePool, load_volumes


class VolumeMRISimulation(ParallelMRISimulation):
    """Crops of volumes with phase, coil maps, masks and noise; see `ParallelMRISimulation`.

    The first two axes (z, y) are those of phase encoding, sampled at points of their plane; the
    readout along x is full. Crops lie in any orientation to the volume.
    """

    kind: Literal["volume-mri"] = "volume-mri"  # type: ignore[assignment]
    size: tuple[Count, Count, Count] = (48, 48, 32)
    batch_size: Count = 1
    mask_kinds: dict[str, Positive] = Field(
        default={"variable-density": 0.7, "poisson-disc": 0.3}, min_length=1
    )

    axes: ClassVar[str] = "zyx"
    mask_axes: ClassVar[tuple[int, ...] | None] = (0, 1)
    validation_size: ClassVar[tuple[int, ...]] = (64, 64, 48)

    @classmethod
    def suits(cls, kind: MaskKind) -> bool:
        """Whether it draws points of a plane."""
        return kind.axes is None

    def pool(self, files: Files) -> VolumePool:
        """Read volumes."""
        return VolumePool(files)

    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return the centres of the first ``count`` volumes, at most of ``size``."""
        return [centre(stack.volume, size) for stack in load_volumes(list(files)[:count])]
