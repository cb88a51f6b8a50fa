"""Building a `Scan` from what a file holds, and adding to it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.formats.axes import coil_maps_tensor, mask_tensor, reference_tensor
from molrecon.data.formats.entries import Array
from molrecon.data.scan import Scan, sampled
from molrecon.errors import InputError

SliceRange = tuple[int, int]


def resolve_range(slice_range: SliceRange | None, count: int, source: str) -> slice:
    """Check a half-open range of slices against how many there are."""
    if slice_range is None:
        return slice(0, count)
    start, stop = slice_range
    if not 0 <= start < stop <= count:
        raise InputError(
            f"The slice range {start}:{stop} does not fit {source}, which has {count} slices; "
            f"choose 0 <= start < stop <= {count}."
        )
    return slice(start, stop)


def assemble(
    kspace: Tensor,
    *,
    source: str,
    mask: Array | None = None,
    coil_maps: Array | None = None,
    reference: Array | None = None,
    sigma: float | None = None,
    notes: tuple[str, ...] = (),
    axes: Axes | None = None,
    slice_range: SliceRange | None = None,
) -> Scan:
    """Build a `Scan` from k-space in its final shape and whatever else the file holds."""
    batch = kspace.shape[0]
    chosen = resolve_range(slice_range, batch, source)

    def select(part: Tensor) -> Tensor:
        return part[chosen] if part.shape[0] == batch else part

    maps = None if coil_maps is None else select(coil_maps_tensor(coil_maps, kspace, source))
    if axes is None and maps is not None and _shared_by_frames(maps, kspace):
        axes, notes = Axes("tyx"), (*notes, _FRAMES_NOTE)
    image = None if reference is None else select(reference_tensor(reference, kspace, source))
    if mask is None:
        kspace = kspace[chosen]
        sampling = sampled(kspace)
        sampling_notes = _inferred(sampling)
    else:
        sampling = select(mask_tensor(mask, kspace, source))
        kspace, sampling_notes = _outside_removed(kspace[chosen], sampling)
    return Scan(
        kspace=kspace,
        mask=sampling,
        coil_maps=maps,
        reference=image,
        sigma=sigma,
        source=source,
        notes=(*notes, *sampling_notes),
        axes=cast(Axes, axes),
        mask_given=mask is not None,
    )


_FRAMES_NOTE = "one set of coil maps for all frames: the third axis from the end is time"


def _shared_by_frames(coil_maps: Tensor, kspace: Tensor) -> bool:
    """Whether the maps make sense only if the scan is one of frames."""
    return kspace.ndim == 5 and coil_maps.shape[2] == 1 < kspace.shape[2]


def _outside_removed(kspace: Tensor, mask: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Set to zero what the mask calls not measured."""
    if bool(((kspace != 0) & ~mask).any()):
        return kspace * mask, ("k-space outside the mask set to zero",)
    return kspace, ()


def _inferred(mask: Tensor) -> tuple[str, ...]:
    """Say how much of k-space is taken as measured where no mask is given."""
    share = float(mask.float().mean())
    if share == 1.0:
        return ("no mask given: fully sampled",)
    return (f"no mask given: zero samples are taken as not measured ({share:.1%} measured)",)


def apply_mask(scan: Scan, array: Array, *, source: str) -> Scan:
    """Return the scan as if only the samples of a mask had been measured.

    Parameters
    ----------
    scan
        The scan; its own mask is replaced.
    array
        Two-valued, of the spatial shape, with leading batch and coil axes if need be, or one axis
        ``(x,)`` of sampled lines.
    source
        Where the mask came from, for messages.

    Raises
    ------
    InputError
        If the mask is of another shape, not two-valued, or leaves nothing.
    """
    mask = mask_tensor(array, scan.kspace, source)
    kspace, notes = _outside_removed(scan.kspace, mask)
    return replace(scan, kspace=kspace, mask=mask, mask_given=True, notes=(*scan.notes, *notes))


def attach_coil_maps(scan: Scan, array: Array, *, source: str) -> Scan:
    """Return the scan with these coil maps.

    Parameters
    ----------
    scan
        The scan; its own maps are replaced.
    array
        ``(coil, *spatial)`` or ``(batch, coil, *spatial)``.
    source
        Where the maps came from, for messages.

    Raises
    ------
    InputError
        If their coils or shape are not those of the scan, or values are NaN or all zero.
    """
    maps = coil_maps_tensor(array, scan.kspace, source)
    if not scan.axes.settled and _shared_by_frames(maps, scan.kspace):
        notes = (*scan.notes, _FRAMES_NOTE)
        return replace(scan, coil_maps=maps, axes=Axes("tyx"), notes=notes)
    return replace(scan, coil_maps=maps)
