"""NumPy's ``.npz``: named arrays; molrecon's own exchange format.

A scan that molrecon writes holds ``kspace`` and, where known, ``mask``, ``coil_maps``,
``reference``, ``sigma``, ``dynamic`` and what else `molrecon.data.formats.parts` names, with the
shapes of `molrecon.data.scan.Scan`; an image is ``image``.
"""

from __future__ import annotations

import weakref
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.atomic import atomic_path
from molrecon.data.formats import named_arrays, parts
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Entries, npy_entry, require_numeric
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.formats.npy import write_items
from molrecon.data.formats.scattered import Sorted, is_scattered, sort_slices
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_MOST_ARRAYS = 1000
_BLOCK = 2**20
_MOST_EXPANDED = 10
"""How many times the memory allowed an array may have that is read in parts."""


@dataclass(frozen=True, eq=False)
class _Archive:
    """An open archive, see `named_arrays.NamedArrays`."""

    archive: zipfile.ZipFile
    location: Location
    entries: Entries
    matlab: bool = False
    three_axes_are_slices: bool = False

    def read(self, key: str, chosen: slice | None = None, axis: int = 0) -> Array:
        """Read an array, or only what is wanted of it."""
        entry = self.entries[key]
        require_numeric(entry, Location(self.location.path, key))
        if chosen is not None and 0 not in entry.shape:
            part = (
                entry.nbytes // entry.shape[axis] * len(range(*chosen.indices(entry.shape[axis])))
            )
            self.location.require_room(part, f"array {key!r}")
            scattered = is_scattered(entry, axis)
            return (
                self._sorted(key, axis).read(chosen) if scattered else self._rows(key, chosen, axis)
            )
        self.location.require_room(entry.nbytes, f"array {key!r}")
        with self.archive.open(f"{key}.npy") as stream:
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
            # The checksum is compared at the end of the stream.
            if stream.read(1):
                raise ValueError(f"the array {key!r} is longer than its header says")
        if chosen is None:
            return array
        return array[(slice(None),) * axis + (chosen,)]

    def _rows(self, key: str, chosen: slice, axis: int) -> Array:
        """Read a range along the axis that is the slowest.

        The stream stays open from one range to the next: of what is compressed, all that lies
        before a range has to be expanded.
        """
        entry = self.entries[key]
        start, stop, _ = chosen.indices(entry.shape[axis])
        row = entry.nbytes // entry.shape[axis]
        if key not in self.location.kept:
            self.location.kept[key] = self._sound_stream(key)
        stream, first = self.location.kept[key]
        stream.seek(first + start * row)
        block = stream.read((stop - start) * row)
        found: Array = np.frombuffer(block, entry.dtype)
        shape = (*entry.shape[:axis], stop - start, *entry.shape[axis + 1 :])
        return found.reshape(shape, order="F" if entry.fortran else "C")

    def _sound_stream(self, key: str) -> tuple[IO[bytes], int]:
        """Open an array that was read to its end, where the checksum is compared."""
        stream = self._stream(key)
        weakref.finalize(self.location, stream.close)
        first = stream.tell()
        self._require_end(key, stream, sum(map(len, iter(lambda: stream.read(_BLOCK), b""))))
        return stream, first

    def _sorted(self, key: str, axis: int) -> Sorted:
        """Sort the slices of an array that was read to its end."""
        kept, name = self.location.kept, f"{key} along {axis}"
        if name not in kept:
            with self._stream(key) as stream:
                found = sort_slices(stream, self.entries[key], axis)
                self._require_end(key, stream, self.entries[key].nbytes)
            kept[name] = found
        sound: Sorted = kept[name]
        return sound

    def _stream(self, key: str) -> IO[bytes]:
        """Open an array where its numbers begin."""
        # The memory does not depend on the length, but time and room on disk do.
        self.location.require_room(self.entries[key].nbytes // _MOST_EXPANDED, f"array {key!r}")
        stream = self.archive.open(f"{key}.npy")
        npy_entry(stream)
        return stream

    def _require_end(self, key: str, stream: IO[bytes], length: int) -> None:
        """Refuse an array of another length; the checksum is compared at the end."""
        length += len(stream.read(1))
        if length != self.entries[key].nbytes:
            expected = self.entries[key].nbytes
            raise ValueError(f"the array {key!r} has {length} bytes, {expected} expected")

    def text(self, key: str) -> str:
        """Read an array of one text."""
        entry = self.entries[key]
        if entry.dtype.kind not in "US" or entry.shape != ():
            raise InputError(f"{self.location.path}::{key} is {entry}, expected one text.")
        self.location.require_room(entry.nbytes, f"text {key!r}")
        with self.archive.open(f"{key}.npy") as stream:
            value = np.lib.format.read_array(stream, allow_pickle=False).item()
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)


@contextmanager
def _open(location: Location) -> Iterator[_Archive]:
    with zipfile.ZipFile(location.path) as archive:
        members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
        if len(members) > _MOST_ARRAYS:
            raise ValueError(f"it holds {len(members)} arrays")
        entries = {}
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename} is compressed as NumPy does not")
            with archive.open(member) as stream:
                entries[member.filename.removesuffix(".npy")] = npy_entry(stream)
        yield _Archive(archive, location, entries)


def describe(location: Location) -> Entries:
    """Read the headers of all arrays."""
    with _open(location) as archive:
        return archive.entries


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the array named by the location, preferred or the only one."""
    with _open(location) as archive:
        return named_arrays.read_array(archive, prefer)


def read_image(location: Location) -> ImageData:
    """Read ``image``, the array named by the location, or the only one."""
    with _open(location) as archive:
        return named_arrays.read_image(archive)


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read ``kspace`` and its companions, or else one complex array."""
    with _open(location) as archive:
        return named_arrays.read_scan(archive, slice_range)


def count(location: Location) -> int:
    """Return the number of items."""
    with _open(location) as archive:
        return named_arrays.count(archive)


def write_image(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write complex64, or float32 if real, under the key ``image``, with its affine."""
    arrays: dict[str, Any] = parts.image_arrays(image, geometry)
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("image.npy", "w", force_zip64=True) as stream:
            write_items(stream, image)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)


def write_scan(path: Path, scan: Scan) -> None:
    """Write all that the scan holds but its notes."""
    write_arrays(path, parts.scan_arrays(scan))


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays under their names, compressed."""
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


FORMAT = Format(
    name="a NumPy .npz archive",
    extensions=(".npz",),
    recognises=lambda head, path: head.startswith((b"PK\x03\x04", b"PK\x05\x06")),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    count=count,
    write_image=write_image,
    write_scan=write_scan,
)
