"""NumPy's ``.npy``: one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from molrecon.data.scan import Scan

_NAME = "a NumPy .npy array"


def describe(location: Location) -> Entries:
    """Read the header."""
    with reading(location, _NAME, *NPY_FAILURES), location.path.open("rb") as stream:
        return {"array": npy_entry(stream)}


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the array."""
    entries = describe(location)
    key = choose_key(entries, location, prefer, "array of numbers", lambda entry: True)
    require_numeric(entries[key], location)
    with reading(location, _NAME, *NPY_FAILURES):
        array: Array = np.load(location.path, allow_pickle=False)
        return array


def read_image(location: Location) -> ImageData:
    """Read the array as an image."""
    return ImageData.from_array(read_array(location), str(location), slices=location.slices)


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read the array as k-space."""
    source = str(location)
    kspace, note = kspace_tensor(
        read_array(location), source, slices=location.slices, frames=location.frames
    )
    return assemble(
        kspace, source=source, notes=(note,), axes=location.axes, slice_range=slice_range
    )


def write_image(path: Path, image: Tensor, spacing: Spacing | None) -> None:
    """Write complex64; the format has no place for the spacing."""
    # Given a name, NumPy would append an extension of its own.
    with atomic_path(path) as part, part.open("wb") as stream:
        np.save(stream, squeezed(image), allow_pickle=False)


FORMAT = Format(
    name=_NAME,
    extensions=(".npy",),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    write_image=write_image,
)
