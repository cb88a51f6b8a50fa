"""Slices that lie scattered in a file: sorted once, into a file without a name."""

from __future__ import annotations

import math
import tempfile
import weakref
from dataclasses import dataclass
from typing import IO

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.entries import Entry

_BLOCK = 2**23
"""Bytes that are sorted at a time."""


@dataclass(frozen=True, eq=False)
class Sorted:
    """An array whose slices along an axis lie one after the other.

    To read one slice after the other from where they lie scattered, all of the file would be read
    for each, or be kept in memory.
    """

    file: IO[bytes]
    entry: Entry  # the array as it is stored
    axis: int

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    def read(self, chosen: slice) -> Array:
        """Read a range of the slices, as that part of the array."""
        order = [self.axis, *(one for one in _stored_order(self.entry) if one != self.axis)]
        start, stop, _ = chosen.indices(self.entry.shape[self.axis])
        shape = [stop - start, *(self.entry.shape[one] for one in order[1:])]
        self.file.seek(start * (self.entry.nbytes // self.entry.shape[self.axis]))
        found = np.fromfile(self.file, self.entry.dtype, math.prod(shape))
        return np.ascontiguousarray(found.reshape(shape).transpose(np.argsort(order)))


def is_scattered(entry: Entry, axis: int) -> bool:
    """Whether a range along an axis is more than one block of the array."""
    order = _stored_order(entry)
    return math.prod(entry.shape[one] for one in order[: order.index(axis)]) > 1


def sort_slices(stream: IO[bytes], entry: Entry, axis: int) -> Sorted:
    """Sort the array that begins where a stream is."""
    order = _stored_order(entry)
    place, count = order.index(axis), entry.shape[axis]
    outer = math.prod(entry.shape[one] for one in order[:place])
    inner = math.prod(entry.shape[one] for one in order[place + 1 :])
    # Whole rows of all slices at a time, or some slices of one row.
    rows = max(1, _BLOCK // max(1, count * inner * entry.dtype.itemsize))
    slices = count if rows > 1 else max(1, _BLOCK // max(1, inner * entry.dtype.itemsize))
    found = Sorted(tempfile.TemporaryFile(), entry, axis)  # noqa: SIM115 (it is kept open)
    for row in range(0, outer, rows):
        some = min(rows, outer - row)
        for first in range(0, count, slices):
            few = min(slices, count - first)
            content = stream.read(some * few * inner * entry.dtype.itemsize)
            block = np.frombuffer(content, entry.dtype).reshape(some, few, inner)
            for number in range(few):
                found.file.seek(((first + number) * outer + row) * inner * entry.dtype.itemsize)
                found.file.write(block[:, number].tobytes())
    found.file.flush()
    return found


def _stored_order(entry: Entry) -> list[int]:
    """Return the axes from the slowest to the fastest."""
    axes = list(range(len(entry.shape)))
    return axes[::-1] if entry.fortran else axes
