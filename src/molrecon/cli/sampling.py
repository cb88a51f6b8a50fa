"""How a scan was sampled, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molrecon.errors import InputError, shape_text

if TYPE_CHECKING:
    from molrecon.data.scan import Scan


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
        The spatial axes by their letters.
    """

    slices: int
    coils: int
    shape: tuple[int, ...]
    share: float
    calibration: tuple[int, ...] | None
    axes: str

    @property
    def acceleration(self) -> float:
        """Size of k-space over the number of measured samples."""
        return 1 / self.share

    def __str__(self) -> str:
        items = {"yx": "slices", "zyx": "volumes", "tyx": "series"}[self.axes]
        slices = f"{self.slices} {items}, " if self.slices > 1 else ""
        shape = shape_text(self.shape)
        if self.axes == "tyx":
            shape = f"{self.shape[0]} frames of {shape_text(self.shape[1:])}"
        coils = "1 coil" if self.coils == 1 else f"{self.coils} coils"
        return (
            f"{slices}{coils}, {shape}, {self.share:.1%} of k-space sampled "
            f"({self.acceleration:.2f}×)"
        )


def sampling_of(scan: Scan) -> Sampling:
    """Count."""
    from molrecon.data.calibration import calibration_region
    from molrecon.data.measurement import calibration_mask

    mask = scan.sampling_mask()
    try:
        region = calibration_region(calibration_mask(scan))
    except InputError:
        calibration = None
    else:
        calibration = tuple(part.stop - part.start for part in region)
    slices, coils, *shape = scan.kspace.shape
    return Sampling(slices, coils, tuple(shape), float(mask.float().mean()), calibration, scan.axes)
