"""MATLAB's ``.mat`` files of versions 5 to 7: variables, and numbers in the fields of structs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats import named_arrays
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Entries, Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.formats.matlab5_file import Variable, read_variables
from molrecon.data.scan import Scan
from molrecon.errors import InputError


@dataclass(frozen=True, eq=False)
class _File:
    """What a file holds, see `named_arrays.NamedArrays`."""

    variables: Mapping[str, Variable]
    location: Location
    entries: Entries
    matlab: bool = True
    three_axes_are_slices: bool = False

    def read(self, key: str, chosen: slice | None = None, axis: int = 0) -> Array:
        """Return an array, or a part of it; only that is read from the file."""
        entry, one = self.entries[key], self.variables[key]
        views = []
        for part in one.parts:
            view = part.reshape(one.entry.shape, order="F")
            # From (row, column, coil, slice, time) to (time, slice, coil, row, column).
            view = view.T.swapaxes(-1, -2) if view.ndim > 1 else view
            views.append(view if chosen is None else view[(slice(None),) * axis + (chosen,)])
        self.location.require_room(views[0].size * entry.dtype.itemsize, f"variable {key!r}")
        found: Array = np.empty(views[0].shape, entry.dtype)
        if len(views) == 1:
            found[...] = views[0]
        else:
            found.real, found.imag = views
        return found

    def text(self, key: str) -> str:
        """Refuse: texts are not read."""
        raise InputError(f"{self.location.path}::{key} is numbers, but a text was expected.")


def _open(location: Location) -> _File:
    variables = read_variables(location)
    entries = {}
    for name, one in variables.items():
        row_column, others = one.entry.shape[:2], one.entry.shape[2:]
        entries[name] = Entry((*others[::-1], *row_column), one.entry.dtype)
    return _File(variables, location, entries)


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


def count(location: Location) -> int:
    """Return the number of items."""
    return named_arrays.count(_open(location))


FORMAT = Format(
    name="a MATLAB file",
    extensions=(".mat",),
    recognises=lambda head, path: head.startswith(b"MATLAB 5.0 MAT-file"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    count=count,
)
