"""The names under which molrecon's own files keep the parts of a scan."""

from __future__ import annotations

import numpy as np

from molrecon.data.axes import Axes
from molrecon.data.formats.entries import Array
from molrecon.data.scan import Scan
from molrecon.errors import InputError


def scan_arrays(scan: Scan) -> dict[str, Array]:
    """Return the parts of a scan that are known, by name."""
    tensors = {
        "kspace": scan.kspace,
        "mask": scan.mask if scan.mask_given else None,
        "coil_maps": scan.coil_maps,
        "reference": scan.reference,
    }
    arrays: dict[str, Array] = {
        name: tensor.detach().cpu().resolve_conj().numpy()
        for name, tensor in tensors.items()
        if tensor is not None
    }
    if scan.sigma is not None:
        arrays["sigma"] = np.array(scan.sigma, dtype=np.float64)
    if scan.ndim == 3 and scan.axes.settled:
        arrays["dynamic"] = np.array(scan.axes.time)
    return arrays


def read_sigma(array: Array, source: str) -> float:
    """Convert a stored noise level to a number."""
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise InputError(
            f"The noise level sigma of {source} is {array.dtype} of shape {array.shape}, but one "
            "real number was expected; store the standard deviation of a k-space sample."
        )
    return float(array.reshape(()))


def stored_axes(array: Array, source: str) -> Axes:
    """Convert the stored flag ``dynamic``, whether the scan is a series of frames."""
    if array.size != 1 or array.dtype.kind not in "biu" or array.reshape(()) not in (0, 1):
        raise InputError(
            f"The flag dynamic of {source} is {array.dtype} of shape {array.shape}, but true or "
            "false was expected; store whether the third axis from the end is time."
        )
    return Axes("tyx" if array.reshape(()) else "zyx")
