"""What an image file holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molrecon.data.formats.entries import Array
from molrecon.data.geometry import Geometry
from molrecon.errors import InputError

_AXES = {2: ("y", "x"), 3: ("z", "y", "x")}
_SERIES = ("t", "y", "x")


@dataclass(frozen=True, eq=False)
class ImageData:
    """An image, a stack of images or a volume, with its geometry where that is known.

    Parameters
    ----------
    array
        float32 or complex64, its axes named by ``axes``.
    axes
        ``("y", "x")``, ``("z", "y", "x")``, ``("t", "y", "x")``, or one of them after ``"batch"``.
        A file that does not tell a stack of slices, or a series of frames, from a volume gives
        ``("z", "y", "x")``.
    geometry
        Size and place of the pixels, where they are known.
    source
        Where it came from, for messages.
    notes
        What the reader decided, one readable clause each.

    Raises
    ------
    InputError
        If a value is NaN or infinite, or all are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from molrecon import ImageData
    >>> ImageData(np.ones((4, 6), dtype=np.float32), ("y", "x")).array.shape
    (4, 6)
    """

    array: Array
    axes: tuple[str, ...]
    geometry: Geometry | None = None
    source: str = "the image"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not np.isfinite(self.array).all():
            raise InputError(
                f"The image {self.source} holds NaN or infinite values (in single precision), but "
                "finite ones were expected; repair or export it again."
            )
        if not self.array.any():
            raise InputError(
                f"The image {self.source} is zero everywhere, but data were expected; check the "
                "file."
            )

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.axes) - ("batch" in self.axes)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Distance of pixel centres in mm along the axes in space, in the order of ``axes``."""
        in_space = self.ndim - self.frames
        return None if self.geometry is None else self.geometry.spacing[-in_space:]

    @property
    def frames(self) -> bool:
        """Whether the first spatial axis is time."""
        return "t" in self.axes

    def tensor(self) -> Tensor:
        """Return the image as complex64 ``(batch, 1, *spatial)``."""
        spatial = self.array.shape[-self.ndim :]
        image = torch.from_numpy(self.array.astype(np.complex64))
        return image.reshape(-1, 1, *spatial)

    @classmethod
    def from_array(
        cls,
        array: Array,
        source: str,
        *,
        slices: bool = False,
        frames: bool = False,
        geometry: Geometry | None = None,
        notes: tuple[str, ...] = (),
    ) -> ImageData:
        """Read ``(y, x)``, ``(z, y, x)`` or ``(batch, 1, *spatial)`` as an image.

        With ``slices``, three axes are ``(batch, y, x)``; with ``frames``, three spatial axes are
        ``(t, y, x)``.

        Raises
        ------
        InputError
            If the number of axes is another, an axis is empty, or a value is NaN or infinite.
        """
        array = array[:, None] if slices and array.ndim == 3 else array
        pixels = array[0, 0] if array.ndim in (4, 5) and array.shape[:2] == (1, 1) else array
        batched = pixels.ndim in (4, 5) and pixels.shape[1] == 1
        pixels = pixels[:, 0] if batched else pixels
        spatial = pixels.ndim - batched
        if spatial not in _AXES or pixels.size == 0:
            raise InputError(
                f"The image {source} has shape {array.shape}, but (y, x), (z, y, x) or "
                "(batch, 1, *spatial) was expected; reshape it or choose a part."
            )
        letters = _SERIES if frames and spatial == 3 else _AXES[spatial]
        axes = (*(("batch",) if batched else ()), *letters)
        kind = np.complex64 if array.dtype.kind == "c" else np.float32
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = np.ascontiguousarray(pixels, dtype=kind)
        return cls(pixels, axes, geometry, source, notes)
