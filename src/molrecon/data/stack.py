"""Volumes and series of frames as stacks of two-dimensional scans."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.operators.fourier import ifft_centred


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of a volume, or the frames of a series, as scans of their own.

    Attributes
    ----------
    scan
        Those with signal, a batch of two-dimensional scans.
    places
        Their numbers along ``axis``.
    axis
        The spatial axis of the volume that was taken apart.
    shape
        Spatial shape of the volume.

    Examples
    --------
    >>> stack = stack_of(Scan(torch.ones(1, 1, 3, 8, 8) * (1 + 0j), axes=Axes("tyx")))
    >>> stack.join(torch.ones(3, 1, 8, 8)).shape
    torch.Size([1, 1, 3, 8, 8])
    """

    scan: Scan
    places: tuple[int, ...]
    axis: int
    shape: tuple[int, ...]

    def join(self, images: Tensor) -> Tensor:
        """Put images ``(len(places), 1, *plane)`` together to ``(1, 1, *shape)``, zero elsewhere.

        The planes keep the scale of the volume: what is an image of the volume's operator, cut
        along ``axis``, is one of theirs.

        Parameters
        ----------
        images
            ``(len(places), 1, *plane)``, in the order of ``places``.
        """
        volume = images.new_zeros((1, 1, *self.shape))
        volume.movedim(2 + self.axis, 0)[list(self.places), 0] = images
        return volume


def stack_of(scan: Scan, axis: int | None = None) -> Stack:
    """Take a scan apart into slices, exactly.

    Of a volume whose readout is fully sampled, one Fourier transform along the readout separates
    the equations of its slices: ``A = (1 ⊗ A_slice)(F_readout ⊗ 1)``, and the first factor is all
    that is left. Noise stays white and keeps its level. The frames of a series are separate as
    they are.

    Parameters
    ----------
    scan
        One volume or series, with coil maps if there is more than one coil.
    axis
        The spatial axis of a volume along which it is taken apart, which must be fully sampled;
        None for the first such axis. A series is always taken apart along time, axis 0.

    Raises
    ------
    InputError
        If it is neither, holds several, or the axis (or every axis) is undersampled.

    Examples
    --------
    >>> series = Scan(torch.ones(1, 1, 3, 8, 8) * (1 + 0j), axes=Axes("tyx"))
    >>> stack_of(series).scan
    Scan(3 of 1 × 8 × 8 (y, x), 100.0% sampled)
    """
    if scan.ndim != 3 or scan.kspace.shape[0] != 1:
        raise InputError(
            f"The k-space of {scan.source} has shape {tuple(scan.kspace.shape)}, but one volume or "
            "series (1, coil, z or t, y, x) was expected to be taken apart; choose one."
        )
    if scan.axes.time:
        axis = 0
    elif axis is None:
        axis = scan.readout_axis
    if axis is None or not (scan.axes.time or scan.is_sampled_along(axis)):
        along = "all three axes" if axis is None else scan.axes.letters[axis]
        raise InputError(
            f"The scan {scan.source} is undersampled along {along}, so it does not come "
            "apart into slices; use a model of volumes, or a method without a model."
        )
    planes = scan.kspace[0].movedim(1 + axis, 0)
    if not scan.axes.time:
        planes = _transformed_back(planes)
    # Frames have masks of their own, the slices of a volume share theirs.
    masks = scan.mask[0].movedim(1, 0) if scan.axes.time else scan.mask.select(2 + axis, 0)
    maps = None if scan.coil_maps is None else scan.coil_maps[0].movedim(axis - scan.ndim, 0)
    seen = (planes != 0).flatten(1).any(1)
    if maps is not None:
        seen &= (maps != 0).flatten(1).any(1)
    places = tuple(seen.nonzero().flatten().tolist())
    # A slice of all of them is no copy.
    chosen = slice(None) if len(places) == len(seen) else list(places)
    if not places:
        raise InputError(
            f"The coil maps of {scan.source} are zero in all slices that hold signal; give maps of "
            "the same scan."
        )
    reference = None if scan.reference is None else scan.reference[0].movedim(1 + axis, 0)
    known = reference is not None and bool((reference[chosen] != 0).flatten(1).any(1).all())
    flat = replace(
        scan,
        kspace=planes[chosen],
        mask=masks[chosen] if scan.axes.time else masks,
        coil_maps=None if maps is None else maps if len(maps) == 1 else maps[chosen],
        reference=reference[chosen] if known and reference is not None else None,
        axes=Axes("yx"),
        # What belongs to the whole: maps are estimated, and images cut, before and after.
        calibration=None,
        geometry=None,
        image_shape=None,
        outside=None,
    )
    return Stack(flat, places, axis, tuple(scan.kspace.shape[2:]))


def _transformed_back(planes: Tensor) -> Tensor:
    """Transform the first axis of ``(n, coil, *plane)`` back, one coil at a time for its memory."""
    result = torch.empty_like(planes, memory_format=torch.contiguous_format)
    for coil in range(planes.shape[1]):
        result[:, coil] = ifft_centred(planes[:, coil].movedim(0, -1), 1).movedim(-1, 0)
    return result
