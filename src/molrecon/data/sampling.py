"""How a scan was sampled, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.calibration import calibration_region
from molrecon.data.scan import Scan
from molrecon.errors import InputError, shape_text


@dataclass(frozen=True)
class Sampling:
    """Numbers about a scan."""

    slices: int
    coils: int
    shape: tuple[int, ...]
    share: float  # share of k-space that was measured
    # width of the calibration region along each Fourier axis; None if there is none
    calibration: tuple[int, ...] | None
    axes: Axes
    lines: str = ""  # how many lines of how many samples, where they lie on no grid

    @property
    def acceleration(self) -> float:
        """Size of k-space over the number of measured samples."""
        return 1 / self.share

    def __str__(self) -> str:
        slices = f"{self.slices} {self.axes.items}, " if self.slices > 1 else ""
        shape = shape_text(self.shape)
        if self.axes.time:
            shape = f"{self.shape[0]} frames of {shape_text(self.shape[1:])}"
        coils = "1 coil" if self.coils == 1 else f"{self.coils} coils"
        coils = f"{coils}, {self.lines}" if self.lines else coils
        return (
            f"{slices}{coils}, {shape}, {self.share:.1%} of k-space sampled "
            f"({self.acceleration:.2f}×)"
        )


def sampling_of(scan: Scan) -> Sampling:
    """Return how a scan was sampled, in numbers."""
    count = SamplingCount()
    count.add(scan)
    return count.sampling()


class SamplingCount:
    """Counts how the items of a scan were sampled, one after the other.

    Examples
    --------
    >>> import torch
    >>> count = SamplingCount()
    >>> for _ in range(3):
    ...     count.add(Scan(torch.ones(1, 2, 8, 8, dtype=torch.complex64)))
    >>> str(count.sampling())
    '3 slices, 2 coils, 8 × 8, 100.0% of k-space sampled (1.00×)'
    """

    def __init__(self) -> None:
        self._shapes: list[tuple[int, ...]] = []
        self._shares: list[float] = []
        self._everywhere: Tensor | None = None
        self._axes = Axes("yx")

    def add(self, scan: Scan) -> None:
        """Count the items of a scan, all of which have the coils and shape of those before."""
        self._axes = scan.axes
        self._shapes.append(tuple(scan.kspace.shape))
        self._shares.append(float(scan.mask.float().mean()))
        mask = scan.calibration_mask.all(0, keepdim=True)
        self._everywhere = mask if self._everywhere is None else self._everywhere & mask

    def sampling(self) -> Sampling:
        """Return the numbers of all that was counted."""
        assert self._everywhere is not None
        try:
            region = calibration_region(self._everywhere)
        except InputError:
            calibration = None
        else:
            calibration = tuple(part.stop - part.start for part in region)
        counts = [shape[0] for shape in self._shapes]
        share = sum(n * one for n, one in zip(counts, self._shares, strict=True)) / sum(counts)
        coils, *spatial = self._shapes[0][1:]
        return Sampling(sum(counts), coils, tuple(spatial), share, calibration, self._axes)
