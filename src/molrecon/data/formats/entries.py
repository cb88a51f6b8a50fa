"""The arrays in a file: what they are, and which one is meant."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from molrecon.data.arrays import Array as Array
from molrecon.data.formats.location import Location
from molrecon.errors import AmbiguousError, InputError

_HEADER_READERS = {
    (1, 0): ("<H", np.lib.format.read_array_header_1_0),
    (2, 0): ("<I", np.lib.format.read_array_header_2_0),
}
_LONGEST_HEADER = 10_000
"""Bytes; NumPy's own limit, beyond which parsing the header is no longer safe."""


@dataclass(frozen=True)
class Entry:
    """Shape and type of one array in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool = False  # whether the first index runs fastest, where that matters to the reader

    def __str__(self) -> str:
        kind = "records" if self.dtype.names else "text" if self.dtype.kind in "OSU" else self.dtype
        return f"{kind} {self.shape}"

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, as they are read."""
        return self.size * self.dtype.itemsize

    @property
    def is_complex(self) -> bool:
        """Whether the numbers are complex."""
        return self.dtype.kind == "c"

    @property
    def is_numeric(self) -> bool:
        """Whether it holds booleans or numbers."""
        return self.dtype.kind in "biufc"

    @property
    def holds_pairs(self) -> bool:
        """Whether the last axis holds real and imaginary part: no image is two pixels wide."""
        return self.dtype.kind == "f" and len(self.shape) > 2 and self.shape[-1] == 2


Entries = Mapping[str, Entry]


def npy_entry(stream: IO[bytes]) -> Entry:
    """Read the header of an array in NumPy's format, leaving the stream at its data."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADER_READERS:
        raise ValueError(f"version {version} of the .npy format is not for plain arrays")
    kind, read = _HEADER_READERS[version]
    prefix = stream.read(struct.calcsize(kind))
    (length,) = struct.unpack(kind, prefix)
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header is {length} bytes long")
    shape, fortran, dtype = read(io.BytesIO(prefix + stream.read(length)))
    if min(shape, default=0) < 0:
        raise ValueError(f"its header gives the shape {shape}")
    return Entry(shape, dtype, fortran)


def require_numeric(entry: Entry, location: Location) -> None:
    """Refuse an array of text, records or Python objects (which would need unpickling)."""
    if not entry.is_numeric:
        raise InputError(
            f"{location} holds {entry.dtype} values, but plain numbers were expected; "
            "save them as a numeric array (nothing is ever unpickled)."
        )


def listing(entries: Entries) -> str:
    """Name the arrays of a file with their types and shapes, for messages."""
    return ", ".join(f"{key} ({entry})" for key, entry in entries.items()) or "no arrays"


def choose_key(
    entries: Entries,
    location: Location,
    prefer: Sequence[str],
    wanted: str,
    suits: Callable[[Entry], bool],
) -> str:
    """Decide which array of a file is meant.

    The key in ``location`` decides; otherwise the first of ``prefer`` that exists; otherwise the
    only array that ``suits``, which is to say is the ``wanted``.
    """
    if location.key is not None:
        if location.key not in entries:
            raise InputError(
                f"{location.path} holds no array {location.key!r}; it holds {listing(entries)}: "
                "name one of these after '::'."
            )
        return location.key
    for key in prefer:
        if key in entries:
            return key
    candidates = [key for key, entry in entries.items() if suits(entry)]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        how = ", with real and imaginary part as complex numbers or along the last axis"
        others = f", only {listing(entries)}" if entries else ""
        raise InputError(
            f"{location.path} holds no {wanted}{others}; give a file with one"
            f"{how if 'complex' in wanted else ''}."
        )
    raise AmbiguousError(
        f"{location.path} holds {len(candidates)} arrays that could be meant "
        f"({listing(entries)}); append '::KEY' to the path, as in "
        f"{location.path}::{candidates[0]}."
    )
