"""The HDF5 layout of fastMRI, which molrecon's own files extend.

``kspace`` is ``(slice, coil, y, x)``, or ``(slice, y, x)`` of a single coil. Optional are ``mask``
``(x,)``, the sampled lines, and ``reconstruction_rss`` or ``reconstruction_esc``
``(slice, y, x)``, magnitude images, usually cropped. Source: Zbontar et al., "fastMRI: An open
dataset and benchmarks for accelerated MRI", arXiv:1811.08839.

molrecon adds ``coil_maps``, ``reference``, ``sigma`` and ``dynamic``, and writes ``mask`` with the
shape of `molrecon.data.scan.Scan`.
"""

from __future__ import annotations

import h5py
import numpy as np

from molrecon.data.arrays import kspace_tensor
from molrecon.data.formats.assemble import SliceRange, assemble, resolve_range
from molrecon.data.formats.entries import Array, Entries, require_numeric
from molrecon.data.formats.location import Location
from molrecon.data.formats.parts import read_sigma, stored_axes
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_REFERENCES = ("reference", "reconstruction_rss", "reconstruction_esc")


def recognises(entries: Entries, key: str | None) -> bool:
    """Whether a file with these datasets has this layout, and no single dataset is asked for."""
    return key is None and "kspace" in entries


def read_scan(
    file: h5py.File, entries: Entries, location: Location, slice_range: SliceRange | None
) -> Scan:
    """Read the scan, or only some of its slices."""
    source = str(location)
    shape = entries["kspace"].shape
    if len(shape) < 3:
        raise InputError(
            f"The k-space of {source} has shape {shape}, but (slice, coil, y, x) or (slice, y, x) "
            "was expected as in fastMRI; name it as '::kspace' to have it read as one slice."
        )
    chosen = resolve_range(slice_range, shape[0], source)
    spatial = max(len(shape) - 2, 2)

    def load(name: str) -> Array:
        require_numeric(entries[name], Location(location.path, name))
        # Coil maps of all slices begin with the coils instead.
        unbatched = spatial + (name == "coil_maps")
        batched = len(entries[name].shape) > unbatched and entries[name].shape[0] == shape[0]
        array: Array = np.asarray(file[name][chosen] if batched else file[name][()])
        return array

    axes = location.axes
    if axes is None and "dynamic" in entries:
        axes = stored_axes(load("dynamic"), source)
    frames = axes is not None and axes.time
    kspace, note = kspace_tensor(load("kspace"), source, slices=len(shape) == 3, frames=frames)
    notes = [note]
    reference = None
    for name in (name for name in _REFERENCES if name in entries):
        found = entries[name].shape
        if found[-2:] == shape[-2:]:
            reference = load(name)
            notes.append(f"{name} read as the reference")
            break
        notes.append(f"{name} is cropped to {found[-2:]} and not used as the reference")
    return assemble(
        kspace,
        source=source,
        mask=load("mask") if "mask" in entries else None,
        coil_maps=load("coil_maps") if "coil_maps" in entries else None,
        reference=reference,
        sigma=read_sigma(load("sigma"), source) if "sigma" in entries else None,
        notes=tuple(notes),
        axes=axes,
    )
