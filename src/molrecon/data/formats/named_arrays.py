"""A scan in a file of named arrays, or an image: NumPy's archives, HDF5 and MATLAB files.

``kspace`` is ``(batch, coil, *spatial)``. Beside it may lie a mask, coil maps, calibration data, a
reference image, the noise level and what else molrecon writes, and an ``ismrmrd_header`` as in
fastMRI's files (Zbontar et al., arXiv:1811.08839), whose k-space is ``(slice, coil, y, x)`` or, of
a single coil, ``(slice, y, x)``. MATLAB files have ``(row, column, coil, slice, time)``, as those
of CMRxRecon; the rows are y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from molrecon.data.arrays import Array, complex_tensor, in_order, kspace_tensor
from molrecon.data.axes import Axes
from molrecon.data.formats import parts
from molrecon.data.formats.assemble import SliceRange, assemble, resolve_range
from molrecon.data.formats.entries import Entries, choose_key
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.formats.mri_header import Header, parse_header
from molrecon.data.formats.non_cartesian import is_trajectory, non_cartesian, require_grid
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.errors import InputError

HEADER = "ismrmrd_header"
PAIRS_NOTE = "the last axis read as real and imaginary part"


class NamedArrays(Protocol):
    """An open file of named arrays."""

    @property
    def location(self) -> Location:
        """Where it is, and which array is asked for."""

    @property
    def entries(self) -> Entries:
        """What `read` returns, by name."""

    @property
    def matlab(self) -> bool:
        """Whether the axes are MATLAB's, ``(time, slice, coil, y, x)`` as `read` returns them."""

    @property
    def three_axes_are_slices(self) -> bool:
        """Whether three axes, of which nothing else is known, are slices and not coils."""

    def read(self, key: str, chosen: slice | None = None, axis: int = 0) -> Array:
        """Read an array of numbers, or a part of it along one axis."""

    def text(self, key: str) -> str:
        """Read a text."""


def read_array(file: NamedArrays, prefer: Sequence[str]) -> Array:
    """Read the array named by the location, preferred or the only one of numbers."""
    key = choose_key(
        file.entries, file.location, prefer, "array of numbers", lambda entry: entry.is_numeric
    )
    return file.read(key)


def read_image(file: NamedArrays) -> ImageData:
    """Read the array named by the location, ``image``, the reference of a scan, or the only one."""
    source, location = str(file.location), file.location
    wanted = {key: one for key, one in file.entries.items() if key not in parts.BESIDE_IMAGES}
    names = ("image", *parts.NAMES["reference"])
    key = choose_key(wanted, location, names, "array of numbers", lambda one: one.is_numeric)
    array, pairs = file.read(key), file.entries[key].holds_pairs
    return ImageData.from_array(
        as_complex(array, source) if pairs else array,
        source,
        slices=location.slices,
        frames=location.frames or _is_dynamic(file, "", source),
        geometry=_geometry(file, ""),
        notes=(PAIRS_NOTE,) if pairs else (),
    )


def as_complex(array: Array, source: str) -> Array:
    """Combine the real and imaginary parts that lie along the last axis."""
    if is_trajectory(array):
        raise non_cartesian(source, "it is a trajectory")
    if array.dtype in (np.float32, np.float64) and array.flags.c_contiguous:
        # The same bytes: a copy would take as much memory again.
        return array.view(np.result_type(array.dtype, np.complex64))[..., 0]
    return np.ascontiguousarray(array[..., 0]) + 1j * array[..., 1]


@dataclass(frozen=True)
class _Layout:
    """How the axes of stored k-space are meant.

    Attributes
    ----------
    batch
        The axis of slices; None if there is none.
    pairs
        Whether the last axis holds real and imaginary part.
    slices
        Whether three axes are slices of one coil.
    order
        Names of the axes, where the location gives them.
    note
        What was decided, where `kspace_tensor` does not say it.
    """

    batch: int | None
    pairs: bool = False
    slices: bool = False
    time_first: bool = False
    order: tuple[str, ...] | None = None
    note: str | None = None


def read_scan(file: NamedArrays, slice_range: SliceRange | None) -> Scan:
    """Read ``kspace`` and what lies beside it, or else one complex array."""
    entries, source = file.entries, str(file.location)
    if parts.trajectory_name(entries) is not None and file.location.key is None:
        raise InputError(
            f"{source} is a scan along lines (its trajectory lies beside its samples), expected "
            "samples on a grid, which is all that is taken here; info, check, reconstruct, adapt, "
            "probe and attack take it."
        )
    key, beside, layout = _kspace(file)
    group, _, name = key.rpartition("/")
    prefix = f"{group}/" if group else ""
    count = _count(file, key, layout)
    chosen = resolve_range(slice_range, count, source)
    array = file.read(key, None if layout.batch is None else chosen, layout.batch or 0)
    if layout.pairs:
        array = as_complex(array, source)
    if layout.order is not None:
        array = in_order(array, layout.order, source)
    axes = _axes(file, prefix if name == "kspace" else None, layout)
    if layout.time_first:
        array = np.moveaxis(array, 0, 2)
    # With named axes there are all of them, (batch, coil, *spatial).
    frames = axes is not None and axes.time
    kspace, note = kspace_tensor(array, source, slices=layout.slices, frames=frames)
    require_grid(kspace.numpy(), source)
    notes = [] if name in ("kspace", "array") else [f"array {key!r} read as k-space"]
    notes += [PAIRS_NOTE] if layout.pairs else []
    notes += [note if layout.note is None else layout.note]
    others = [one for one in entries if one.startswith(f"{prefix}mask_")]
    if others and "mask" not in beside:
        notes.append(f"{', '.join(others)} not applied: name one as the mask if it is meant")
    scan_shape = (count, *kspace.shape[1:])
    loaded: dict[str, Any] = {}
    for part, stored in beside.items():
        found = _companion(file, part, stored, scan_shape, chosen, notes)
        if found is not None:
            loaded[part] = found
    calibration = loaded.pop("calibration", None)
    if f"{prefix}sigma" in entries and name == "kspace":
        loaded["sigma"] = parts.read_sigma(file.read(f"{prefix}sigma"), source)
    scan = assemble(kspace, source=source, notes=tuple(notes), axes=axes, **loaded)
    inferred = layout.order is None and not file.matlab and not layout.slices
    scan = replace(scan, axes_inferred=inferred)
    if calibration is not None:
        scan = scan.with_calibration(calibration, source=source)
    return _with_place(file, prefix, scan, chosen) if name == "kspace" else scan


def count(file: NamedArrays) -> int:
    """Return the number of items of a scan, which are read one by one."""
    key, _, layout = _kspace(file)
    return _count(file, key, layout)


def _count(file: NamedArrays, key: str, layout: _Layout) -> int:
    return 1 if layout.batch is None else file.entries[key].shape[layout.batch]


def _kspace(file: NamedArrays) -> tuple[str, dict[str, str], _Layout]:
    """Return the name of k-space, the names of what lies beside it, and how it is stored."""
    entries = file.entries
    key = choose_key(
        entries,
        file.location,
        kspace_names(entries),
        "complex array",
        lambda one: one.is_complex or one.holds_pairs,
    )
    group, _, name = key.rpartition("/")
    prefix = f"{group}/" if group else ""
    beside = companions(entries, prefix) if name.lower().startswith("kspace") else {}
    return key, beside, _layout(file, key, beside)


def kspace_names(entries: Entries) -> tuple[str, ...]:
    """Return the names that tell k-space: ``kspace``, or the only one that begins so."""
    begun = [
        name
        for name, entry in entries.items()
        if name.rpartition("/")[2].lower().startswith("kspace")
        and (entry.is_complex or entry.holds_pairs)
    ]
    return ("kspace", *(begun if len(begun) == 1 else ()))


def companions(entries: Entries, prefix: str) -> dict[str, str]:
    """Return what lies beside k-space: the stored name of each part that is there."""
    found = {}
    for part, names in parts.NAMES.items():
        stored = [prefix + one for one in names if prefix + one in entries]
        if stored:
            found[part] = stored[0]
    return found


def _layout(file: NamedArrays, key: str, beside: dict[str, str]) -> _Layout:
    location, entry = file.location, file.entries[key]
    pairs = entry.holds_pairs
    shape = entry.shape[:-1] if pairs else entry.shape
    if location.order is not None:
        note = f"axes read as ({', '.join(location.order)})"
        # Leading axes of length 1 need no name.
        unnamed = len(shape) - len(location.order)
        batch = unnamed + location.order.index("slice") if "slice" in location.order else None
        return _Layout(batch, pairs, order=location.order, note=note)
    if location.slices or location.frames:
        return _Layout(0 if location.slices or len(shape) == 5 else None, pairs, location.slices)
    if file.matlab and len(shape) == 5:
        note = "five axes read as MATLAB's (y, x, coil, slice, time)"
        return _Layout(1, pairs, time_first=True, note=note)
    if len(shape) == 3:
        slices = _are_slices(file, shape, beside) and key.rpartition("/")[2] == "kspace"
        return _Layout(0 if slices else None, pairs, slices)
    return _Layout(0 if len(shape) > 3 else None, pairs)


def _are_slices(file: NamedArrays, shape: tuple[int, ...], beside: dict[str, str]) -> bool:
    """Whether three axes are (slice, y, x) of one coil: what lies beside them tells."""

    def like(part: str) -> bool:
        found = file.entries[beside[part]].shape if part in beside else ()
        return len(found) == 3 and found[0] == shape[0]

    if like("coil_maps") or like("calibration"):
        return False
    return file.three_axes_are_slices and file.location.key is None


def _axes(file: NamedArrays, prefix: str | None, layout: _Layout) -> Axes | None:
    """Return the spatial axes, if the path or the file tells them."""
    if file.location.axes is not None or layout.time_first:
        return file.location.axes or Axes("tyx")
    if prefix is None or f"{prefix}dynamic" not in file.entries:
        return None
    return Axes("tyx" if _is_dynamic(file, prefix, str(file.location)) else "zyx")


def _is_dynamic(file: NamedArrays, prefix: str, source: str) -> bool:
    """Whether the file says that the first of three spatial axes is time."""
    flag = f"{prefix}dynamic"
    return flag in file.entries and parts.read_flag(file.read(flag), "dynamic", source)


def _companion(
    file: NamedArrays,
    part: str,
    stored: str,
    shape: tuple[int, ...],
    chosen: slice,
    notes: list[str],
) -> Array | None:
    """Read one part of a scan of shape ``(batch, coil, *spatial)``, of a range of the batch."""
    entry = file.entries[stored]
    found = entry.shape
    spatial = shape[2:]
    if part == "reference":
        own = stored.rpartition("/")[2] == part
        if found[-2:] != shape[-2:] and not own:
            notes.append(f"{stored} is cropped to {found[-2:]} and not used as the reference")
            return None
        notes.append(f"{stored} read as the reference")
    elif stored.rpartition("/")[2] not in (part, "mask"):
        notes.append(f"{stored} read as the {part.replace('_', ' ')}")
    unbatched = len(spatial) + (part in ("coil_maps", "calibration"))
    batched = len(found) > unbatched and found[0] == shape[0]
    return file.read(stored, chosen if batched else None)


def _with_place(file: NamedArrays, prefix: str, scan: Scan, chosen: slice) -> Scan:
    """Add the noise samples, geometry and shape of the image that the file tells."""
    source = str(file.location)
    geometry, image_shape = _geometry(file, prefix), None
    if f"{prefix}image_shape" in file.entries:
        image_shape = parts.read_image_shape(file.read(f"{prefix}image_shape"), source)
    elif f"{prefix}{HEADER}" in file.entries:
        header = parse_header(file.text(f"{prefix}{HEADER}"), source)
        scan, geometry, image_shape = _with_header(scan, header)
    if geometry is not None and scan.axes.letters == "yx":
        geometry = geometry.moved((chosen.start, 0, 0))
    if f"{prefix}noise" in file.entries:
        scan = replace(scan, noise=complex_tensor(file.read(f"{prefix}noise")))
    return replace(scan, geometry=geometry, image_shape=image_shape)


def _with_header(
    scan: Scan, header: Header
) -> tuple[Scan, Geometry | None, tuple[int, ...] | None]:
    """Apply a header whose readout, x, is the first of the two axes of a slice, as in fastMRI."""
    image, spacing = header.image_matrix(), header.pixel_size()
    if image is None or scan.ndim != 2:
        return scan, None, None
    shape = tuple(scan.kspace.shape[2:])
    wanted = tuple(min(pair) for pair in zip(shape, image[:2], strict=True))
    geometry = None
    if spacing is not None:
        geometry = Geometry.of_spacing((spacing[2], *spacing[:2]))
    if wanted == shape:
        return scan, geometry, None
    note = f"its header asks for an image of {wanted[0]} × {wanted[1]}"
    return replace(scan, notes=(*scan.notes, note)), geometry, wanted


def _geometry(file: NamedArrays, prefix: str) -> Geometry | None:
    if f"{prefix}affine" not in file.entries:
        return None
    source, flag = str(file.location), f"{prefix}affine_placed"
    placed = flag not in file.entries or parts.read_flag(file.read(flag), "affine_placed", source)
    return parts.read_geometry(file.read(f"{prefix}affine"), placed, source)
