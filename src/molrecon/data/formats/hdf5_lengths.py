"""Lengths and heads of records of variable length in an HDF5 file, read past HDF5."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from molrecon.data.arrays import Array

_LARGEST_HEAP = 2**31
_REFERENCE = 16
"""Bytes of a reference to a record: its length, and where it is, in 8 + 4 bytes."""


def stored_lengths(dataset: h5py.Dataset, path: Path, field: str | None = None) -> Array:
    """Return the lengths, in values, that the file announces for records of variable length.

    HDF5 allocates what is announced there before it looks whether it exists, and has no call that
    only tells. So the references are read past it. The dataset has one axis, or one record;
    ``field`` is that of variable length in its compound type, None if it is of that type itself.
    """
    kind = dataset.id.get_type()
    # A single reference may have another size in memory.
    size, offset = _REFERENCE, 0
    if field is not None:
        size = kind.get_size()
        offset = kind.get_member_offset(kind.get_member_index(field.encode()))
    count = math.prod(dataset.shape)
    lengths = np.zeros(count, np.int64)
    sizes = dataset.file.id.get_create_plist().get_sizes()
    if sizes[0] != 8 or dataset.file.userblock_size or offset + _REFERENCE > size:
        raise ValueError("its records of variable length are stored in an unusual way")
    if dataset.id.get_create_plist().get_nfilters():
        raise ValueError("its records of variable length are compressed (h5repack -f NONE)")
    row = np.dtype(
        {
            "names": ["n", "heap"],
            "formats": ["<u4", "<u8"],
            "offsets": [offset, offset + 4],
            "itemsize": size,
        }
    )
    heaps: set[int] = set()
    places = _places(dataset, count, size)
    with path.open("rb") as stream:
        for first, number, place in places:
            stream.seek(place)
            block = stream.read(number * size)
            found = np.frombuffer(block, row, number)
            lengths[first : first + number] = found["n"]
            heaps |= set(map(int, found["heap"][found["n"] > 0]))
        for heap in heaps:
            _require_steps(stream, heap)
    return lengths


def stored_field(dataset: h5py.Dataset, path: Path, field: str) -> Array:
    """Return a field of fixed size of all records, whose lengths were found sound.

    It is read past HDF5, which reads the fields of variable length of the same records too, and
    never frees what it takes for them.
    """
    kind = dataset.id.get_type()
    index, size = kind.get_member_index(field.encode()), kind.get_size()
    part = kind.get_member_type(index).dtype
    if part.hasobject:
        raise ValueError(f"its field {field} is of variable length")
    row = np.dtype(
        {
            "names": [field],
            "formats": [part],
            "offsets": [kind.get_member_offset(index)],
            "itemsize": size,
        }
    )
    found = np.zeros(math.prod(dataset.shape), part)
    with path.open("rb") as stream:
        for first, number, place in _places(dataset, len(found), size):
            stream.seek(place)
            block = np.frombuffer(stream.read(number * size), row, number)
            found[first : first + number] = block[field]
    return found


def _require_steps(stream: IO[bytes], place: int) -> None:
    """Refuse a heap of records in which the way from one to the next does not go on.

    HDF5 walks through the whole heap, and would do so for ever.
    """
    stream.seek(place)
    mark, size = struct.unpack("<8sQ", stream.read(16))
    if mark != b"GCOL\1\0\0\0" or size > _LARGEST_HEAP:
        raise ValueError("its records of variable length lie in no heap")
    at = 16
    while at + 16 <= size:
        # Only the heads are read: the records may be most of a large file.
        stream.seek(place + at)
        index, length = struct.unpack("<H6xQ", stream.read(16))
        # The free rest of the heap, with the index 0, counts its own head.
        step = length if index == 0 else 16 + -(-length // 8) * 8
        if step < 16:
            raise ValueError("its records of variable length are damaged")
        at += step


def _places(dataset: h5py.Dataset, count: int, size: int) -> list[tuple[int, int, int]]:
    """Return the first record, the number of records and the place of every block on disk."""
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5py.h5d.CONTIGUOUS:
        place = dataset.id.get_offset()
        return [] if place is None else [(0, count, int(place))]
    if layout != h5py.h5d.CHUNKED or math.prod(dataset.shape[1:]) != 1:
        raise ValueError("its records of variable length are stored in an unusual way")
    found: list[tuple[int, int, int]] = []
    expected = math.prod(dataset.chunks) * size

    def note(chunk: Any) -> None:
        if chunk.size != expected:
            # HDF5 would leave the rest of the block as it finds it.
            raise ValueError(f"a block of {expected} bytes has {chunk.size}")
        first = int(chunk.chunk_offset[0])
        found.append((first, min(dataset.chunks[0], count - first), int(chunk.byte_offset)))

    dataset.id.chunk_iter(note)
    return [one for one in found if one[1] > 0]
