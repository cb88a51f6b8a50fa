"""Reading files of any known format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Array, Entries
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, reading
from molrecon.data.formats.parts import BESIDE_IMAGES, NAMES
from molrecon.data.formats.registry import reader, recognise
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems

PathLike = str | os.PathLike[str]

T = TypeVar("T")


def read_with(location: Location, pick: Callable[[Format], Callable[[Location], T] | None]) -> T:
    """Recognise a file and read it, so that nothing but our own exceptions gets out."""
    with reading(location, "a file of a known format"):
        read = reader(location.path, pick)
        with reading(location, recognise(location.path).name):
            return read(location)


def read_scan(
    path: PathLike, *, slice_range: SliceRange | None = None, max_memory: float | None = None
) -> Scan:
    """Return the raw data of a file, which is recognised by its content.

    Formats: ISMRMRD, Siemens twix (``.dat``), HDF5 in the layouts of fastMRI, CMRxRecon,
    Calgary-Campinas, MoDL and molrecon, MATLAB ``.mat``, BART ``.cfl/.hdr`` (either, or their
    common name), ``.npz`` and ``.npy``.

    Parameters
    ----------
    path
        ``FILE``, ``FILE::KEY`` for one array of several, or ``FILE::KEY::slices`` if the leading
        axis of that array counts slices of a single-coil scan instead of coils; ``::frames`` if
        the third axis from the end is time. Of a MoDL file, ``::trn`` or ``::tst`` chooses the set.
    slice_range
        Half-open range ``(start, stop)`` of batch items to keep; only these are read where the
        format allows it.
    max_memory
        Memory in GiB that an array of the file may take. Always allowed are 200 MB, and four times
        the size of the file: more is refused, since a few bytes can announce any size.

    Returns
    -------
    Scan
        Checked data in the shapes of `Scan`; what was decided on the way is in its notes.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type, ambiguous, larger than allowed, or holds
        unusable values.

    Examples
    --------
    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.save(f"{folder}/scan.npy", numpy.ones((4, 32, 32), dtype=numpy.complex64))
    ...     read_scan(f"{folder}/scan.npy")
    Scan(1 of 4 × 32 × 32 (y, x), 100.0% sampled)
    """

    return _read_scan(Location.parse(path, max_memory), slice_range)


def _read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    def pick(one: Format) -> Callable[[Location], Scan] | None:
        read = one.read_scan
        return None if read is None else lambda location: read(location, slice_range)

    return read_with(location, pick)


def scan_items(path: PathLike, *, max_memory: float | None = None) -> ScanItems:
    """Return the items of a scan in a file, each read when it is asked for; see `read_scan`.

    What is wrong with a file of several may be said only when an item is read.
    """

    location = Location.parse(path, max_memory)
    count = _count(location)
    if count < 2:
        return ScanItems.of(_read_scan(location, None))
    return ScanItems(
        count, str(location), lambda number: _read_scan(location, (number, number + 1))
    )


def scan_count(path: PathLike) -> int:
    """Return how many items of a scan in a file are read by themselves, by its header."""
    return _count(Location.parse(path))


def _count(location: Location) -> int:
    def pick(one: Format) -> Callable[[Location], int] | None:
        return (one.count or (lambda location: 1)) if one.read_scan is not None else None

    return read_with(location, pick)


def largest_array(path: PathLike) -> int:
    """Return the bytes of the largest array that a path names, by the header of its file."""
    location = Location.parse(path)
    entries = read_with(location, lambda one: one.describe)
    key = location.key
    chosen = [entry for name, entry in entries.items() if key not in entries or name == key]
    return max((entry.nbytes for entry in chosen), default=0)


def most_read(path: PathLike) -> float:
    """Return the bytes that an array of a file has at most, unless more is allowed."""
    location = Location.parse(path)
    with reading(location, "a scan"):
        return location.most_bytes


def read_image(path: PathLike, *, max_memory: float | None = None) -> ImageData:
    """Return the image or volume in a file, which is recognised by its content.

    Formats: NIfTI, DICOM (a file, or the folder of a series), ``.npy``, ``.npz``, HDF5, MATLAB,
    BART, ``.png``, ``.jpg``, ``.bmp``.

    Parameters
    ----------
    path
        ``FILE``, or ``FILE::KEY`` for one array of several.
    max_memory
        Memory in GiB that it may take, beyond 200 MB and four times the size of the file.

    Returns
    -------
    ImageData
        float32 or complex64 values as stored (pictures: grey values between 0 and 1).

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type, ambiguous, larger than allowed, or holds
        unusable values.

    Examples
    --------
    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/images.npz"
    ...     numpy.savez(path, T1w=numpy.ones((16, 12)), FLAIR=numpy.ones((16, 12)))
    ...     image = read_image(f"{path}::T1w")
    >>> image.axes, image.tensor().shape
    (('y', 'x'), torch.Size([1, 1, 16, 12]))
    """
    return read_with(Location.parse(path, max_memory), lambda one: one.read_image)


def read_images(path: PathLike) -> dict[str, ImageData]:
    """Read all images of a file, by the names of their arrays and in their order.

    Of an ``.npz`` without a key every array is read; of other files the one that `read_image`
    returns, named by the key or by nothing.
    """
    location = Location.parse(path)
    if location.key is None and format_of(path).name == "a NumPy .npz archive":
        names = [key for key in describe(path) if key not in BESIDE_IMAGES]
        return {key: read_image(f"{os.fspath(path)}::{key}") for key in names}
    return {location.key or "": read_image(path)}


def read_array(
    path: PathLike, *, prefer: Sequence[str] = (), max_memory: float | None = None
) -> Array:
    """Return one array of a file as it is stored, for example coil maps or a mask.

    Parameters
    ----------
    path
        ``FILE``, or ``FILE::KEY`` for one array of several.
    prefer
        Names to look for in a file of several arrays if the path gives none.
    max_memory
        Memory in GiB that it may take, beyond 200 MB and four times the size of the file.

    Returns
    -------
    ndarray
        BART arrays come as ``(batch, coil, *spatial)`` without leading axes of length 1, MATLAB's
        as ``(time, slice, coil, row, column)``.
    """

    def pick(one: Format) -> Callable[[Location], Array] | None:
        read = one.read_array
        return None if read is None else lambda location: read(location, prefer)

    return read_with(Location.parse(path, max_memory), pick)


def read_mask(path: PathLike, *, max_memory: float | None = None) -> Array:
    """Return the sampling mask in a file; parameters and exceptions are those of `read_array`."""
    return read_array(path, prefer=NAMES["mask"], max_memory=max_memory)


def read_calibration(path: PathLike, *, max_memory: float | None = None) -> Array:
    """Return the calibration data in a file; parameters and exceptions as of `read_array`."""
    names = (*NAMES["calibration"], "kspace")
    return read_array(path, prefer=names, max_memory=max_memory)


def read_coil_maps(path: PathLike, *, max_memory: float | None = None) -> tuple[Array, str | None]:
    """Return the coil maps in a file, ``(coil, *spatial)`` or with a batch, and what was decided.

    Of a BART file with several sets of maps the key is the number of a set, from 0; without one the
    first is returned, and a sentence that says so. Path and memory are as for `read_array`.
    """
    maps = read_array(path, prefer=NAMES["coil_maps"], max_memory=max_memory)
    location = Location.parse(path)
    several = read_with(location, lambda one: one.kind) == "coil maps" and location.key is None
    if not several or len(maps) < 2:
        return maps, None
    note = (
        f"{path} holds {len(maps)} sets of coil maps (ESPIRiT), and all are used; a single one is "
        f"named by its number, as in {path}::0."
    )
    return maps[None], note


def describe(path: PathLike) -> Entries:
    """Return type and shape, as `read_array` has them, of each array in a file.

    Only headers are read, where the format allows it.
    """
    return read_with(Location.parse(path), lambda one: one.describe)


def format_of(path: PathLike) -> Format:
    """Return the format of a file, by its content."""
    location = Location.parse(path)
    with reading(location, "a file of a known format"):
        return recognise(location.path)
