"""Telling raw data from images."""

from __future__ import annotations

from typing import Literal

import numpy as np

from molrecon.data.formats.entries import Array
from molrecon.data.formats.location import Location
from molrecon.data.formats.picture import OTHER, PNG
from molrecon.data.formats.reading import PathLike, describe, read_array
from molrecon.data.formats.registry import find

Kind = Literal["scan", "image"]

_TELLING: dict[str, Kind] = {
    "kspace": "scan",
    "trnOrg": "scan",
    "tstOrg": "scan",
    "image": "image",
}


def kind_of(path: PathLike) -> Kind:
    """Say whether a file holds raw data or an image.

    Names of arrays decide where they tell. Otherwise real numbers are an image; of a complex array
    and its Fourier transform, k-space is the one with the higher peak, because an image is smooth.

    Parameters
    ----------
    path
        ``FILE`` or ``FILE::KEY``, as for `read_scan`.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type or ambiguous.
    """
    location = Location.parse(path)
    entries = describe(path)
    if find(location.path, lambda one: one).read_scan is None:
        return "image"
    names = entries if location.key is None else [location.key]
    if location.key in ("trn", "tst"):
        names = [f"{location.key}Org"]
    for name, kind in _TELLING.items():
        if name in names and name in entries:
            return kind
    array = read_array(path)
    return "scan" if array.dtype.kind == "c" and peaks_more_than_its_transform(array) else "image"


def is_picture(path: PathLike) -> bool:
    """Say whether a file holds grey values scaled to its bits, as .png and .jpg do."""
    return find(Location.parse(path).path, lambda one: one) in (PNG, OTHER)


def peaks_more_than_its_transform(array: Array) -> bool:
    """Say whether a complex array is k-space rather than an image.

    Parameters
    ----------
    array
        Complex ``(…, y, x)``; the peaks are compared in the strongest plane of the last two axes.
    """
    if array.ndim < 2 or array.size == 0:
        return False
    planes = array.reshape(-1, *array.shape[-2:])
    with np.errstate(over="ignore", invalid="ignore"):
        # Values that are not finite are refused by whatever reads the file next.
        energies = [float(np.vdot(plane, plane).real) for plane in planes]
        plane = planes[int(np.argmax(energies))]
        return bool(np.abs(plane).max() > np.abs(np.fft.fft2(plane, norm="ortho")).max())
