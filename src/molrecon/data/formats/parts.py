"""The names under which files keep the parts of a scan."""

from __future__ import annotations

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.entries import Entries
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan
from molrecon.errors import InputError

NAMES = {
    "mask": ("mask",),
    "coil_maps": (
        "coil_maps",
        "csm",
        "sens",
        "sens_maps",
        "maps",
        "sensitivities",
        "coil_sensitivities",
        "trnCsm",
        "tstCsm",
    ),
    "calibration": ("calibration", "acs", "acs_data", "calib"),
    "reference": ("reference", "reconstruction_rss", "reconstruction_esc"),
}
"""What others call the parts, molrecon's own name first."""

TRAJECTORY = ("trajectory", "traj", "coord", "coords", "ktraj", "k_traj")
"""What files call the positions of samples that lie on no grid."""

BESIDE_IMAGES = ("affine", "affine_placed", "dynamic")
"""Names of what is stored beside an image, see `image_arrays`."""


def trajectory_name(entries: Entries) -> str | None:
    """Return the name of the positions of samples among the arrays of a file; None for none."""
    for name, entry in entries.items():
        if name.rpartition("/")[2].lower() in TRAJECTORY and entry.is_numeric:
            return name
    return None


def scan_arrays(scan: Scan) -> dict[str, Array]:
    """Return the parts of a scan that are known, by name."""
    tensors = {
        "kspace": scan.kspace,
        "mask": scan.mask if scan.mask_given else None,
        "coil_maps": scan.coil_maps,
        "reference": scan.reference,
        "calibration": scan.calibration,
        "noise": scan.noise,
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
    if scan.geometry is not None:
        arrays |= geometry_arrays(scan.geometry)
    if scan.image_shape is not None:
        arrays["image_shape"] = np.array(scan.image_shape)
    return arrays


def image_arrays(image: ImageItems, geometry: Geometry | None) -> dict[str, Array]:
    """Return what is stored beside an image, by name."""
    arrays = {} if geometry is None else geometry_arrays(geometry)
    return {**arrays, "dynamic": np.array(True)} if image.frames else arrays


def geometry_arrays(geometry: Geometry) -> dict[str, Array]:
    """Return a geometry as arrays, by name."""
    return {"affine": geometry.matrix, "affine_placed": np.array(geometry.placed)}


def read_sigma(array: Array, source: str) -> float:
    """Convert a stored noise level to a number."""
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise InputError(
            f"The noise level sigma of {source} is {array.dtype} of shape {array.shape}, but one "
            "real number was expected; store the standard deviation of a k-space sample."
        )
    return float(array.reshape(()))


def read_flag(array: Array, name: str, source: str) -> bool:
    """Convert a stored flag."""
    if array.size != 1 or array.dtype.kind not in "biu" or array.reshape(()) not in (0, 1):
        raise InputError(
            f"The flag {name} of {source} is {array.dtype} of shape {array.shape}, but true or "
            "false was expected; store one of them."
        )
    return bool(array.reshape(()))


def read_geometry(affine: Array, placed: bool, source: str) -> Geometry:
    """Convert a stored affine."""
    if affine.shape != (4, 4) or affine.dtype.kind not in "iuf":
        raise InputError(
            f"The affine of {source} is {affine.dtype} of shape {affine.shape}, expected 4 × 4 "
            "real numbers; store it as NIfTI has it."
        )
    return Geometry(tuple(map(tuple, affine.tolist())), placed)


def read_image_shape(array: Array, source: str) -> tuple[int, ...]:
    """Convert the stored shape of the image."""
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.size not in (2, 3):
        raise InputError(
            f"The image_shape of {source} is {array.dtype} of shape {array.shape}, expected two or "
            "three whole numbers; store one per spatial axis."
        )
    return tuple(map(int, array))
