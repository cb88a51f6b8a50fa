"""Reading files of any known format."""

from __future__ import annotations

import os
from collections.abc import Sequence

from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.entries import Array, Entries
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.formats.registry import find
from molrecon.data.scan import Scan

PathLike = str | os.PathLike[str]


def read_scan(path: PathLike, *, slice_range: SliceRange | None = None) -> Scan:
    """Read raw data.

    Formats: BART ``.cfl/.hdr`` (either, or their common name), ``.npy``, ``.npz`` and HDF5 ``.h5``
    in the layouts of fastMRI, MoDL and molrecon.

    Parameters
    ----------
    path
        ``FILE``, ``FILE::KEY`` for one array of an ``.npz`` or HDF5 file, or ``FILE::KEY::slices``
        if the leading axis of that array counts slices of a single-coil scan instead of coils.
        Of a MoDL file, ``::trn`` or ``::tst`` chooses the set.
    slice_range
        Half-open range ``(start, stop)`` of batch items to keep; HDF5 files are read only there.

    Returns
    -------
    Scan
        Checked data in the shapes of `Scan`; what was decided on the way is in its notes.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type, ambiguous, or holds unusable values.
    """
    location = Location.parse(path)
    return find(location.path, lambda one: one.read_scan)(location, slice_range)


def read_image(path: PathLike) -> ImageData:
    """Read an image or a volume.

    Formats: NIfTI, ``.npy``, ``.npz``, HDF5, BART, ``.png``, ``.jpg``, ``.bmp``.

    Parameters
    ----------
    path
        ``FILE``, or ``FILE::KEY`` for one array of an ``.npz`` or HDF5 file.

    Returns
    -------
    ImageData
        float32 or complex64 values as stored (pictures: grey values between 0 and 1).

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type, ambiguous, or holds unusable values.
    """
    location = Location.parse(path)
    return find(location.path, lambda one: one.read_image)(location)


def read_images(path: PathLike) -> dict[str, ImageData]:
    """Read all images of a file, by the names of their arrays.

    Parameters
    ----------
    path
        As for `read_image`. Of an ``.npz`` without a key every array is read; of other files the
        one that `read_image` returns, named by the key or by nothing.

    Returns
    -------
    dict
        The images in the order of the file.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type, or an array of it is no image.
    """
    location = Location.parse(path)
    if location.path.suffix == ".npz" and location.key is None:
        return {key: read_image(f"{os.fspath(path)}::{key}") for key in describe(path)}
    return {location.key or "": read_image(path)}


def read_array(path: PathLike, *, prefer: Sequence[str] = ()) -> Array:
    """Read one array as it is stored, for example coil maps or a mask.

    Parameters
    ----------
    path
        ``FILE``, or ``FILE::KEY`` for one array of an ``.npz`` or HDF5 file.
    prefer
        Names to look for in a file of several arrays if the path gives none.

    Returns
    -------
    ndarray
        BART arrays come as ``(batch, coil, *spatial)`` without leading axes of length 1.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type or ambiguous.
    """
    location = Location.parse(path)
    return find(location.path, lambda one: one.read_array)(location, prefer)


def describe(path: PathLike) -> Entries:
    """Return type and shape, as stored, of each array in a file, from its headers alone.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another type.
    """
    location = Location.parse(path)
    return find(location.path, lambda one: one.describe)(location)
