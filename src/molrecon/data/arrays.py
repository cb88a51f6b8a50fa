"""Arrays as files and users have them, brought to the axes of a `Scan`."""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from molrecon.data.resampling import resample_maps
from molrecon.errors import InputError, shape_text

RESAMPLED = "coil maps resampled"
"""How the note on coil maps of another matrix begins."""

Array = npt.NDArray[Any]

_SOUND: MutableMapping[Tensor, int | None] = WeakIdKeyDictionary()
"""The version of every tensor, for as long as it lives, whose values were found to be sound."""


def as_array(value: Array | Tensor) -> Array:
    """Return a tensor on any device, or what NumPy takes for an array of numbers, as an array.

    Raises
    ------
    InputError
        If it holds anything but numbers, as the name of a file does.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().resolve_conj().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise InputError(
            f"Found {value!r:.40} of type {type(value).__name__}, expected an array or a tensor of "
            "numbers; read a file first."
        )
    return array


def check_values(subject: str, value: Tensor) -> None:
    """Refuse a complex tensor with NaN or infinity, and any with an item that is all zero.

    A tensor that was looked through is not looked through again: a scan that is made of another
    shares its tensors.
    """
    version = None if value.is_inference() else value._version
    if version is not None and _SOUND.get(value) == version:
        return
    # Item by item: the check of all at once would take as much memory as they do.
    if value.is_complex() and not all(map(_is_finite, value)):
        raise InputError(
            f"{subject}: found NaN or infinite values (in single precision), expected finite ones; "
            "repair or export the data again."
        )
    empty = [i for i, item in enumerate(value) if not bool(item.any())]
    if empty:
        where = "everywhere" if len(empty) == len(value) else f"throughout item {empty[0]}"
        raise InputError(
            f"{subject}: found zeros {where}, expected data; check the file or leave that item out."
        )
    _SOUND[value] = version


def _is_finite(value: Tensor) -> bool:
    parts = value if value.ndim > 2 else [value]
    return all(bool(torch.isfinite(part).all()) for part in parts)


def complex_tensor(array: Array) -> Tensor:
    """Convert numbers of any type and byte order to a complex64 tensor."""
    with np.errstate(over="ignore", invalid="ignore"):
        # What overflows single precision becomes infinite, which `Scan` refuses by name.
        return torch.from_numpy(np.require(array, np.complex64, ["C", "W"]))


def require_complex_numbers(array: Array, source: str) -> None:
    """Refuse k-space of real numbers, which would have an image overlaid with its mirror image."""
    if array.dtype.kind != "c":
        raise InputError(
            f"The k-space of {source} is {array.dtype}, but complex numbers were expected; "
            "if it is an image, simulate a scan from it first."
        )


def kspace_tensor(
    array: Array, source: str, *, slices: bool = False, frames: bool = False
) -> tuple[Tensor, str]:
    """Bring k-space to ``(batch, coil, *spatial)`` and say how its axes were read.

    It is ``(y, x)``, ``(coil, y, x)``, ``(batch, coil, y, x)`` or ``(batch, coil, z, y, x)``. With
    ``slices`` three axes are ``(batch, y, x)`` of a single coil; with ``frames`` four are ``(coil,
    t, y, x)`` and five ``(batch, coil, t, y, x)``.
    """
    require_complex_numbers(array, source)
    if slices and array.ndim != 3:
        raise InputError(
            f"'::slices' needs three axes (slice, y, x), but {source} has shape {array.shape}; "
            "leave '::slices' out."
        )
    if frames and array.ndim not in (4, 5):
        raise InputError(
            f"'::frames' needs the axes (coil, t, y, x) or (batch, coil, t, y, x), but {source} "
            f"has shape {array.shape}; leave '::frames' out or reshape it."
        )
    kspace = complex_tensor(array)
    if frames:
        batched = kspace if kspace.ndim == 5 else kspace[None]
        return batched, "the third axis from the end read as time"
    if slices:
        return kspace[:, None], "three axes read as (slice, y, x) of a single coil"
    if array.ndim == 2:
        return kspace[None, None], "two axes read as (y, x) of a single coil"
    if array.ndim == 3:
        return kspace[
            None
        ], "three axes read as (coil, y, x), not (slice, y, x) as '::slices' after the path would"
    if array.ndim == 4:
        return kspace, "four axes read as (batch, coil, y, x)"
    if array.ndim == 5:
        return kspace, (
            "five axes read as (batch, coil, z, y, x), not (batch, coil, t, y, x) as '::frames' "
            "after the path would"
        )
    raise InputError(
        f"The k-space of {source} has shape {array.shape}, but 2 to 5 axes were expected: "
        "(y, x), (coil, y, x), (batch, coil, y, x) or (batch, coil, z, y, x); reshape it."
    )


def in_order(array: Array, order: Sequence[str], source: str) -> Array:
    """Bring k-space with named axes to ``(slice, coil, z or t, y, x)``.

    Parameters
    ----------
    array
        The array; leading axes of length 1 need no name.
    order
        Names of its axes.
    source
        Name for messages.
    """
    while array.ndim > len(order) and array.shape[0] == 1:
        array = array[0]
    if array.ndim != len(order):
        raise InputError(
            f"axes is {','.join(order)}, {len(order)} names, but {source} has shape {array.shape}; "
            "name every axis."
        )
    usual = [name for name in ("slice", "coil", "z", "t", "y", "x") if name in order]
    array = array.transpose([order.index(name) for name in usual])
    for axis, name in enumerate(("slice", "coil")):
        if name not in order:
            array = np.expand_dims(array, axis)
    return array


def mask_tensor(array: Array, kspace: Tensor, source: str) -> Tensor:
    """Bring a sampling mask to bool ``(batch or 1, 1, *spatial)``.

    Accepts the spatial shape, optionally after a batch axis or after a batch axis and an axis of
    length 1, and the last axes alone, ``(x,)`` (lines, as in fastMRI) or of volumes and frames
    ``(y, x)``, which are sampled alike along all the others.
    """
    values = np.unique(array)
    binary = (values.size == 1 and values[0] in (0, 1)) or (values.size == 2 and values[0] == 0)
    if not (binary and np.isfinite(values).all()):
        shown = ", ".join(f"{value:.4g}" for value in values[:3])
        raise InputError(
            f"The mask of {source} holds {values.size} different values "
            f"({shown}{', …' if values.size > 3 else ''}), but two were expected "
            "(0 where nothing was measured); give a binary mask."
        )
    if not values.any():
        raise InputError(
            f"The mask of {source} is zero everywhere, but something must have been measured; "
            "give another mask."
        )
    batch, _, *spatial = kspace.shape
    mask = torch.from_numpy(np.array(array != 0))
    if mask.shape in ((spatial[-1],), tuple(spatial[-2:])) and mask.ndim < len(spatial):
        return mask.expand(1, 1, *spatial).clone()
    if kspace.ndim == 4 and mask.shape == kspace.shape[1:] and mask.shape[0] not in (1, batch):
        raise _read_as_slices("mask", array, kspace, source)
    return _with_leading_axes("mask", mask, (batch, 1, *spatial), source)


def coil_maps_tensor(array: Array, kspace: Tensor, source: str) -> Tensor:
    """Bring coil maps to complex64 ``(batch or 1, coil, *spatial)``.

    Accepts these shapes, without the batch axis too, and the spatial shape alone if there is one
    coil. Maps that all frames share may lack the axis of time or have length 1 there. Several sets
    of maps are ``(batch or 1, set, coil, *spatial)``. Maps of another matrix are resampled where
    its axes have the same proportions, as those of the same field of view have.
    """
    batch, coils, *spatial = kspace.shape
    maps = complex_tensor(array)
    if maps.ndim == kspace.ndim + 1:
        sets = [coil_maps_tensor(array[:, s], kspace, source) for s in range(array.shape[1])]
        return torch.stack(sets, dim=1)
    if coils == 1 and list(maps.shape) == spatial:
        return maps[None, None]
    if len(spatial) == 3 and list(maps.shape) == [coils, *spatial[1:]]:
        maps = maps[:, None]
    if maps.ndim == len(spatial) + 1:
        maps = maps[None]
    shared = len(spatial) == 3 and list(maps.shape[2:]) == [1, *spatial[1:]]
    if not shared and maps.ndim == kspace.ndim and _same_field_of_view(maps.shape[2:], spatial):
        maps = resample_maps(maps, spatial)
    if maps.ndim != kspace.ndim or not (shared or list(maps.shape[2:]) == spatial):
        raise InputError(
            f"The coil maps of {source} have shape {array.shape}, but {(coils, *spatial)} or "
            f"{(batch, coils, *spatial)} was expected to fit k-space; give maps of the same scan "
            "with the axes in this order."
        )
    if kspace.ndim == 4 and maps.shape[:2] == (batch, 1) != (batch, coils):
        raise _read_as_slices("coil maps", array, kspace, source)
    if maps.shape[1] != coils:
        raise InputError(
            f"The coil maps of {source} have {maps.shape[1]} coils, but k-space has {coils}; "
            "give maps of the same coils."
        )
    return maps


def resampled_note(array: Array, kspace: Tensor) -> tuple[str, ...]:
    """Say that coil maps are resampled to the matrix of k-space, if they are."""
    spatial = kspace.shape[2:]
    found = tuple(array.shape[-len(spatial) :])
    if not _same_field_of_view(found, spatial):
        return ()
    return (f"{RESAMPLED} from {shape_text(found)} to {shape_text(spatial)}",)


def _same_field_of_view(found: Sequence[int], spatial: Sequence[int]) -> bool:
    """Whether one matrix is another with finer or coarser pixels: its axes are as long in kind."""
    if list(found) == list(spatial) or len(found) != len(spatial) or min(found) < 8:
        return False
    ratio = math.prod(spatial) ** (1 / len(spatial)) / math.prod(found) ** (1 / len(spatial))
    alike = all(abs(n - ratio * m) <= max(1, ratio) for n, m in zip(spatial, found, strict=True))
    return alike and 0.25 <= ratio <= 4


def _read_as_slices(name: str, array: Array, kspace: Tensor, source: str) -> InputError:
    """What belongs to a volume or to frames, beside four axes that were read as slices."""
    verb = "have" if name.endswith("s") else "has"
    return InputError(
        f"The {name} of {source} {verb} shape {array.shape}, as of a volume or of frames, but "
        f"k-space of shape {tuple(kspace.shape)} is read as (batch, coil, y, x); store a volume as "
        "(1, coil, z, y, x), and append '::frames' to the path of (coil, t, y, x)."
    )


def reference_tensor(array: Array, kspace: Tensor, source: str) -> Tensor:
    """Bring a reference image to complex64 ``(batch, 1, *spatial)``."""
    batch, _, *spatial = kspace.shape
    return _with_leading_axes("reference", complex_tensor(array), (batch, 1, *spatial), source)


def _with_leading_axes(name: str, value: Tensor, full: tuple[int, ...], source: str) -> Tensor:
    """Add the batch and the channel axis if they are missing."""
    spatial = full[2:]
    if value.shape == spatial:
        return value[None, None]
    if tuple(value.shape[1:]) == spatial and value.shape[0] in (1, full[0]):
        return value[:, None]
    if tuple(value.shape[1:]) == full[1:] and value.shape[0] in (1, full[0]):
        return value
    raise InputError(
        f"The {name} of {source} has shape {tuple(value.shape)}, but {spatial} or {full} was "
        "expected to fit k-space; give one of the same scan."
    )
