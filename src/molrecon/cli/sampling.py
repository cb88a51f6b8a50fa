"""How a scan was sampled, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molrecon.cli.output import shape_text
from molrecon.errors import InputError

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
        Width of the calibration region along each axis; None if there is none.
    """

    slices: int
    coils: int
    shape: tuple[int, ...]
    share: float
    calibration: tuple[int, ...] | None

    @property
    def acceleration(self) -> float:
        """Size of k-space over the number of measured samples."""
        return 1 / self.share

    def __str__(self) -> str:
        slices = f"{self.slices} slices, " if self.slices > 1 else ""
        coils = "1 coil" if self.coils == 1 else f"{self.coils} coils"
        return (
            f"{slices}{coils}, {shape_text(self.shape)}, {self.share:.1%} of k-space sampled "
            f"({self.acceleration:.2f}×)"
        )


def sampling_of(scan: Scan) -> Sampling:
    """Count."""
    from molrecon.data.calibration import calibration_region

    mask = scan.sampling_mask()
    try:
        region = calibration_region(mask)
    except InputError:
        calibration = None
    else:
        calibration = tuple(part.stop - part.start for part in region)
    slices, coils, *shape = scan.kspace.shape
    return Sampling(slices, coils, tuple(shape), float(mask.float().mean()), calibration)
