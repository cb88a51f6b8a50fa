"""Images as PNG data: magnitudes in 8 to 16 bits on one scale, maps in 8 bits."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from molrecon.data.arrays import Array

_CLEAR = 0
"""Grey value of a map where it has no value."""


@dataclass(frozen=True)
class Reduction:
    """With how many bits images are kept, and of how many planes one."""

    bits: int
    step: int = 1

    def text(self, plane: str) -> str:
        """Say what was reduced, a sentence; empty if nothing was."""
        kept = [f"grey values in {self.bits} bits"] if self.bits < 16 else []
        kept += [f"one {plane} of {self.step}"] if self.step > 1 else []
        if not kept:
            return ""
        return f"To keep the file small it holds {' and '.join(kept)}; figures are of all data."


REDUCTIONS = tuple(Reduction(bits) for bits in (16, 12, 10, 8)) + tuple(
    Reduction(8, step) for step in (2, 3, 4, 6, 8, 12, 16, 24, 32)
)
"""From the least to the most, tried in this order until the file is small enough."""


def planes_of(image: Tensor) -> Iterator[Array]:
    """Return the planes ``(y, x)`` of an image ``(batch, 1, *spatial)``, as magnitudes if complex.

    One is computed after the other: an image may be mapped from disk.
    """
    for item in image.detach():
        for plane in item[0] if item[0].ndim == 3 else item:
            found: Array = (plane.abs() if plane.is_complex() else plane).cpu().float().numpy()
            yield found


def grey_png(values: Array, top: float, bits: int) -> str:
    """Return magnitudes ``(y, x)`` as a PNG in base64, ``top`` the largest grey value.

    Browsers give out 8 bits of a PNG. Of more bits the high ones stand in a first picture, and the
    low 8 in a second below it.
    """
    levels = 2**bits - 1
    grey = (np.clip(values / (top or 1.0), 0.0, 1.0) * levels).round().astype(np.uint16)
    if bits > 8:
        grey = np.concatenate([grey >> 8, grey & 255])
    return _png(grey.astype(np.uint8))


def map_png(values: Array, span: tuple[float, float]) -> str:
    """Return a map ``(y, x)`` as a PNG in base64: 1 to 255 between the ends, 0 where it is NaN."""
    low, high = span
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / ((high - low) or 1.0)
    grey = (1 + np.clip(share, 0.0, 1.0) * 254).round()
    return _png(np.where(known, grey, _CLEAR).astype(np.uint8))


def _png(grey: Array) -> str:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def largest(images: Sequence[Tensor]) -> float:
    """Return the largest magnitude of all images, the top of their common scale."""
    return max(float(plane.max()) for image in images for plane in planes_of(image))
