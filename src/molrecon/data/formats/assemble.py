"""Building a `Scan` from what a file holds."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from molrecon.data.arrays import coil_maps_tensor, mask_tensor, reference_tensor, resampled_note
from molrecon.data.axes import Axes
from molrecon.data.formats.entries import Array
from molrecon.data.scan import FRAMES_NOTE, Scan, sampled, shared_by_frames, without_outside
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
    notes += () if coil_maps is None else resampled_note(coil_maps, kspace)
    if axes is None and maps is not None and shared_by_frames(maps, kspace):
        axes, notes = Axes("tyx"), (*notes, FRAMES_NOTE)
    image = None if reference is None else select(reference_tensor(reference, kspace, source))
    if mask is None:
        kspace = kspace[chosen]
        sampling = sampled(kspace)
        outside, sampling_notes = None, _inferred(sampling)
    else:
        sampling = select(mask_tensor(mask, kspace, source))
        kspace, outside, sampling_notes = without_outside(kspace[chosen], sampling)
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
        outside=outside,
    )


def _inferred(mask: Tensor) -> tuple[str, ...]:
    """Say how much of k-space is taken as measured where no mask is given."""
    share = float(mask.float().mean())
    if share == 1.0:
        return ("no mask given: fully sampled",)
    return (f"no mask given: zero samples are taken as not measured ({share:.1%} measured)",)
