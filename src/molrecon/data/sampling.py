"""How a scan was sampled, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from molrecon.data.axes import Axes
from molrecon.data.calibration import calibration_region
from molrecon.data.scan import Scan
from molrecon.errors import InputError, shape_text


@dataclass(frozen=True)
class Sampling:
    """Numbers about a scan.

    Attributes
    ----------
    slices, coils, shape
        Sizes of k-space.
    share
        Share of k-space that was measured.
    calibration
        Width of the calibration region along each Fourier axis; None if there is none.
    axes
        The spatial axes.
    """

    slices: int
    coils: int
    shape: tuple[int, ...]
    share: float
    calibration: tuple[int, ...] | None
    axes: Axes

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
        return (
            f"{slices}{coils}, {shape}, {self.share:.1%} of k-space sampled "
            f"({self.acceleration:.2f}×)"
        )


def sampling_of(scan: Scan) -> Sampling:
    """Return how a scan was sampled, in numbers."""
    try:
        region = calibration_region(scan.calibration_mask)
    except InputError:
        calibration = None
    else:
        calibration = tuple(part.stop - part.start for part in region)
    slices, coils, *shape = scan.kspace.shape
    return Sampling(
        slices, coils, tuple(shape), float(scan.mask.float().mean()), calibration, scan.axes
    )
