"""MATLAB's ``.mat`` files up to version 7: variables, and numbers in the fields of structs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats import named_arrays
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Entries, Entry, require_numeric
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.formats.optional import require
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_HEADER, _COMPRESSED, _BLOCK = 128, 15, 2**20
_DEEPEST = 8


@dataclass(frozen=True, eq=False)
class _Variables:
    """What a file holds, see `named_arrays.NamedArrays`."""

    arrays: Mapping[str, Array]
    location: Location
    entries: Entries
    matlab: bool = True
    three_axes_are_slices: bool = False

    def read(self, key: str, chosen: slice | None = None, axis: int = 0) -> Array:
        """Return an array, or a part of it."""
        require_numeric(self.entries[key], Location(self.location.path, key))
        array = self.arrays[key]
        return array if chosen is None else array[(slice(None),) * axis + (chosen,)]

    def text(self, key: str) -> str:
        """Return a text."""
        array = self.arrays[key]
        if array.dtype.kind != "U" or array.size != 1:
            raise InputError(f"{self.location.path}::{key} is {array.dtype}, expected one text.")
        return str(array.reshape(-1)[0])


def _open(location: Location) -> _Variables:
    scipy_io = require("scipy.io", "MATLAB files")
    _require_room(location)
    found = scipy_io.loadmat(location.path, chars_as_strings=True)
    arrays = dict(_numbers(found, "", 0))
    entries = {name: Entry(array.shape, array.dtype) for name, array in arrays.items()}
    return _Variables(arrays, location, entries)


def _require_room(location: Location) -> None:
    """Refuse a file whose compressed variables expand to more than the memory allowed."""
    expanded = 0
    with location.path.open("rb") as stream:
        header = stream.read(_HEADER)
        order = "little" if header[126:128] == b"IM" else "big"
        while len(tag := stream.read(8)) == 8:
            kind = int.from_bytes(tag[:4], order)  # type: ignore[arg-type]
            left = int.from_bytes(tag[4:], order)  # type: ignore[arg-type]
            expander = zlib.decompressobj()
            while left > 0 and (block := stream.read(min(left, _BLOCK))):
                left -= len(block)
                while kind == _COMPRESSED and block and not expander.eof:
                    expanded += len(expander.decompress(block, _BLOCK))
                    block = expander.unconsumed_tail
                    location.require_room(expanded, "content")


def _numbers(value: Any, prefix: str, depth: int) -> Iterator[tuple[str, Array]]:
    """List the arrays of a file and of its structs, by their paths."""
    names = value.keys() if isinstance(value, Mapping) else value.dtype.names or ()
    for name in names:
        item = value[name] if isinstance(value, Mapping) else value[name].reshape(-1)[0]
        if name.startswith("__") or not isinstance(item, np.ndarray):
            continue
        if item.dtype.names and item.size == 1 and depth < _DEEPEST:
            yield from _numbers(item, f"{prefix}{name}/", depth + 1)
        else:
            array = item.squeeze(-1) if item.ndim > 2 and item.shape[-1] == 1 else item
            yield f"{prefix}{name}", _house_axes(array)


def _house_axes(array: Array) -> Array:
    """Bring ``(row, column, coil, slice, time)`` to ``(time, slice, coil, row, column)``."""
    return array.T.swapaxes(-1, -2) if array.ndim > 1 else array


def describe(location: Location) -> Entries:
    """List the variables, and the fields of structs as ``name/field``."""
    return _open(location).entries


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the variable named by the location, preferred or the only one of numbers."""
    return named_arrays.read_array(_open(location), prefer)


def read_image(location: Location) -> ImageData:
    """Read ``image``, the variable named by the location, or the only one."""
    return named_arrays.read_image(_open(location))


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read ``kspace`` and its companions, or else one complex variable."""
    return named_arrays.read_scan(_open(location), slice_range)


FORMAT = Format(
    name="a MATLAB file",
    extensions=(".mat",),
    recognises=lambda head, path: head.startswith(b"MATLAB 5.0 MAT-file"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
)
