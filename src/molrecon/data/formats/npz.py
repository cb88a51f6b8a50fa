"""NumPy's ``.npz``: named arrays; molrecon's own exchange format.

A scan that molrecon writes holds ``kspace`` and, where known, ``mask``, ``coil_maps``,
``reference``, ``sigma`` and ``dynamic``, with the shapes of `molrecon.data.scan.Scan`; an image is
``image``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from molrecon.data.arrays import kspace_tensor
from molrecon.data.atomic import atomic_path
from molrecon.data.formats.assemble import SliceRange, assemble
from molrecon.data.formats.base import Format, Spacing, squeezed
from molrecon.data.formats.entries import (
    NPY_FAILURES,
    Array,
    Entries,
    choose_key,
    npy_entry,
    require_numeric,
)
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, reading
from molrecon.data.formats.parts import read_sigma, scan_arrays, stored_axes
from molrecon.data.scan import Scan

_NAME = "a NumPy .npz archive"
_FAILURES = (zipfile.BadZipFile, zlib.error, NotImplementedError, *NPY_FAILURES)


def describe(location: Location) -> Entries:
    """Read the headers of all arrays."""
    entries = {}
    with reading(location, _NAME, *_FAILURES), zipfile.ZipFile(location.path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    entries[member.removesuffix(".npy")] = npy_entry(stream)
    return entries


def _load(location: Location, entries: Entries, key: str) -> Array:
    """Read one array that exists."""
    require_numeric(entries[key], Location(location.path, key))
    with (
        reading(location, _NAME, *_FAILURES),
        np.load(location.path, allow_pickle=False) as archive,
    ):
        array: Array = archive[key]
        return array


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the array named by the location, preferred or the only one."""
    entries = describe(location)
    key = choose_key(entries, location, prefer, "array of numbers", lambda entry: entry.is_numeric)
    return _load(location, entries, key)


def read_image(location: Location) -> ImageData:
    """Read ``image``, the array named by the location, or the only one."""
    return ImageData.from_array(
        read_array(location, ("image",)), str(location), slices=location.slices
    )


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read ``kspace`` and its companions, or else one complex array."""
    source = str(location)
    entries = describe(location)
    key = choose_key(
        entries, location, ("kspace",), "complex array", lambda entry: entry.is_complex
    )
    axes = location.axes
    if axes is None and key == "kspace" and "dynamic" in entries:
        axes = stored_axes(_load(location, entries, "dynamic"), source)
    kspace, note = kspace_tensor(
        _load(location, entries, key),
        source,
        slices=location.slices,
        frames=axes is not None and axes.time,
    )
    if key != "kspace":
        notes = (f"array {key!r} read as k-space", note)
        return assemble(kspace, source=source, notes=notes, axes=axes, slice_range=slice_range)
    parts = {
        name: _load(location, entries, name)
        for name in ("mask", "coil_maps", "reference")
        if name in entries
    }
    sigma = read_sigma(_load(location, entries, "sigma"), source) if "sigma" in entries else None
    return assemble(
        kspace,
        source=source,
        notes=(note,),
        sigma=sigma,
        axes=axes,
        slice_range=slice_range,
        **parts,
    )


def write_image(path: Path, image: Tensor, spacing: Spacing | None) -> None:
    """Write complex64 under the key ``image``; the format has no place for the spacing."""
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, image=squeezed(image))


def write_scan(path: Path, scan: Scan) -> None:
    """Write all that the scan holds but its notes."""
    arrays: dict[str, Any] = scan_arrays(scan)
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


FORMAT = Format(
    name=_NAME,
    extensions=(".npz",),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    write_image=write_image,
    write_scan=write_scan,
)
