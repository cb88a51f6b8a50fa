"""NumPy's ``.npy``: one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.atomic import atomic_path
from molrecon.data.formats import named_arrays
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Entries, npy_entry, require_numeric
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.formats.scattered import is_scattered, sort_slices
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan
from molrecon.errors import InputError


@dataclass(frozen=True, eq=False)
class _File:
    """The one array of a file, see `named_arrays.NamedArrays`."""

    location: Location
    entries: Entries
    matlab: bool = False
    three_axes_are_slices: bool = False

    def read(self, key: str, chosen: slice | None = None, axis: int = 0) -> Array:
        """Read the array, or only what is wanted of it."""
        entry, kept = self.entries[key], self.location.kept
        require_numeric(entry, self.location)
        if chosen is not None and 0 not in entry.shape and is_scattered(entry, axis):
            if "sorted" not in kept:
                with self.location.path.open("rb") as stream:
                    kept["sorted"] = sort_slices(stream, npy_entry(stream), axis)
            some: Array = kept["sorted"].read(chosen)
            return some
        stored = np.load(self.location.path, mmap_mode="r", allow_pickle=False)
        part = stored if chosen is None else stored[(slice(None),) * axis + (chosen,)]
        return np.array(part)

    def text(self, key: str) -> str:
        """Refuse: there is no text in such a file."""
        raise InputError(f"{self.location} is an array, but a text was expected.")


def _open(location: Location) -> _File:
    return _File(location, describe(location))


def describe(location: Location) -> Entries:
    """Read the header, and check that the file is as long as it says."""
    with location.path.open("rb") as stream:
        entry = npy_entry(stream)
        start = stream.tell()
    found, length = location.path.stat().st_size - start, entry.size * entry.dtype.itemsize
    if found < length and entry.is_numeric:
        raise ValueError(f"{length} bytes of data expected, {found} found")
    return {"array": entry}


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the array."""
    return named_arrays.read_array(_open(location), ("array",))


def read_image(location: Location) -> ImageData:
    """Read the array as an image."""
    return named_arrays.read_image(_open(location))


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read the array as k-space."""
    return named_arrays.read_scan(_open(location), slice_range)


def count(location: Location) -> int:
    """Return the number of items."""
    return named_arrays.count(_open(location))


def write_image(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write complex64, or float32 if real.

    The format has no place for the geometry, and none for what axes mean.
    """
    with atomic_path(path) as part, part.open("wb") as stream:
        write_items(stream, image)


def write_items(stream: IO[bytes], image: ImageItems) -> None:
    """Write images as one array in NumPy's format, one after the other."""
    header = {"descr": image.stored_kind, "fortran_order": False, "shape": image.stored_shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for one in image:
        stream.write(one.astype(image.stored_kind, copy=False).tobytes())


FORMAT = Format(
    name="a NumPy .npy array",
    extensions=(".npy",),
    recognises=lambda head, path: head.startswith(b"\x93NUMPY"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    count=count,
    write_image=write_image,
)
