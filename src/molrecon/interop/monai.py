"""A dictionary transform of MONAI that reconstructs k-space.

It stands where MONAI's own inverse transform would, before what works on images::

    Compose([
        LoadImaged("kspace", reader=FastMRIReader(), dtype=np.complex64),
        EquispacedKspaceMaskd("kspace", center_fractions=[0.08], accelerations=[4]),
        ReconstructKspaced("kspace_masked", mask_key="mask"),
        ScaleIntensityd("kspace_masked"),
    ])

Importing this module imports MONAI, which must be installed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

import molrecon
from molrecon.data.arrays import as_array
from molrecon.data.oversampling import crop_image
from molrecon.errors import InputError
from molrecon.optional import require
from molrecon.reconstructors.base import Reconstructor

_transforms = require("monai.transforms", "its transforms", package="monai")


class ReconstructKspaced(_transforms.MapTransform):  # type: ignore[misc, name-defined]
    """Replaces k-space by the magnitude of its reconstruction.

    K-space is ``(coil, *spatial)`` or, as MONAI's reader of fastMRI has it, ``(slice, coil, y,
    x)``; complex, or real with an axis of length 2 at the end for real and imaginary part. The
    image is float32 with the channel first, ``(1, *spatial)`` or ``(1, slice, y, x)``.

    ``data["KEY_guarantee"]`` says what is known of it: ``"error_bound"``, the largest relative
    distance to the exact solution of the method (NaN for none), and ``"proved"``.

    Parameters
    ----------
    keys
        Keys of k-space.
    method
        Name of a method or model, or a method that is built; by default that of `reconstruct`.
    mask_key
        Key of the sampling mask, of a shape that is broadcast to that of k-space; by default what
        is not zero was measured.
    maps_key
        Key of the coil maps, of the shape of k-space; by default they are estimated.
    slices
        Whether the first axis of k-space counts slices; by default where there are four axes.
    allow_missing_keys
        Whether keys that are not there are passed over.
    settings
        Further arguments of `molrecon.reconstruct`, such as ``tol`` or ``device``.

    Raises
    ------
    InputError
        If MONAI is not installed, or a method is unknown.
    """

    def __init__(
        self,
        keys: Hashable,
        method: str | Reconstructor | None = None,
        *,
        mask_key: Hashable = None,
        maps_key: Hashable = None,
        slices: bool | None = None,
        allow_missing_keys: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key, self.maps_key, self.slices = mask_key, maps_key, slices
        self.settings = settings
        if isinstance(method, str):
            from molrecon.reconstructors.methods import named_method

            method = named_method(method)
        self.method = method

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with images in place of k-space, and what is known of them."""
        found = dict(data)
        for key in self.key_iterator(found):
            mask, maps = (
                None if one is None else found[one] for one in (self.mask_key, self.maps_key)
            )
            recon = molrecon.reconstruct(
                self._scan(found[key], mask, maps), self.method, **self.settings
            )
            image = crop_image(recon.image, recon.image_shape)[0].abs()[:, 0]
            found[key] = image if len(image) == 1 else image[None]
            known = recon.guarantee
            found[f"{key}_guarantee"] = {
                "error_bound": float("nan") if known is None else float(known.error_bound.max()),
                "proved": known is not None and bool(known.proved),
            }
        return found

    def _scan(self, kspace: Any, mask: Any, maps: Any) -> molrecon.Scan:
        kspace, paired = _complex(kspace)
        slices = kspace.ndim == 4 if self.slices is None else self.slices
        scan = molrecon.Scan(kspace if slices else kspace[None], source="k-space")
        if mask is not None:
            mask = torch.as_tensor(as_array(mask))
            mask = mask[..., 0] if paired and mask.ndim > kspace.ndim else mask
            try:
                mask = mask.expand(scan.kspace.shape)[:, :1]
            except RuntimeError:
                raise InputError(
                    f"the mask {self.mask_key!r} has shape {tuple(mask.shape)}, expected one that "
                    f"is broadcast to that of k-space, {tuple(scan.kspace.shape)}; reshape it."
                ) from None
            scan = scan.with_mask(mask, source=f"{self.mask_key!r}")
        if maps is not None:
            scan = scan.with_coil_maps(_complex(maps)[0], source=f"{self.maps_key!r}")
        return scan


def _complex(values: Any) -> tuple[Tensor, bool]:
    """Return complex64 values, and whether they were pairs of real ones."""
    tensor = torch.as_tensor(as_array(values))
    paired = not tensor.is_complex()
    if paired and tensor.shape[-1:] != (2,):
        raise InputError(
            f"k-space is {tensor.dtype} of shape {tuple(tensor.shape)}, expected complex numbers, "
            "or real and imaginary parts along a last axis of length 2; convert it."
        )
    if paired:
        tensor = torch.view_as_complex(tensor.float().contiguous())
    return tensor.to(torch.complex64), paired
