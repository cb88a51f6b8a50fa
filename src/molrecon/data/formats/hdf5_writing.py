"""Writing HDF5 files to a disk that may be full."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from molrecon.data.atomic import atomic_path


class _Patient(io.FileIO):
    """A file that tells HDF5 nothing of a failure: after one, closing crashes the library.

    ``failure`` is the first one, after which nothing more is written.
    """

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        """Write all of it, unlike a raw file of Python, which may write a part."""
        rest = memoryview(content).cast("B")
        while len(rest) and self.failure is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.failure = error
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        """Set the length, which may take room too."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to fill, which takes its name as a whole or not at all; see `atomic_path`.

    Raises
    ------
    InputError
        If the file cannot be written, as where the disk is full.
    """
    with atomic_path(path) as part, _Patient(part, "r+") as file:
        with h5py.File(file, "w") as content:
            yield content
        if file.failure is not None:
            raise file.failure
