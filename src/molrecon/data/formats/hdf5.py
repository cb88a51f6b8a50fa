"""HDF5 files: fastMRI's, MoDL's and molrecon's own, and any single dataset of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from torch import Tensor

from molrecon.data.arrays import kspace_tensor
from molrecon.data.atomic import atomic_path
from molrecon.data.formats import fastmri, modl
from molrecon.data.formats.assemble import SliceRange, assemble
from molrecon.data.formats.base import Format, Spacing, squeezed
from molrecon.data.formats.entries import Array, Entries, Entry, choose_key, require_numeric
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, reading
from molrecon.data.formats.parts import scan_arrays
from molrecon.data.scan import Scan

_NAME = "an HDF5 file"


class Layout(Protocol):
    """What the module of an HDF5 layout offers."""

    def recognises(self, entries: Entries, key: str | None) -> bool:
        """Whether a file with these datasets is of this layout, given the key asked for."""

    def read_scan(
        self, file: h5py.File, entries: Entries, location: Location, slice_range: SliceRange | None
    ) -> Scan:
        """Read the scan, or only some of its slices."""


_LAYOUTS: tuple[Layout, ...] = (fastmri, modl)


@contextmanager
def _open(location: Location) -> Iterator[h5py.File]:
    with reading(location, _NAME, RuntimeError), h5py.File(location.path, "r") as file:
        yield file


def _entries(file: h5py.File) -> Entries:
    """List the datasets, those in groups by their path."""
    entries: dict[str, Entry] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            entries[name] = Entry(item.shape, item.dtype)

    file.visititems(note)
    return entries


def describe(location: Location) -> Entries:
    """List the datasets without reading them."""
    with _open(location) as file:
        return _entries(file)


def _load(file: h5py.File, location: Location, entries: Entries, key: str) -> Array:
    """Read one dataset that exists."""
    require_numeric(entries[key], Location(location.path, key))
    array: Array = np.asarray(file[key][()])
    return array


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the dataset named by the location, preferred or the only numeric one."""
    with _open(location) as file:
        entries = _entries(file)
        key = choose_key(
            entries, location, prefer, "array of numbers", lambda entry: entry.is_numeric
        )
        return _load(file, location, entries, key)


def read_image(location: Location) -> ImageData:
    """Read ``image``, the dataset named by the location, or the only numeric one."""
    return ImageData.from_array(
        read_array(location, ("image",)), str(location), slices=location.slices
    )


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read a scan in one of the known layouts, or one dataset as k-space."""
    source = str(location)
    with _open(location) as file:
        entries = _entries(file)
        for layout in _LAYOUTS:
            if layout.recognises(entries, location.key):
                return layout.read_scan(file, entries, location, slice_range)
        key = choose_key(entries, location, (), "complex array", lambda entry: entry.is_complex)
        array = _load(file, location, entries, key)
    kspace, note = kspace_tensor(array, source, slices=location.slices, frames=location.frames)
    notes = (f"dataset {key!r} read as k-space", note)
    return assemble(kspace, source=source, notes=notes, axes=location.axes, slice_range=slice_range)


def write_image(path: Path, image: Tensor, spacing: Spacing | None) -> None:
    """Write the dataset ``image``, complex64, with the spacing as its attribute."""
    with atomic_path(path) as part, h5py.File(part, "w") as file:
        dataset = file.create_dataset("image", data=squeezed(image))
        if spacing is not None:
            dataset.attrs["spacing"] = spacing


def write_scan(path: Path, scan: Scan) -> None:
    """Write all that the scan holds but its notes, each part as one dataset."""
    with atomic_path(path) as part, h5py.File(part, "w") as file:
        for name, array in scan_arrays(scan).items():
            # A single number cannot be compressed.
            compression = "gzip" if array.ndim else None
            file.create_dataset(name, data=array, compression=compression)


FORMAT = Format(
    name=_NAME,
    extensions=(".h5", ".hdf5"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    write_image=write_image,
    write_scan=write_scan,
)
