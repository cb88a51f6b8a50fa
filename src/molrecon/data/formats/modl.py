"""The HDF5 layout of MoDL: images, coil maps and masks instead of k-space.

``trnOrg`` complex ``(n, y, x)``, ``trnCsm`` complex ``(n, coil, y, x)`` and ``trnMask``
``(n, y, x)``; the same with ``tst``. Source: Aggarwal, Mani, Jacob, "MoDL: model-based deep
learning architecture for inverse problems", IEEE TMI 38(2), 2019, and its published code, which
applies the masks to an FFT with the zero frequency at index 0 and adds complex noise of standard
deviation 0.01 per sample.
"""

from __future__ import annotations

import numpy as np
import torch

from molrecon.data.arrays import complex_tensor
from molrecon.data.formats.assemble import SliceRange, assemble, resolve_range
from molrecon.data.formats.entries import Entries
from molrecon.data.formats.hdf5_file import Hdf5File
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred

_SETS = ("trn", "tst")


def _present(entries: Entries) -> list[str]:
    """Return which of the two sets are there."""
    return [name for name in _SETS if f"{name}Org" in entries]


def recognises(entries: Entries, key: str | None) -> bool:
    """Whether a file with these datasets has this layout, and no single dataset is asked for."""
    return bool(_present(entries)) and (key is None or key in _SETS)


def count(file: Hdf5File) -> int:
    """Return the number of slices of the set that is asked for, or of the only one."""
    names = [file.location.key] if file.location.key else _present(file.entries)
    entry = file.entries.get(f"{names[0]}Org")
    return entry.shape[0] if len(names) == 1 and entry is not None and entry.shape else 1


def read_scan(file: Hdf5File, slice_range: SliceRange | None) -> Scan:
    """Make noise-free k-space from one of the sets, or only some of its slices."""
    location, entries, source = file.location, file.entries, str(file.location)
    names = [location.key] if location.key is not None else _present(entries)
    if len(names) > 1:
        raise InputError(
            f"{source} holds both MoDL sets; append '::tst' or '::trn' to the path to choose one."
        )
    prefix = names[0]
    missing = [key for part in ("Org", "Csm", "Mask") if (key := prefix + part) not in entries]
    if missing:
        raise InputError(
            f"{source} lacks {' and '.join(missing)}, but MoDL's layout needs {prefix}Org, "
            f"{prefix}Csm and {prefix}Mask; export it again."
        )
    count, *spatial = entries[f"{prefix}Org"].shape
    maps_shape = entries[f"{prefix}Csm"].shape
    if (
        len(spatial) != 2
        or entries[f"{prefix}Mask"].shape != (count, *spatial)
        or len(maps_shape) != 4
        or (maps_shape[0], *maps_shape[2:]) != (count, *spatial)
    ):
        found = ", ".join(
            f"{part} {entries[prefix + part].shape}" for part in ("Org", "Csm", "Mask")
        )
        raise InputError(
            f"{source} has the shapes {found}, but (n, y, x), (n, coil, y, x) and (n, y, x) were "
            "expected; export it again."
        )
    chosen = resolve_range(slice_range, count, source)

    images, maps = file.read(f"{prefix}Org", chosen), file.read(f"{prefix}Csm", chosen)
    mask = np.fft.fftshift(file.read(f"{prefix}Mask", chosen), axes=(-2, -1))
    kspace = torch.empty(maps.shape, dtype=torch.complex64)
    for item, (image, coil_maps) in enumerate(zip(images, maps, strict=True)):
        # One slice at a time: the whole set with its intermediates would not fit in memory.
        coil_images = complex_tensor(coil_maps) * complex_tensor(image)
        kspace[item] = fft_centred(coil_images, 2) * torch.from_numpy(mask[item] != 0)
    return assemble(
        kspace,
        source=source,
        mask=mask,
        coil_maps=maps,
        reference=images,
        notes=(
            f"MoDL set {prefix!r}: k-space made from images and maps, without noise",
            "MoDL masks moved from zero frequency at index 0 to the centre",
        ),
    )
