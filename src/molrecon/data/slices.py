"""Stacks of image slices read from volumes and archives."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from torch import Tensor

from molrecon.data.resampling import effective_bandwidth
from molrecon.errors import InputError

SIGNAL = 0.1
"""Share of the 99.9th percentile above which a pixel counts as signal."""


@dataclass(frozen=True)
class SliceStack:
    """Slices of one volume in one orientation, or of one contrast of a stack.

    Attributes
    ----------
    name
        File, and orientation or contrast, for messages.
    volume
        float32, slices along ``axis``, 99.9th percentile 1; shared between orientations.
    axis
        Axis of ``volume`` along which the slices lie.
    indices
        The slices with enough signal.
    scales
        Smallest and largest random scale, in pixels after resampling per stored pixel.
    """

    name: str
    volume: Tensor
    axis: int
    indices: tuple[int, ...]
    scales: tuple[float, float]

    def slice(self, number: int) -> Tensor:
        """Return the slice of that place in ``indices`` as a view ``(y, x)``."""
        return self.volume.select(self.axis, self.indices[number])


def load_slices(
    path: str | Path,
    *,
    orientations: Sequence[int] = (0, 1, 2),
    minimum_signal: float = 0.08,
    usual_size: int = 240,
) -> list[SliceStack]:
    """Read a file of images into stacks of slices, normalised to a 99.9th percentile of 1.

    Parameters
    ----------
    path
        A three-dimensional NIfTI volume (``.nii``, ``.nii.gz``), or an ``.npz`` whose arrays are
        magnitude images ``(slice, y, x)``, one array per contrast.
    orientations
        Axes along which a volume is cut. Stacks in ``.npz`` are cut along their first axis.
    minimum_signal
        Slices with a smaller share of pixels above a tenth of the 99.9th percentile are left out.
    usual_size
        Length in pixels of the longer side of a usual scan. Scales lie from 0.7 times the
        one that brings the slice to this length, or fills its k-space if that is smaller (see
        `effective_bandwidth`: stored images are often interpolated), or leaves it as it is if
        even that is, up to twice that. Slices that are small already are not shrunk further, and
        none is enlarged to more than 1.6 times what fills k-space.

    Raises
    ------
    InputError
        If the file is missing or of another kind, an array has not three axes, holds NaN or
        infinite values, or nothing of it has signal.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source}: no such file; give a NIfTI volume or an .npz of slices.")
    reader = next((_READERS[end] for end in _READERS if source.name.endswith(end)), None)
    if reader is None:
        raise InputError(
            f"{source}: training images are read from {', '.join(_READERS)}; convert the file."
        )
    stacks: list[SliceStack] = []
    for name, array, axes in reader(source, orientations):
        volume = _normalised(f"{source} {name}".rstrip(), array)
        for axis in axes:
            indices = _with_signal(volume, axis, minimum_signal)
            if indices:
                middle = volume.select(axis, indices[len(indices) // 2])
                label = f"{source.name} {name or f'axis {axis}'}"
                scales = _sensible_scales(middle, usual_size)
                stacks.append(SliceStack(label, volume, axis, indices, scales))
    if not stacks:
        raise InputError(f"{source}: no slice holds enough signal; give images of an object.")
    return stacks


_Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
_Entries = list[tuple[str, _Array, Sequence[int]]]


def _read_nifti(path: Path, orientations: Sequence[int]) -> _Entries:
    try:
        image = nib.load(path)
        array = np.asanyarray(image.dataobj)  # type: ignore[attr-defined]
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: not a readable NIfTI volume ({error}); check the file."
        ) from error
    return [("", array, orientations)]


def _read_npz(path: Path, orientations: Sequence[int]) -> _Entries:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return [(key, archive[key], (0,)) for key in archive.files]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: not a readable .npz archive ({error}); check the file."
        ) from error


_READERS = {".nii": _read_nifti, ".nii.gz": _read_nifti, ".npz": _read_npz}


def _normalised(name: str, array: _Array) -> Tensor:
    if array.ndim != 3 or array.dtype.kind not in "uif":
        raise InputError(
            f"{name}: found {array.dtype} of shape {array.shape}; expected real numbers with "
            "three axes."
        )
    volume = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    if not bool(torch.isfinite(volume).all()):
        raise InputError(f"{name}: holds NaN or infinite values; remove them first.")
    peak = peak_value(volume)
    return volume.clamp_min_(0).div_(peak) if peak > 0 else torch.zeros_like(volume)


def peak_value(values: Tensor) -> float:
    """Return the 99.9th percentile: a peak that one bright pixel does not move."""
    flat = values.flatten()
    return float(flat.kthvalue(max(1, round(0.999 * flat.numel()))).values)


def _sensible_scales(image: Tensor, usual_size: int) -> tuple[float, float]:
    to_usual = usual_size / max(image.shape)
    bandwidth = effective_bandwidth(image)
    centre = min(1.0, bandwidth, to_usual)
    lowest = max(0.7 * centre, min(centre, 0.7 * to_usual))
    # Raw scans fill their k-space; what vendors store is often zero-filled.
    return lowest, min(2.0 * centre, 1.6 * bandwidth)


def _with_signal(volume: Tensor, axis: int, minimum: float) -> tuple[int, ...]:
    others = [other for other in range(3) if other != axis]
    pixels = volume.numel() / volume.shape[axis]
    share = torch.count_nonzero(volume > SIGNAL, dim=others) / pixels
    return tuple(int(index) for index in torch.nonzero(share >= minimum).flatten())
