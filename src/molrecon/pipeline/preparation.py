"""The steps from raw data to the input of a method: each can be left out, and says what it did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from molrecon.data.check.centre import Centre, recentred, with_peak_at_centre
from molrecon.data.check.coils import with_equal_noise, without_dead_coils
from molrecon.data.check.maps import with_normalised_maps
from molrecon.data.check.sampling import without_padding
from molrecon.data.check.spikes import without_spikes
from molrecon.data.coil_compression import compress_coils, require_compression
from molrecon.data.oversampling import without_oversampling
from molrecon.data.partial_fourier import missing_edge, smooth_phase
from molrecon.data.scan import Scan
from molrecon.data.whitening import intensity_text, whiten, whitening_matrix
from molrecon.errors import InputError, shape_text
from molrecon.operators.base import LinearOperator
from molrecon.operators.partial_fourier import PartialFourierMRI
from molrecon.pipeline.measurements import ensure_coil_maps, operator_of


@dataclass(frozen=True)
class Step:
    """A step of the preparation of a scan, as it was taken or left out.

    Attributes
    ----------
    name
        What it is called.
    taken
        Whether it changed anything.
    text
        What was done, or why nothing was.
    error
        Share of the energy of the measurements that it lost; 0 where nothing was.

    Examples
    --------
    >>> step = Step("coil compression", True, "12 coils made 6", error=0.001)
    >>> str(step)
    'coil compression: 12 coils made 6'
    """

    name: str
    taken: bool
    text: str
    error: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"

    def facts(self) -> dict[str, Any]:
        """Return the step as plain values."""
        return vars(self).copy()


def worst(steps: Iterable[tuple[Step, ...]]) -> tuple[Step, ...]:
    """Return the steps of all items of a scan as one list, of every step the one that lost most.

    Parameters
    ----------
    steps
        Those of every item, of the same names in the same order.
    """
    same = zip(*steps, strict=True)
    return tuple(max(step, key=lambda one: (one.error, one.taken)) for step in same)


def _noted(name: str, before: Scan, after: Scan, unchanged: str) -> Step:
    """Return a step that says what it did in the notes of the scan."""
    said = after.notes[len(before.notes) :]
    return Step(name, bool(said), "; ".join(said) or unchanged)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An item of a scan as a method will take it.

    Attributes
    ----------
    scan
        The item.
    steps
        What was done.
    size
        What the coil maps were normalised by, ``(batch or 1, 1, *spatial)``, zero where there are
        none: the image is that of the maps as they were times it. None where they were not.
    """

    scan: Scan
    steps: tuple[Step, ...]
    size: Tensor | None = None

    def restored(self, image: Tensor) -> Tensor:
        """Return an image with the intensity that belongs to the maps as they were.

        Parameters
        ----------
        image
            ``(batch, 1, *spatial)``.
        """
        if self.size is None:
            return image
        size = self.size.to(image.device)
        return image / size.where(size > 0, 1)


@dataclass(frozen=True)
class Preparation:
    """Which steps lead from raw data to the input of a method.

    Parameters
    ----------
    whiten
        Whether the coils are prewhitened, where the scan comes with noise samples.
    cut_readout
        Whether a readout that was sampled more densely than the image needs is cut to the field
        of view that is wanted.
    crop
        Whether the image is cut to the field of view that the file asks for when it is written,
        where the image is larger.
    coils
        Number of virtual coils that the coils are compressed to; ``"auto"`` for the fewest that
        lose a ten thousandth of the energy; None to keep all coils.
    compression
        ``"geometric"``: other virtual coils at each position along the readout; ``"svd"``: the
        same everywhere.
    map_sets
        Number of sets of coil maps to estimate: 2 where the object may be larger than the field
        of view (soft SENSE). The image is then the root sum of squares of those of both sets.
    partial_fourier
        Whether an edge of k-space that was sampled on one side alone is completed by what was
        measured on the other: an image of smooth phase is nearly conjugate symmetric there.
    centre
        Where zero frequency lies, if it is not at index ``n // 2`` of every axis: ``"corner"`` for
        index 0, one index for each Fourier axis, or ``"auto"`` for where the energy is. K-space
        that was stored cut on one side is completed with samples that were not measured.
    despike
        Whether samples far above all their neighbours are left out.
    correct
        Whether dead coils are left out, zero padding counts as not measured, a peak that is off the
        centre by a few samples is moved to it, coils of very unequal noise are divided by it where
        there are no noise samples, and coil maps are normalised.

    Raises
    ------
    InputError
        If a value is none of these.

    Examples
    --------
    >>> import torch
    >>> scan = Scan(torch.randn(1, 4, 20, 32, dtype=torch.complex64), image_shape=(20, 16))
    >>> prepared = Preparation(coils=2).prepare(scan)
    >>> prepared.scan.kspace.shape, [step.name for step in prepared.steps if step.taken]
    (torch.Size([1, 2, 20, 16]), ['readout', 'coil compression'])
    """

    whiten: bool = True
    cut_readout: bool = True
    crop: bool = True
    coils: int | str | None = None
    compression: str = "geometric"
    map_sets: int = 1
    partial_fourier: bool = True
    centre: Centre | None = None
    despike: bool = False
    correct: bool = True

    def __post_init__(self) -> None:
        if self.coils is not None:
            require_compression(self.coils, self.compression)
        if self.map_sets not in (1, 2):
            raise InputError(f"map_sets is {self.map_sets}, expected 1 or 2; choose one of them.")

    def settled(self, item: Scan) -> Scan:
        """Return an item of a scan with what the user settles about it: spikes and centre.

        Parameters
        ----------
        item
            One item of a scan.

        Raises
        ------
        InputError
            If the centre is no place in k-space.
        """
        item = without_spikes(item) if self.despike else item
        return item if self.centre is None else recentred(item, self.centre)

    def prepare(self, item: Scan) -> Prepared:
        """Return an item of a scan after all steps, and what each did.

        Parameters
        ----------
        item
            One item of a scan.

        Raises
        ------
        InputError
            If a step cannot be taken.
        """
        steps, size = [], None
        takes = (self._settled, self._corrected, self._whitened, self._cut, self._cropped)
        for take in (*takes, self._compressed):
            item, step = take(item)
            steps.append(step)
        if self.correct:
            item, size = with_normalised_maps(item)
        text = "of unit root sum of squares" if size is None else "normalised on their support"
        maps = Step(
            "size of the coil maps", size is not None, text if self.correct else "turned off"
        )
        return Prepared(item, (*steps, maps), size)

    def _settled(self, item: Scan) -> tuple[Scan, Step]:
        name = "spikes and centre"
        if self.centre is None and not self.despike:
            return item, Step(name, False, "turned off")
        settled = self.settled(item)
        return settled, _noted(name, item, settled, "as stored")

    def _corrected(self, item: Scan) -> tuple[Scan, Step]:
        name = "samples and coils"
        if not self.correct:
            return item, Step(name, False, "turned off")
        whole = with_peak_at_centre(without_padding(item))
        corrected = with_equal_noise(without_dead_coils(whole))
        return corrected, _noted(name, item, corrected, "nothing to correct")

    def _whitened(self, item: Scan) -> tuple[Scan, Step]:
        name = "prewhitening"
        if item.kspace.shape[1] == 1:
            return item, Step(name, False, "one coil, nothing to do")
        if item.noise is None:
            return item, Step(name, False, "the scan comes without noise samples")
        if not self.whiten:
            return item, Step(name, False, "turned off")
        count = item.noise.shape[1]
        text = (
            f"noise of the coils made uncorrelated and equal, by {count} noise samples; "
            f"{intensity_text(item, whitening_matrix(item.noise))}"
        )
        return whiten(item), Step(name, True, text)

    def _cut(self, item: Scan) -> tuple[Scan, Step]:
        name, before = "readout", item.kspace.shape[2:]
        if not self.cut_readout:
            return item, Step(name, False, "turned off")
        cut = without_oversampling(item)
        after = cut.kspace.shape[2:]
        if after == before:
            return item, Step(name, False, "not oversampled")
        text = (
            f"oversampled: {shape_text(before)} samples cut to {shape_text(after)} by the field of "
            "view that the file asks for"
        )
        return cut, Step(name, True, text)

    def _cropped(self, item: Scan) -> tuple[Scan, Step]:
        name = "field of view"
        if item.image_shape is None:
            return item, Step(name, False, "that of k-space")
        if not self.crop:
            return replace(item, image_shape=None), Step(name, False, "turned off")
        text = (
            f"the image is cut to {shape_text(item.image_shape)} when it is written, as the file "
            "asks; bounds are those of the whole"
        )
        return item, Step(name, True, text)

    def _compressed(self, item: Scan) -> tuple[Scan, Step]:
        name, before = "coil compression", item.kspace.shape[1]
        if self.coils is None:
            return item, Step(name, False, "turned off")
        compressed, what = compress_coils(item, self.coils, self.compression)
        if what is None:
            return item, Step(name, False, f"{before} coils kept")
        where = "at each position along the readout" if what.kind == "geometric" else "everywhere"
        text = (
            f"{before} coils made {what.coils} virtual ones, the strongest combinations {where}; "
            f"{what.error:.2%} of the energy is in none of them"
        )
        return compressed, Step(name, True, text, what.error)

    def with_maps(self, item: Scan) -> tuple[Scan, Step]:
        """Return an item with coil maps, estimated where it has none, and what was done.

        Parameters
        ----------
        item
            One item of a scan, prepared.

        Raises
        ------
        InputError
            If there is no calibration region, or only zeros in it.
        """
        name, asked = "sets of coil maps", max(item.map_sets, self.map_sets)
        if item.coil_maps is not None:
            asked = item.map_sets
        item = ensure_coil_maps(item, sets=self.map_sets)
        if item.map_sets > 1:
            text = (
                f"{item.map_sets} sets of maps, as an object larger than the field of view needs "
                "them; the image is the root sum of squares of theirs, and bounds are of its "
                "magnitude"
            )
            return item, Step(name, True, text)
        if asked == 1:
            return item, Step(name, False, "one set")
        return item, Step(name, False, "one set: the second is empty, so nothing folds")

    def problem(self, part: Scan) -> tuple[Tensor, LinearOperator, Step]:
        """Return measurements and operator of what is solved for by itself, and what was done.

        Parameters
        ----------
        part
            One slice, volume or series with coil maps.
        """
        name, A = "partial Fourier", operator_of(part)
        fourier = part.axes.fourier
        edge, axes = missing_edge(part.mask, fourier)
        if not axes:
            return part.kspace, A, Step(name, False, "k-space was sampled on both sides alike")
        where = " and ".join(part.axes.letters[axis] for axis in axes)
        if not self.partial_fourier:
            text = f"one side along {where} is missing; turned off"
            return part.kspace, A, Step(name, False, text)
        try:
            phase = smooth_phase(part.kspace, part.mask, A.coil_maps, fourier)
        except InputError:
            text = f"one side along {where} is missing, but no centre shows the phase"
            return part.kspace, A, Step(name, False, text)
        completed = PartialFourierMRI(A, phase, edge)
        text = (
            f"one side along {where} was not measured and counts as such; it is completed by the "
            "conjugate of the other, with the smooth phase of the centre"
        )
        return completed.measurements(part.kspace), completed, Step(name, True, text)
