"""Telling raw data from images."""

from __future__ import annotations

from dataclasses import replace

from molrecon.data.arrays import complex_tensor
from molrecon.data.check.kind import CERTAIN, transform_gain
from molrecon.data.formats.base import Kind
from molrecon.data.formats.entries import Array, Entries
from molrecon.data.formats.location import Location
from molrecon.data.formats.named_arrays import as_complex, kspace_names
from molrecon.data.formats.non_cartesian import require_grid
from molrecon.data.formats.picture import OTHER, PNG
from molrecon.data.formats.reading import (
    PathLike,
    describe,
    format_of,
    read_array,
    read_scan,
    read_with,
)


def kind_of(path: PathLike, *, max_memory: float | None = None) -> Kind:
    """Say whether a file holds raw data, an image or coil maps.

    Its structure and the names of arrays decide where they tell. Otherwise real numbers are an
    image; of a complex array and its Fourier transform, k-space is the one with the higher peak,
    because an image is smooth.

    Parameters
    ----------
    path
        ``FILE`` or ``FILE::KEY``, as for `read_scan`.
    max_memory
        Memory in GiB that an array may take, beyond 200 MB and four times the size of the file.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type, ambiguous or larger than allowed.
    """
    location = Location.parse(path, max_memory)
    one = format_of(path)
    if one.read_scan is None:
        return "image"
    known: Kind | None = read_with(location, lambda one: one.kind)
    if known is not None:
        return known
    entries = describe(path)
    names = entries if location.key is None else [location.key]
    telling: dict[str, Kind] = dict.fromkeys(kspace_names(entries), "scan")
    for name, kind in (telling | {"image": "image"}).items():
        if name in names and name in entries:
            return kind
    if _only_kspace(location, entries):
        return "scan"
    array = _some(path, location, entries)
    if array.dtype.kind == "f" and array.ndim > 2 and array.shape[-1] == 2:
        array = as_complex(array, str(location))
    if array.dtype.kind == "c":
        require_grid(array, str(location))
    return "image" if array.dtype.kind != "c" or _is_image(array) else "scan"


def _only_kspace(location: Location, entries: Entries) -> bool:
    """Whether k-space is the one complex array among others, which is then read as the scan."""
    numeric = [name for name, entry in entries.items() if entry.is_numeric]
    complex_ = [name for name in numeric if entries[name].is_complex]
    if location.key is not None or len(complex_) != 1 or len(numeric) < 2:
        return False
    only = replace(location, key=complex_[0])
    return not _is_image(read_with(only, lambda one: lambda at: one.read_array(at, ())))


def _some(path: PathLike, location: Location, entries: Entries) -> Array:
    """Return the array, or of a stack of slices the one in the middle."""
    only = next(iter(entries.values())) if len(entries) == 1 else None
    if only is not None and only.is_complex and len(only.shape) > 3:
        count = read_with(location, lambda one: one.count or (lambda location: 1))
        if count > 1:
            chosen = (count // 2, count // 2 + 1)
            return read_scan(
                path, slice_range=chosen, max_memory=location.max_memory
            ).kspace.numpy()
    return read_array(path, max_memory=location.max_memory)


def _is_image(array: Array) -> bool:
    """Say whether a complex array is an image, as the data check does."""
    if array.ndim < 2 or array.size == 0:
        return True
    # Values that are not finite are refused by whatever reads the file next.
    return transform_gain(complex_tensor(array)) > CERTAIN


def is_picture(path: PathLike) -> bool:
    """Say whether a file holds grey values scaled to its bits, as .png and .jpg do."""
    return format_of(path) in (PNG, OTHER)
