"""The datasets of an HDF5 file, listed and read without leaving the file or the memory allowed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from molrecon.data.formats.entries import Array, Entries, Entry, require_numeric
from molrecon.data.formats.hdf5_lengths import stored_lengths
from molrecon.data.formats.location import Location
from molrecon.errors import InputError

_MOST_OBJECTS = 10_000
_DEEPEST = 32
_PAIR = ("real", "imag")
_GZIP_RATIO = 1032
"""The most that deflate expands."""
_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class Hdf5File:
    """An open file."""

    file: h5py.File
    location: Location  # where it is, and which dataset is asked for
    entries: Entries  # shape and type of the datasets by their path, as `read` returns them
    # Whether MATLAB wrote it. HDF5 has its axes in reverse; the last two are exchanged here, so
    # that MATLAB's ``(row, column, coil, slice, time)`` is ``(time, slice, coil, y, x)``.
    matlab: bool

    @property
    def three_axes_are_slices(self) -> bool:
        """Whether three axes are slices: fastMRI's single coil has them, MATLAB files coils."""
        return not self.matlab

    def read(self, key: str, chosen: slice | None = None, axis: int = 0) -> Array:
        """Read a dataset of numbers that is among the entries, or only a part along one axis."""
        entry, dataset = self.entries[key], self.file[key]
        require_numeric(entry, Location(self.location.path, key))
        shape = list(entry.shape)
        if chosen is not None:
            shape[axis] = len(range(*chosen.indices(shape[axis])))
        self.location.require_room(Entry(tuple(shape), entry.dtype).nbytes, f"array {key!r}")
        self._require_plain_chunks(dataset, key)
        index: list[slice] = [slice(None)] * len(shape)
        if chosen is not None:
            # The last two are exchanged in the file.
            last = len(shape) - 1
            exchanged = self.matlab and axis > last - 2 >= -1
            index[2 * last - 1 - axis if exchanged else axis] = chosen
        stored: Array = np.asarray(dataset[tuple(index)])
        if stored.dtype.names == _PAIR:
            array = np.empty(stored.shape, entry.dtype)
            array.real, array.imag = stored["real"], stored["imag"]
            stored = array
        return stored.swapaxes(-1, -2) if self.matlab and stored.ndim > 1 else stored

    def text(self, key: str) -> str:
        """Read a dataset of one text."""
        dataset = self.file[key]
        if math.prod(dataset.shape or (1,)) != 1 or dataset.dtype.kind not in "OS":
            raise InputError(
                f"{self.location.path}::{key} is {dataset.dtype} of shape {dataset.shape}, "
                "expected one text; export the file again."
            )
        length = dataset.dtype.itemsize
        if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
            length = int(stored_lengths(dataset, self.location.path).max())
        self.location.require_room(length, f"text {key!r}")
        value = np.asarray(dataset[()]).reshape(-1)[0]
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)

    def _require_plain_chunks(self, dataset: h5py.Dataset, key: str) -> None:
        """Refuse chunks that expand to more than the memory allowed.

        HDF5 inflates a chunk to whatever its stream holds, not to what the chunk should be.
        """
        if dataset.chunks is None:
            return
        self.location.require_room(
            math.prod(dataset.chunks) * dataset.dtype.itemsize, f"chunk of the array {key!r}"
        )
        filters = dataset.id.get_create_plist().get_nfilters()
        if filters and dataset.compression != "gzip":
            return
        least = self.location.most_bytes / _GZIP_RATIO
        plain = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
        suspicious: list[tuple[int, ...]] = []

        def note(chunk: Any) -> None:
            if not filters and chunk.size != plain:
                raise ValueError(f"a chunk of {plain} bytes has {chunk.size}")
            if filters and chunk.size > least:
                suspicious.append(chunk.chunk_offset)

        dataset.id.chunk_iter(note)
        for place in suspicious:
            stream, expanded = zlib.decompressobj(), 0
            rest = dataset.id.read_direct_chunk(place)[1]
            while rest and not stream.eof:
                expanded += len(stream.decompress(rest, _BLOCK))
                rest = stream.unconsumed_tail
                self.location.require_room(expanded, f"chunk of the array {key!r}")


@contextmanager
def open_hdf5(location: Location) -> Iterator[Hdf5File]:
    """Open a file and list its datasets; one that lies in another file is refused."""
    with h5py.File(location.path, "r", locking=False) as file:
        datasets = dict(sorted(_datasets(file, location.path)))
        matlab = starts_as_matlab(location.path) or any(map(_is_matlab, datasets.values()))
        entries = {name: _entry(dataset, matlab) for name, dataset in datasets.items()}
        yield Hdf5File(file, location, entries, matlab)


def _datasets(file: h5py.File, path: Path) -> Iterator[tuple[str, h5py.Dataset]]:
    """Walk through the groups, never out of the file and to nothing twice."""
    waiting, seen = [("", file, 0)], set()
    while waiting:
        prefix, group, depth = waiting.pop()
        found = []
        for name in group:
            full = f"{prefix}{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(path, full, "is a link into another file")
            if not isinstance(link, h5py.HardLink) or name == "#refs#":
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS or depth > _DEEPEST:
                raise InputError(
                    f"{path} holds more than {_MOST_OBJECTS} datasets and groups, or groups more "
                    f"than {_DEEPEST} deep, as no scan does; give another file."
                )
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                yield full, _own(item, path, full)
            elif isinstance(item, h5py.Group):
                found.append((f"{full}/", item, depth + 1))
        waiting += reversed(found)


def _own(dataset: h5py.Dataset, path: Path, name: str) -> h5py.Dataset:
    """Refuse a dataset whose numbers are those of other files, and zeros if these are missing."""
    if dataset.is_virtual:
        raise _elsewhere(path, name, "is a virtual dataset, made of others")
    if dataset.external:
        raise _elsewhere(path, name, "is stored in another file")
    return dataset


def _elsewhere(path: Path, name: str, found: str) -> InputError:
    return InputError(
        f"{path}::{name} {found}, but a file that holds its own data was expected; copy the data "
        "into one file (h5repack)."
    )


def starts_as_matlab(path: Path) -> bool:
    """Whether the block before the HDF5 file proper says that MATLAB wrote it."""
    with path.open("rb") as stream:
        return stream.read(10) == b"MATLAB 7.3"


def _is_matlab(dataset: h5py.Dataset) -> bool:
    return _kind(dataset).names == _PAIR or "MATLAB_class" in dataset.attrs


def _kind(dataset: h5py.Dataset) -> np.dtype[Any]:
    """Return the type of the numbers; object for one that NumPy does not have."""
    try:
        kind: np.dtype[Any] = dataset.dtype
    except (TypeError, ValueError):
        return np.dtype(object)
    return kind


def _entry(dataset: h5py.Dataset, matlab: bool) -> Entry:
    kind = _kind(dataset)
    if kind.names == _PAIR and all(kind[name].kind in "fiu" for name in _PAIR):
        kind = np.result_type(*(kind[name] for name in _PAIR), np.complex64)
    shape = dataset.shape
    if matlab and len(shape) > 1:
        shape = (*shape[:-2], shape[-1], shape[-2])
    return Entry(shape, kind)
