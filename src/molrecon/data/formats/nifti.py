"""NIfTI volumes, ``.nii`` and ``.nii.gz``: images only, without a phase when written."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from torch import Tensor

from molrecon.data.atomic import atomic_path
from molrecon.data.formats.base import Format, Spacing, squeezed
from molrecon.data.formats.entries import Array, Entries, Entry, require_numeric
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, reading
from molrecon.errors import InputError

_NAME = "a NIfTI image"
_FAILURES = (ImageFileError, HeaderDataError, OverflowError, zlib.error)


# nibabel is typed only in part.
_Nifti: Any = nibabel.Nifti1Image


def _open(location: Location) -> Any:
    image = nibabel.load(location.path)
    if not isinstance(image, _Nifti):
        raise InputError(
            f"{location} is a {type(image).__name__}, but {_NAME} was expected; convert it."
        )
    return image


def describe(location: Location) -> Entries:
    """Read the header."""
    with reading(location, _NAME, *_FAILURES):
        image = _open(location)
        return {"array": Entry(tuple(image.shape), np.dtype(image.get_data_dtype()))}


def _load(location: Location) -> tuple[Array, Any]:
    """Read the voxels as ``(..., z, y, x)``."""
    if location.names_a_part:
        raise InputError(
            f"{location} names a part of {_NAME}, which has none; leave out what follows '::'."
        )
    require_numeric(describe(location)["array"], location)
    with reading(location, _NAME, *_FAILURES):
        image = _open(location)
        with np.errstate(over="ignore", invalid="ignore"):
            # A bad scale factor shows as values that `ImageData` refuses by name.
            voxels: Array = np.asanyarray(image.dataobj)
        while voxels.ndim > 2 and voxels.shape[-1] == 1:
            voxels = voxels[..., 0]
        return voxels.T, image


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the voxels as ``(z, y, x)``."""
    return _load(location)[0]


def read_image(location: Location) -> ImageData:
    """Read the voxels as ``(z, y, x)``, or ``(y, x)`` of one slice, with the geometry."""
    voxels, image = _load(location)
    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    return ImageData.from_array(
        voxels,
        str(location),
        spacing=tuple(zooms[: voxels.ndim][::-1]),
        affine=np.asarray(image.affine, dtype=np.float64),
    )


def write_image(path: Path, image: Tensor, spacing: Spacing | None) -> None:
    """Write the magnitude as float32, with an affine that holds the spacing alone.

    A batch of slices becomes the z axis, a batch of volumes the fourth. The spacing defaults to
    1 mm.
    """
    magnitude = np.abs(squeezed(image))
    if magnitude.ndim > image.ndim - 2:
        magnitude = magnitude[:, 0]
    diagonal = [*(spacing or ())[::-1], 1.0, 1.0, 1.0][:3]
    nifti = _Nifti(magnitude.T.astype(np.float32), np.diag([*diagonal, 1.0]))
    with atomic_path(path) as part:
        nibabel.save(nifti, part)


FORMAT = Format(
    name=_NAME,
    extensions=(".nii", ".nii.gz"),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    write_image=write_image,
)
