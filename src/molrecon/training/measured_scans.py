"""Undersampled scans without a reference: samples left out of a scan are what is to be predicted.

The measured samples outside the calibration region are split into two sets. The image of one has
to predict the other (SSDU, Yaman et al., MRM 2020). The noise of what is left out is independent of
the image, so that in the mean its squared distance to the prediction is that of the truth, plus a
constant: the network learns to fill in what was not measured and to remove noise alike, from scans
that have a noise-free image nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.randomness import make_generator
from molrecon.data.scan import Scan
from molrecon.data.simulation.base import STREAM, Count, Files, Pool, Simulation
from molrecon.data.simulation.batch import Batch
from molrecon.data.simulation.registry import SIMULATIONS
from molrecon.errors import InputError
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.pipeline.left_out import missing_like
from molrecon.pipeline.measurements import operator_of
from molrecon.pipeline.parts import read_parts
from molrecon.pipeline.preparation import Preparation
from molrecon.settings_files import of_kind
from molrecon.training.measured_lines import MeasuredLines, SplitLines
from molrecon.training.split import Split, in_units_of_peak, recorrupted

Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class SplitScan(Split):
    """A split of samples on a grid."""

    mask: Tensor  # bool ``(1, 1, *spatial)``, true where a sample was measured and kept
    frames: bool = False

    @property
    def y(self) -> Tensor:
        """The samples that were kept."""
        return self.kspace * self.mask

    @property
    def A(self) -> MultiCoilMRI:  # noqa: N802 - the field's name
        """The operator of the samples that were kept."""
        return self._operator(self.mask)

    def predicted(self, estimate: Tensor) -> Tensor:
        """Return the samples of an image that it is to predict."""
        return self._operator(self.weights > 0)(estimate)

    def _operator(self, mask: Tensor) -> MultiCoilMRI:
        axes = Axes("tyx") if self.frames else Axes.of(self.kspace.ndim - 2)
        return operator_of(Scan(self.kspace, mask, coil_maps=self.coil_maps, axes=axes))


@dataclass(frozen=True, eq=False)
class MeasuredScan:
    """One slice, volume or series without a reference, in units of the peak of its image."""

    scan: Scan  # with coil maps
    image: Tensor  # its SENSE image, ``(1, 1, *spatial)``
    sigma: Tensor  # ``(1,)``

    @classmethod
    def of(cls, part: Scan) -> MeasuredScan:
        """Take a part of a scan as `read_parts` returns it; its noise is estimated if need be."""
        kspace, image, sigma = in_units_of_peak(part.kspace, operator_of(part), part.sigma)
        scan = replace(part, kspace=kspace, sigma=None, reference=None, outside=None)
        return cls(scan, image, sigma)

    def split(self, share: float, draw: int, noise: float = 0.0) -> SplitScan:
        """Split the samples, see `missing_like`; each draw leaves out others.

        With ``noise`` η above 0 the samples that are kept are to be predicted too, in another
        noise, see `recorrupted`.

        Raises
        ------
        InputError
            If there are too few samples outside the calibration region.
        """
        weights = missing_like(self.scan, share, draw)
        kspace = wanted = self.scan.kspace
        kept, sigma = self.scan.mask & (weights == 0), self.sigma
        if noise > 0:
            given, other, sigma = recorrupted(kspace, sigma, noise, draw)
            wanted = torch.where(kept, other, kspace) * self.scan.mask
            kspace = given * self.scan.mask
            weights = weights + kept
        assert self.scan.coil_maps is not None
        return SplitScan(
            image=self.image,
            sigma=sigma,
            kspace=kspace,
            wanted=wanted,
            coil_maps=self.scan.coil_maps,
            mask=kept,
            weights=weights,
            frames=self.scan.axes.time,
        )

    def held_out(self, share: float, noise: float) -> tuple[MeasuredScan, SplitScan]:
        """Hold out samples; return the scan without them, and the split that predicts them."""
        split = self.split(share, 0, noise)
        kspace = self.scan.kspace * split.mask
        return replace(self, scan=replace(self.scan, kspace=kspace, mask=split.mask)), split


Measured = MeasuredScan | MeasuredLines
"""A scan on a grid or along lines."""


def measured(part: Scan | NonCartesianScan) -> Measured:
    """Take a part of a scan as `read_parts` returns it; its noise is estimated if need be."""
    return MeasuredScan.of(part) if isinstance(part, Scan) else MeasuredLines.of(part)


class ScanPool:
    """Scans in memory, from which splits are drawn."""

    def __init__(self, scans: Iterable[Measured]) -> None:
        self.scans = list(scans)

    def check(self, size: tuple[int, ...], /) -> None:
        """Accept any size: k-space is not cropped."""

    def sample(self, size: tuple[int, ...], generator: torch.Generator, /) -> Tensor:
        """Return the SENSE image of a scan."""
        number = int(torch.randint(len(self.scans), (1,), generator=generator).item())
        return self.scans[number].image


class MeasuredScans(Simulation):
    """Splits of the samples of undersampled scans; nothing is simulated and no reference needed.

    Of scans along spokes, spirals or other lines whole lines are left out.

    Scans are read, checked and prepared as a reconstruction does, and one makes a batch.
    """

    kind: Literal["measured-scans"] = "measured-scans"
    size: tuple[Count, ...] = ()  # without effect, as k-space is not cropped
    share: Share = 0.3  # share of the samples outside the calibration region that is left out
    # η of recorruption: how much noise is added where kept samples are to be predicted in another
    # noise, relative to that of the scan; 0 leaves kept samples out of the loss.
    noise: float = Field(0.0, ge=0)
    most: Count = 24  # number of slices, volumes or series, spread over the files

    batch_type: ClassVar[type[Batch]] = SplitScan
    validation_size: ClassVar[tuple[int, ...]] = ()

    def pool(self, files: Files) -> ScanPool:
        """Read the scans to train on."""
        parts = read_parts(
            list(files), Axes(self.axes), "to train", preparation=Preparation(), most=self.most
        )
        pool = ScanPool(measured(part) for part in parts)
        for scan in pool.scans:
            scan.split(self.share, 0)  # those with too few samples are refused before any work
        return pool

    def held_out(self, files: Files, count: int, size: tuple[int, ...]) -> list[Tensor]:
        """Return the SENSE images of scans to validate on."""
        return [scan.image for scan in self.pool(files).scans[:count]]

    def simulate(self, images: Tensor, generator: torch.Generator) -> Batch:
        """Refuse images: scans are measured."""
        raise InputError(f"{self.kind} are scans, but images were given; give files of scans.")

    def at(self, *, sigma: float, acceleration: float) -> Self:
        """Return the same: scans have the noise and sampling that they have."""
        return self

    def batch(self, tensors: dict[str, Tensor]) -> Split:
        """Return the batch that has these `Batch.tensors`."""
        if "trajectory" in tensors:
            return SplitLines(**tensors)
        return SplitScan(**tensors, frames=self.axes == "tyx")

    def sample(self, pool: Pool, *, seed: int, step: int) -> Split:
        """Draw a split that depends on ``(seed, step)`` alone; scans take turns."""
        assert isinstance(pool, ScanPool)
        generator = make_generator(STREAM["training"], seed, step)
        draw = int(torch.randint(1, 2**31, (1,), generator=generator).item())
        return pool.scans[step % len(pool.scans)].split(self.share, draw, self.noise)

    def validation(
        self, files: Files, *, seed: int, count: int, size: tuple[int, ...] | None = None
    ) -> list[Batch]:
        """Make a fixed list of splits of at most ``count`` scans."""
        return [scan.split(self.share, 0, self.noise) for scan in self.pool(files).scans[:count]]


class MeasuredVolumes(MeasuredScans):
    """The same of volumes."""

    kind: Literal["measured-volumes"] = "measured-volumes"  # type: ignore[assignment]
    axes: ClassVar[str] = "zyx"


class MeasuredSeries(MeasuredScans):
    """The same of series of frames."""

    kind: Literal["measured-series"] = "measured-series"  # type: ignore[assignment]
    axes: ClassVar[str] = "tyx"


MEASURED: dict[str, type[MeasuredScans]] = {
    "yx": MeasuredScans,
    "zyx": MeasuredVolumes,
    "tyx": MeasuredSeries,
}
"""The settings of scans without a reference, by their spatial axes."""

_KINDS = SIMULATIONS | {kind.model_fields["kind"].default: kind for kind in MEASURED.values()}

AnyBatches = Annotated[
    SerializeAsAny[Simulation], BeforeValidator(of_kind(_KINDS, "kind", "parallel-mri"))
]
"""A field for the settings of what training batches are made of: simulations or scans."""
