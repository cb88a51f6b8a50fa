"""The elements of MATLAB's ``.mat`` files of versions 5 to 7.

They are read here, and not by a library, because the common one crashes on damaged files. Source:
The MathWorks, "MAT-File Format", R2023a.
"""

from __future__ import annotations

import math
import mmap
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.entries import Entry
from molrecon.data.formats.location import Location

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
"""Types of numbers on disk; a variable of doubles may be stored in fewer bytes."""
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_STRUCT, _COMPLEX, _LOGICAL = 2, 0x0800, 0x0200
_DEEPEST, _MOST_VARIABLES = 8, 10_000
_PIECE, _BLOCK = 2**16, 2**20
"""Bytes that are expanded at a time, and to how many."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable of numbers, or a field of a struct."""

    entry: Entry  # its shape, as MATLAB has it, and type
    # The real part, and of complex numbers the imaginary part, mapped from disk as stored there.
    parts: tuple[Array, ...]


@dataclass(frozen=True)
class _Element:
    """The type of an element, its content, and where the next one begins."""

    kind: int
    content: memoryview
    end: int


def read_variables(location: Location) -> dict[str, Variable]:
    """Return the variables of a file; fields of structs as ``name/field``."""
    with location.path.open("rb") as file:
        content = memoryview(_mapped(file))
    order = "<" if bytes(content[126:128]) == b"IM" else ">"
    found: dict[str, Variable] = {}
    place, expanded = _HEADER, 0
    while place + 8 <= len(content):
        element = _element(content, place, order, padded=False)
        place = element.end
        if element.kind == _COMPRESSED:
            block = _expanded(element, order, location, expanded)
            expanded += len(block)
            element = _element(block, 0, order)
        if element.kind == _MATRIX:
            found.update(_matrix(element.content, order, "", 0))
        if len(found) > _MOST_VARIABLES:
            raise ValueError(f"it holds more than {_MOST_VARIABLES} variables")
    return found


def _mapped(file: IO[bytes]) -> mmap.mmap:
    """Return the content of a file, which the system reads as it is looked at."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _expanded(element: _Element, order: str, location: Location, before: int) -> memoryview:
    """Expand a compressed element into a file without a name, as far as the memory allows.

    It is kept from item to item: the real and the imaginary part of one slice lie apart, and all
    that lies before them would have to be expanded for each.
    """
    kept, name = location.kept, f"element ending at {element.end}"
    if name not in kept:
        with tempfile.TemporaryFile() as file:
            _expand(element.content, file, order, location, before)
            kept[name] = _mapped(file)
    else:
        _forget(kept[name])
    return memoryview(kept[name])


def _expand(
    content: memoryview, into: IO[bytes], order: str, location: Location, before: int
) -> None:
    stream = zlib.decompressobj()
    tag = stream.decompress(content[:_PIECE], 8)
    wanted = int(np.frombuffer(tag, f"{order}u4", 2)[1])
    location.require_room(before + wanted, "content")
    into.write(tag)
    waiting, length = stream.unconsumed_tail, 0
    for start in range(_PIECE, len(content) + _PIECE, _PIECE):
        # What is left over is copied by the library, so it gets little at a time.
        while length < wanted and (
            block := stream.decompress(waiting, min(_BLOCK, wanted - length))
        ):
            into.write(block)
            waiting, length = stream.unconsumed_tail, length + len(block)
        if len(waiting) > _PIECE:
            break
        waiting += content[start : start + _PIECE]
        _forget(content.obj)
    if length < wanted or stream.decompress(waiting, 1) or not stream.eof:
        raise ValueError("a compressed variable has another length than it says")
    into.flush()


def _forget(mapped: object) -> None:
    """Let go of the parts of a file that were looked at, which need not stay in memory."""
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _element(content: memoryview, place: int, order: str, *, padded: bool = True) -> _Element:
    """Read the element at a place."""
    if place + 8 > len(content):
        raise ValueError("it ends within an element")
    kind, length = map(int, np.frombuffer(content, f"{order}u4", 2, place))
    if kind >> 16:
        # Up to four bytes share the tag.
        kind, length = kind & 0xFFFF, kind >> 16
        if length > 4:
            raise ValueError(f"a short element has {length} bytes")
        return _Element(kind, content[place + 4 : place + 4 + length], place + 8)
    start = place + 8
    if start + length > len(content):
        raise ValueError(f"an element of {length} bytes is announced, {len(content) - start} left")
    step = -(-length // 8) * 8 if padded else length
    return _Element(kind, content[start : start + length], start + step)


def _numbers(element: _Element, order: str) -> Array:
    if element.kind not in _STORED:
        raise ValueError(f"numbers of the unknown type {element.kind}")
    return np.frombuffer(element.content, f"{order}{_STORED[element.kind]}")


def _matrix(
    content: memoryview, order: str, prefix: str, depth: int
) -> Iterator[tuple[str, Variable]]:
    """List what a variable holds: itself if it is of numbers, or the fields of a struct."""
    if not len(content):
        return
    flags = _element(content, 0, order)
    sizes = _element(content, flags.end, order)
    title = _element(content, sizes.end, order)
    word = int(_numbers(flags, order)[0])
    shape = tuple(int(n) for n in _numbers(sizes, order))
    name = prefix + bytes(title.content).decode("latin-1")
    if word & 0xFF in _CLASSES:
        yield name, _variable(content, title.end, order, word, shape)
    elif word & 0xFF == _STRUCT and math.prod(shape) == 1 and depth < _DEEPEST:
        width = _element(content, title.end, order)
        names = _element(content, width.end, order)
        length, place = int(_numbers(width, order)[0]), names.end
        if length < 1:
            raise ValueError(f"names of fields have {length} characters")
        for start in range(0, len(names.content), length):
            field = bytes(names.content[start : start + length]).partition(b"\0")[0]
            element = _element(content, place, order)
            place = element.end
            path = f"{name}/{field.decode('latin-1')}"
            yield from _matrix(element.content, order, path, depth + 1)


def _variable(
    content: memoryview, place: int, order: str, word: int, shape: tuple[int, ...]
) -> Variable:
    kind = np.dtype("?" if word & _LOGICAL else _CLASSES[word & 0xFF])
    parts = []
    for _ in range(2 if word & _COMPLEX else 1):
        element = _element(content, place, order)
        place = element.end
        parts.append(_numbers(element, order))
    if min(shape, default=0) < 0 or any(len(part) != math.prod(shape) for part in parts):
        raise ValueError(f"a variable of shape {shape} has {len(parts[0])} numbers")
    if len(parts) == 2:
        kind = np.result_type(kind, np.complex64)
    return Variable(Entry(shape, kind), tuple(parts))
