"""Writing images and scans in the format their extension names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from molrecon.data.atomic import check_writable
from molrecon.data.formats.reading import PathLike
from molrecon.data.formats.registry import writer
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_SCAN = "a scan with its mask, coil maps and noise level", ", or reconstruct an image"


def check_image_path(path: PathLike) -> Path:
    """Refuse an image output that could not be written, before any work is done for it."""
    target = check_writable(path)
    writer(target, lambda one: one.write_image, "an image")
    return target


def check_scan_path(path: PathLike) -> Path:
    """Refuse a scan output that could not be written, before any work is done for it.

    Its extension has to be ``.npz``, ``.h5`` or ``.hdf5``.
    """
    target = check_writable(path)
    writer(target, lambda one: one.write_scan, *_SCAN)
    return target


def write_image(
    path: PathLike,
    image: Tensor | ImageItems,
    *,
    geometry: Geometry | None = None,
    frames: bool = False,
) -> None:
    """Write an image in the format that the extension names.

    ``.npy``, ``.npz`` (key ``image``) and ``.h5`` (dataset ``image``) hold complex64, of real
    images and maps float32, without the batch and channel axes if both have length 1; ``.cfl``
    (with its ``.hdr``) holds complex64, as BART has it, in its axes. ``.nii`` and ``.nii.gz`` hold
    the magnitude, or real values with their sign, as float32, ``.dcm`` the magnitude in 16 bits;
    ``.png`` in 8 bits, black at 0 and white at the 99.8th percentile, several slices as one
    montage.

    All but ``.npy`` and ``.png`` keep that the first axis is time: NIfTI as its fourth dimension,
    with a third of length 1 (or of the slices, if there are several series), DICOM as the position
    in time of every frame, BART as its axis of time, ``.npz`` and HDF5 as the flag ``dynamic``. A
    series in ``.npy`` is read as ``FILE.npy::frames``.

    Parameters
    ----------
    path
        The file; it is replaced as a whole or not at all.
    image
        ``(batch, channel, *spatial)`` with two or three spatial axes, on any device; or the items
        of such a batch, which are asked for one after the other.
    geometry
        Size and place of the pixels; NIfTI, DICOM, ``.npz`` and HDF5 keep them.
    frames
        Whether the first of three spatial axes is time; items say it themselves.

    Raises
    ------
    InputError
        If the extension is unknown, the folder cannot be written to, or a value is NaN or infinite.

    Examples
    --------
    >>> import tempfile, torch
    >>> from molrecon import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/image.npy", torch.ones(1, 1, 8, 8))
    ...     read_image(f"{folder}/image.npy").array.shape
    (8, 8)
    """
    target = check_image_path(path)
    items = image if isinstance(image, ImageItems) else ImageItems.of(image, frames=frames)
    if len(items.shape) not in (4, 5) or 0 in items.shape:
        raise InputError(
            f"The image for {target} has shape {items.shape}, but (batch, channel, y, x) "
            "or (batch, channel, z, y, x) was expected; reshape it."
        )
    if not all(np.isfinite(one).all() for one in items):
        raise InputError(
            f"The image for {target} holds NaN or infinite values, and was not written; "
            "check the computation it comes from."
        )
    writer(target, lambda one: one.write_image, "an image")(target, items, geometry)


def write_scan(path: PathLike, scan: Scan) -> None:
    """Write a scan in molrecon's exchange format: ``.npz``, or the same names in ``.h5``.

    Parameters
    ----------
    path
        The file; it is replaced as a whole or not at all.
    scan
        Written are k-space and, where known, mask, coil maps, reference and sigma; not the notes.

    Raises
    ------
    InputError
        If the extension is another or the folder cannot be written to.

    Examples
    --------
    >>> import tempfile, torch
    >>> from molrecon import read_scan
    >>> scan = Scan(torch.ones(1, 2, 8, 8, dtype=torch.complex64), sigma=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_scan(f"{folder}/scan.npz", scan)
    ...     read_scan(f"{folder}/scan.npz").sigma
    0.1
    """
    target = check_scan_path(path)
    if not isinstance(scan, Scan):
        raise InputError(
            f"scan is of type {type(scan).__name__}, expected a Scan; make one of k-space."
        )
    writer(target, lambda one: one.write_scan, *_SCAN)(target, scan)
