"""HDF5 files: those of fastMRI, CMRxRecon, Calgary-Campinas, MoDL, MATLAB 7.3, ISMRMRD and others.

Each layout that differs from `named_arrays` has a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from molrecon.data.arrays import Array
from molrecon.data.formats import calgary, ismrmrd, modl, named_arrays, parts
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format, Kind
from molrecon.data.formats.entries import Entries
from molrecon.data.formats.hdf5_file import Hdf5File, open_hdf5
from molrecon.data.formats.hdf5_writing import new_hdf5
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan

_USERBLOCKS = (0, 512, 1024, 2048)
"""Where the file proper may begin; MATLAB writes 512 bytes of its own before it."""


class Layout(Protocol):
    """What the module of an HDF5 layout offers."""

    def recognises(self, entries: Entries, key: str | None) -> bool:
        """Whether a file with these datasets is of this layout, given the key asked for."""

    def read_scan(self, file: Hdf5File, slice_range: SliceRange | None) -> Scan:
        """Read the scan, or only some of its slices."""

    def count(self, file: Hdf5File) -> int:
        """Return the number of slices that are read one by one; 1 to read all at once."""


_LAYOUTS: tuple[Layout, ...] = (ismrmrd, modl, calgary)


def describe(location: Location) -> Entries:
    """List the datasets without reading them."""
    with open_hdf5(location) as file:
        return file.entries


def kind(location: Location) -> Kind | None:
    """Say that a file of a known layout holds raw data."""
    with open_hdf5(location) as file:
        known = any(layout.recognises(file.entries, location.key) for layout in _LAYOUTS)
    return "scan" if known else None


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the dataset named by the location, preferred or the only numeric one."""
    with open_hdf5(location) as file:
        return named_arrays.read_array(file, prefer)


def read_image(location: Location) -> ImageData:
    """Read ``image``, the dataset named by the location, or the only numeric one."""
    with open_hdf5(location) as file:
        return named_arrays.read_image(file)


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read a scan in one of the known layouts, or one dataset as k-space."""
    with open_hdf5(location) as file:
        for layout in _LAYOUTS:
            if layout.recognises(file.entries, location.key):
                return layout.read_scan(file, slice_range)
        return named_arrays.read_scan(file, slice_range)


def count(location: Location) -> int:
    """Return the number of items that can be read one by one."""
    with open_hdf5(location) as file:
        for layout in _LAYOUTS:
            if layout.recognises(file.entries, location.key):
                return layout.count(file)
        return named_arrays.count(file)


def write_image(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write the dataset ``image``, complex64 or float32 if real, with its affine."""
    with new_hdf5(path) as file:
        shape = image.stored_shape
        stored = file.create_dataset("image", shape, image.stored_kind)
        for number, one in enumerate(image):
            if len(shape) < len(image.shape):
                stored[...] = one[0]
            else:
                stored[number] = one
        arrays = parts.image_arrays(image, geometry)
        for name, array in arrays.items():
            file.create_dataset(name, data=array)


def write_scan(path: Path, scan: Scan) -> None:
    """Write all that the scan holds but its notes, each part as one dataset."""
    write_arrays(path, parts.scan_arrays(scan))


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays under their names, compressed."""
    with new_hdf5(path) as file:
        for name, array in arrays.items():
            if array.ndim < 2:
                file.create_dataset(name, data=array)
                continue
            # A chunk is what is read of one coil of one slice.
            chunks = (*(1 for _ in array.shape[:-2]), *array.shape[-2:])
            file.create_dataset(name, data=array, compression="gzip", chunks=chunks)


def _recognises(head: bytes, path: Path) -> bool:
    return any(head[start:].startswith(b"\x89HDF\r\n\x1a\n") for start in _USERBLOCKS)


FORMAT = Format(
    name="an HDF5 file",
    extensions=(".h5", ".hdf5"),
    recognises=_recognises,
    describe=describe,
    kind=kind,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    count=count,
    write_image=write_image,
    write_scan=write_scan,
)
