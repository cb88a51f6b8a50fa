"""BART's ``.cfl`` (complex64, first axis fastest) with its text header ``.hdr``.

BART's axes are, by number: 0 readout, 1 and 2 phase encoding, 3 coil, 4 maps, 10 time, 13 slice.
Their order is kept: axes 0, 1, 2 become the spatial axes, so that rows are rows here and there;
an axis of length 1 among them is dropped. ``1 230 180 8`` is eight coils of 230 rows and 180
columns. Time becomes the first spatial axis of a series of slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from molrecon.data.arrays import complex_tensor
from molrecon.data.atomic import atomic_path
from molrecon.data.axes import Axes
from molrecon.data.formats.assemble import SliceRange, assemble
from molrecon.data.formats.base import Format, Spacing
from molrecon.data.formats.entries import Array, Entries, Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, reading, require_file
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_NAME = "a BART .cfl/.hdr pair"
_SAMPLE = np.dtype("<c8")
_COIL, _TIME, _SLICE, _COUNT = 3, 10, 13, 16


def _pair(path: Path) -> tuple[Path, Path]:
    """Return the data and the header file for either of them or their common name."""
    base = path.with_suffix("") if path.suffix.lower() in (".cfl", ".hdr") else path
    return base.with_name(base.name + ".cfl"), base.with_name(base.name + ".hdr")


def _dimensions(location: Location) -> tuple[int, ...]:
    """Read the header, and check that the data have the length it announces."""
    data, header = _pair(location.path)
    require_file(data)
    require_file(header)
    with reading(Location(header), "a BART header"):
        lines = header.read_text(encoding="utf-8").splitlines()
        numbers = next((line for line in lines if line.strip() and not line.startswith("#")), "")
        dimensions = tuple(int(word) for word in numbers.split())
    if not dimensions or min(dimensions) < 1:
        raise InputError(
            f"The BART header {header} gives the dimensions {numbers!r}, but positive whole "
            "numbers were expected; export the data again."
        )
    expected = int(np.prod(dimensions, dtype=object)) * _SAMPLE.itemsize
    found = data.stat().st_size
    if found != expected:
        raise InputError(
            f"{data} has {found} bytes, but the dimensions {dimensions} in its header need "
            f"{expected}; the file is truncated or belongs to another header: copy both again."
        )
    return dimensions


def _arrange(
    dimensions: tuple[int, ...], source: str
) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
    """Return the shape ``(batch, coil, *spatial)``, the frames and how it came about."""
    full = dimensions + (1,) * (_COUNT - len(dimensions))
    spatial = list(full[:_COIL])
    notes = [f"BART axes 0, 1, 2 of length {tuple(spatial)} read as the spatial axes"]
    singleton = next((axis for axis in (2, 0, 1) if spatial[axis] == 1), None)
    if singleton is not None:
        del spatial[singleton]
    others = [axis for axis in range(_COIL + 1, len(full)) if full[axis] > 1]
    frames = full[_TIME]
    if frames > 1:
        others.remove(_TIME)
        notes.append(f"BART axis {_TIME} read as {frames} frames")
        if len(spatial) == 3 or any(axis < _TIME for axis in others):
            raise InputError(
                f"{source} has dimensions {dimensions}, with time beyond three spatial axes or "
                "beyond another axis; take a part of it first (bart slice)."
            )
    if len(others) > 1:
        raise InputError(
            f"{source} has dimensions {dimensions} with more than one axis beyond the coils "
            f"({', '.join(map(str, others))}); take a part of it first (bart slice)."
        )
    if others:
        notes.append(f"BART axis {others[0]} read as a batch of {full[others[0]]}")
    batch = full[others[0]] if others else 1
    return (batch, full[_COIL], *spatial), frames, tuple(notes)


def describe(location: Location) -> Entries:
    """Read the header."""
    return {"array": Entry(_dimensions(location), _SAMPLE)}


def _load(location: Location) -> tuple[Array, int, tuple[str, ...]]:
    """Read the data as ``(batch, coil, *spatial)``, of frames ``(batch, coil, t, y, x)``."""
    if location.names_a_part:
        raise InputError(
            f"{location} names a part of {_NAME}, which has none; leave out what follows '::'."
        )
    dimensions = _dimensions(location)
    shape, frames, notes = _arrange(dimensions, str(location))
    with reading(Location(_pair(location.path)[0]), _NAME):
        samples = np.fromfile(_pair(location.path)[0], dtype=_SAMPLE)
    # In the file the batch runs slowest, then time, the coil, and the first spatial axis fastest.
    batch, coils, *spatial = shape
    array = samples.reshape(batch * frames, coils, *reversed(spatial))
    array = np.moveaxis(array, range(2, array.ndim), range(array.ndim - 1, 1, -1))
    if frames > 1:
        array = np.moveaxis(array.reshape(batch, frames, coils, *spatial), 1, 2)
    return array, frames, notes


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read ``(batch, coil, *spatial)`` without leading axes of length 1."""
    array, *_ = _load(location)
    spatial = array.ndim - 2
    while array.ndim > spatial and array.shape[0] == 1:
        array = array[0]
    return array


def read_image(location: Location) -> ImageData:
    """Read a complex image; the coil axis must have length 1."""
    array, _, notes = _load(location)
    return ImageData.from_array(array, str(location), notes=notes)


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read k-space."""
    array, frames, notes = _load(location)
    return assemble(
        complex_tensor(array),
        source=str(location),
        notes=notes,
        axes=Axes("tyx" if frames > 1 else "zyx") if array.ndim == 5 else None,
        slice_range=slice_range,
    )


def write_image(path: Path, image: Tensor, spacing: Spacing | None) -> None:
    """Write both files; the format has no place for the spacing."""
    data, header = _pair(path)
    batch, channels, *spatial = image.shape
    dimensions = [1] * _COUNT
    dimensions[: len(spatial)] = spatial
    dimensions[_COIL], dimensions[_SLICE] = channels, batch
    pixels = image.numpy()
    fastest_first = np.moveaxis(pixels, range(2, pixels.ndim), range(pixels.ndim - 1, 1, -1))
    with atomic_path(header) as header_part, atomic_path(data) as data_part:
        header_part.write_text(
            "# Dimensions\n" + " ".join(map(str, dimensions)) + "\n", encoding="utf-8"
        )
        np.ascontiguousarray(fastest_first, dtype=_SAMPLE).tofile(data_part)


FORMAT = Format(
    name=_NAME,
    extensions=(".cfl", ".hdr"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    write_image=write_image,
)
