"""NIfTI volumes, ``.nii`` and ``.nii.gz``: images only, without a phase when written."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.atomic import atomic_path
from molrecon.data.formats.base import Format
from molrecon.data.formats.entries import Entries, Entry, require_numeric
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, require_whole
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems

_NAME = "a NIfTI image"
_GZIP = b"\x1f\x8b"
_HEADERS = ((348, 344, (b"n+1\0",)), (540, 4, (b"n+2\0",)))
"""Size of a header, and where it has which mark: versions 1 and 2."""
_HEAD = 600
_VOXELS = 352
"""Where voxels begin behind the header that is written."""
_COMMENT, _MOST_COMMENT = 6, 2**16
"""Code of an extension that is a comment, and how long ours are at most."""
_DESCRIPTION = 79
_MOST_AFTER = 2**20
"""Bytes that may follow the voxels."""

# nibabel is typed only in part.
_Nifti: Any = nibabel.Nifti1Image
_Nifti2: Any = nibabel.Nifti2Image


def _is_nifti(head: bytes) -> bool:
    """Whether the first bytes are those of a NIfTI file, compressed or not."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(31).decompress(head, _HEAD)
        except zlib.error:
            return False
    return any(
        head[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big"))
        and head[place : place + 4] in marks
        for size, place, marks in _HEADERS
    )


def _content(location: Location, end: int) -> bytes:
    """Read a file whose voxels end at a place; to its own end, where a checksum may be."""
    with location.path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP
    opened: Any = gzip.open if compressed else open
    with opened(location.path, "rb") as stream:
        content: bytes = stream.read(end + _MOST_AFTER)
        if len(content) < end or stream.read(1):
            raise ValueError(f"{end} bytes expected, {len(content)} or more found")
    return content


def _header(location: Location) -> tuple[Entry, Any, int]:
    """Read the header alone: the voxels, which may be read, their kind of file, and their end."""
    opened = gzip.open if location.path.read_bytes()[:2] == _GZIP else open
    with opened(location.path, "rb") as stream:
        head = stream.read(_HEAD)
    second = head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    kind, size = (_Nifti2, 540) if second else (_Nifti, 348)
    header = kind.header_class(head[:size])
    entry = Entry(tuple(map(int, header.get_data_shape())), np.dtype(header.get_data_dtype()))
    location.require_room(entry.nbytes, "array")
    return entry, kind, int(header.get_data_offset()) + entry.size * entry.dtype.itemsize


def describe(location: Location) -> Entries:
    """Read the header."""
    return {"array": _header(location)[0]}


def _load(location: Location) -> tuple[Array, Any]:
    """Read the voxels as ``(..., z, y, x)``."""
    require_whole(location, _NAME)
    entry, kind, end = _header(location)
    require_numeric(entry, location)
    image = kind.from_bytes(_content(location, end))
    with np.errstate(over="ignore", invalid="ignore"):
        # A bad scale factor shows as values that `ImageData` refuses by name.
        scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0
        voxels: Array = np.asarray(image.dataobj, np.float32) if scaled else image.dataobj[...]
    while voxels.ndim > 2 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return np.asarray(voxels).T, image


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the voxels as ``(z, y, x)``."""
    return _load(location)[0]


def read_image(location: Location) -> ImageData:
    """Read the voxels as ``(z, y, x)``, or ``(y, x)`` of one slice, with the geometry.

    A fourth dimension is time: one slice is read as ``(t, y, x)``, several as as many series. A
    fifth without a fourth counts volumes.
    """
    voxels, image = _load(location)
    frames = voxels.ndim == 4
    voxels = voxels.swapaxes(0, 1)[:, None] if frames else voxels
    placed = bool(image.header["sform_code"] or image.header["qform_code"])
    affine = np.asarray(image.affine, dtype=np.float64)
    return ImageData.from_array(
        voxels,
        str(location),
        frames=frames or location.frames,
        geometry=Geometry(tuple(map(tuple, affine.tolist())), placed),
    )


def write_image(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write the magnitude, or real values as they are, as float32, with the affine.

    A batch of slices becomes the z axis, a batch of volumes the fifth. Of series the frames are the
    fourth, and their batch is z. Without a geometry the pixels are written as of 1 mm, in an
    unknown place. The origin of the image is a comment behind the header.
    """
    batch, channels, *spatial = image.shape
    if image.frames:
        shape = [spatial[0], batch, *spatial[1:]]
    elif batch == channels == 1:
        shape = spatial
    else:
        # The fourth dimension is time, so that volumes leave it at 1.
        shape = [batch, *spatial] if len(spatial) == 2 else [batch, 1, *spatial]
    affine = np.eye(4) if geometry is None else geometry.matrix
    # A view of one number: the header needs the shape alone, and the voxels follow one by one.
    nifti = _Nifti(np.broadcast_to(np.float32(0), shape[::-1]), affine)
    code = 1 if geometry is not None and geometry.placed else 0
    nifti.header.set_sform(affine, code)
    nifti.header.set_qform(affine, code, strip_shears=True)
    nifti.header.set_xyzt_units("unknown" if geometry is None else "mm")
    nifti.update_header()
    header = nifti.header
    comment = _comment(image)
    header["descrip"] = image.origin.get("summary", "").encode()[:_DESCRIPTION]
    header["vox_offset"] = _VOXELS + len(comment)
    header.set_slope_inter(1, 0)
    with atomic_path(path) as part, nibabel.openers.ImageOpener(str(part), "wb") as stream:
        stream.write(header.binaryblock)
        stream.write(bytes([bool(comment)]).ljust(_VOXELS - len(header.binaryblock), b"\0"))
        stream.write(comment)
        in_turn = (one[0] for one in image)
        if image.frames and batch > 1:
            # One frame of all series after the other.
            in_turn = (one[0, number] for number in range(spatial[0]) for one in image)
        for one in in_turn:
            values = one if image.real else np.abs(one)
            stream.write(values.astype(header.get_data_dtype()).tobytes())


def _comment(image: ImageItems) -> bytes:
    """Return what made the image as an extension of the header, nothing where it is not known."""
    text = image.origin_text(_MOST_COMMENT).encode()
    if not text:
        return b""
    size = -(-(len(text) + 8) // 16) * 16  # a multiple of 16, as the standard asks
    return struct.pack("=ii", size, _COMMENT) + text.ljust(size - 8, b"\0")


FORMAT = Format(
    name=_NAME,
    extensions=(".nii", ".nii.gz"),
    recognises=lambda head, path: _is_nifti(head),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    write_image=write_image,
)
