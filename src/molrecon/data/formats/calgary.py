"""The HDF5 layout of the Calgary-Campinas data: coils last, real and imaginary parts in turn.

``kspace`` is real ``(slice, y, x, 2 · coils)``. The zero frequency is at the centre, but the image
is that of a transform without the inner shift, so that a centred one would put the object into the
corners; the phases are changed where that is so. Source: R. Souza et al., "An open, multi-vendor,
multi-field-strength brain MR dataset", NeuroImage 170 (2018) 482.
"""

from __future__ import annotations

import numpy as np

from molrecon.data.arrays import Array, complex_tensor
from molrecon.data.formats.assemble import SliceRange, assemble, resolve_range
from molrecon.data.formats.entries import Entries
from molrecon.data.formats.hdf5_file import Hdf5File
from molrecon.data.scan import Scan

_KEY = "kspace"
_MOST_COILS = 64
_LOOKED_AT = 9
"""Slices by which it is told where the images lie."""


def recognises(entries: Entries, key: str | None) -> bool:
    """Whether a file with these datasets has this layout."""
    entry = entries.get(_KEY)
    if entry is None or key not in (None, _KEY) or entry.dtype.kind != "f":
        return False
    last = entry.shape[-1] if len(entry.shape) == 4 else 0
    return last % 2 == 0 and 2 < last <= 2 * _MOST_COILS


def read_scan(file: Hdf5File, slice_range: SliceRange | None) -> Scan:
    """Read the scan, or only some of its slices."""
    source = str(file.location)
    kspace = _slices(file, resolve_range(slice_range, count(file), source))
    notes = ["real (slice, y, x, 2 · coils) read as Calgary-Campinas data"]
    if _in_the_corners(file):
        # A shift of the image is a phase in k-space; of even lengths a sign that alternates.
        y, x = (
            np.exp(2j * np.pi * (np.arange(n) - n // 2) * (n // 2) / n) for n in kspace.shape[2:]
        )
        kspace *= (y[:, None] * x).astype(np.complex64)
        notes.append("images moved by half a field of view, to the centre")
    return assemble(complex_tensor(kspace), source=source, notes=tuple(notes))


def count(file: Hdf5File) -> int:
    """Return the number of slices, which are read one by one."""
    return file.entries[_KEY].shape[0]


def _slices(file: Hdf5File, chosen: slice) -> Array:
    """Read slices as complex64 ``(slice, coil, y, x)``."""
    stored = file.read(_KEY, chosen)
    kspace = np.empty((len(stored), stored.shape[3] // 2, *stored.shape[1:3]), np.complex64)
    kspace.real = np.moveaxis(stored[..., 0::2], -1, 1)
    kspace.imag = np.moveaxis(stored[..., 1::2], -1, 1)
    return kspace


def _in_the_corners(file: Hdf5File) -> bool:
    """Whether a centred transform puts the object into the corners, told once for all slices.

    Some slices are empty or have little of the object; those with most energy decide.
    """
    kept = file.location.kept
    if "in the corners" not in kept:
        looked_at = np.unique(np.linspace(0, count(file) - 1, _LOOKED_AT).round().astype(int))
        middle = corners = 0.0
        for number in map(int, looked_at):
            images = np.fft.ifft2(_slices(file, slice(number, number + 1))[0])
            power = np.square(np.abs(images)).sum(0)
            inner = tuple(slice(n // 4, n // 4 + n // 2) for n in power.shape)
            # Shifts of k-space change phases alone; without the outer one the centre is at 0.
            corners += float(power[inner].sum())
            middle += float(np.fft.fftshift(power)[inner].sum())
        kept["in the corners"] = corners > middle
    return bool(kept["in the corners"])
