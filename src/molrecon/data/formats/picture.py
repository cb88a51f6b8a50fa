"""Pictures, ``.png``, ``.jpg`` and ``.bmp``: grey values in, windowed magnitudes out (PNG only)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from molrecon.data.atomic import atomic_path
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Array, Entries, Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, require_whole
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems

_NAME = "a picture"
_MOST_SLICES = 25
_WHITE_PERCENTILE = 99.8


@contextmanager
def _open(location: Location) -> Iterator[Image.Image]:
    # Without the list any format that Pillow knows is tried, and one starts another program.
    with Image.open(location.path, formats=("PNG", "JPEG", "BMP")) as picture:
        location.require_room(4 * picture.height * picture.width, "picture")
        yield picture


def describe(location: Location) -> Entries:
    """Read the header."""
    with _open(location) as picture:
        return {"array": Entry((picture.height, picture.width), np.dtype(np.float32))}


def _load(location: Location) -> tuple[Array, tuple[str, ...]]:
    """Read grey values between 0 and 1, and say how."""
    require_whole(location, _NAME)
    with _open(location) as picture:
        deep = picture.mode.startswith("I")
        white = 65535.0 if deep else 255.0
        values = np.asarray(picture if deep else picture.convert("L"), dtype=np.float32) / white
        notes = [f"grey values divided by {white:.0f}"]
        if not deep and picture.mode not in ("L", "1"):
            notes.append("colours converted to luminance")
        return values, tuple(notes)


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read grey values between 0 and 1, ``(y, x)``."""
    return _load(location)[0]


def read_image(location: Location) -> ImageData:
    """Read grey values between 0 and 1, ``(y, x)``."""
    values, notes = _load(location)
    return ImageData.from_array(values, str(location), notes=notes)


def _montage(slices: Array) -> Array:
    """Lay out slices ``(n, y, x)`` in rows, at most 25 of them, evenly chosen."""
    chosen = np.linspace(0, len(slices) - 1, min(len(slices), _MOST_SLICES)).round().astype(int)
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    height, width = slices.shape[1:]
    canvas = np.zeros((rows * columns, height, width), dtype=slices.dtype)
    canvas[: len(chosen)] = slices[chosen]
    grid = canvas.reshape(rows, columns, height, width).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width)


def write_png(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write the magnitude in 8 bits, black at 0 and white at the 99.8th percentile.

    Several slices become one montage. The format has no place for the geometry.
    """
    magnitude = np.stack([np.abs(one) for one in image])
    montage = _montage(magnitude.reshape(-1, *magnitude.shape[-2:]))
    # An image that is zero in nearly all pixels has a percentile of zero.
    white = np.percentile(magnitude, _WHITE_PERCENTILE) or magnitude.max() or 1.0
    grey = (np.clip(montage / white, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    with atomic_path(path) as part:
        Image.fromarray(grey).save(part, format="PNG")


PNG = Format(
    name="a PNG picture",
    extensions=(".png",),
    recognises=lambda head, path: head.startswith(b"\x89PNG\r\n\x1a\n"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    write_image=write_png,
)
OTHER = Format(
    name=_NAME,
    extensions=(".jpg", ".jpeg", ".bmp"),
    recognises=lambda head, path: head.startswith((b"\xff\xd8\xff", b"BM")),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
)
