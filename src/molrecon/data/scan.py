"""What a raw-data file holds: k-space and what is known about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from molrecon.data.arrays import (
    Array,
    as_array,
    check_values,
    coil_maps_tensor,
    complex_tensor,
    mask_tensor,
    resampled_note,
)
from molrecon.data.axes import Axes
from molrecon.data.geometry import Geometry
from molrecon.errors import InputError, shape_text
from molrecon.operators.checks import check_tensor

FRAMES_NOTE = "one set of coil maps for all frames: the third axis from the end is time"


def sampled(kspace: Tensor) -> Tensor:
    """Return where any coil of ``(batch, coil, *spatial)`` is not zero, as a sampling mask."""
    return (kspace != 0).any(dim=1, keepdim=True)


def shared_by_frames(coil_maps: Tensor, kspace: Tensor) -> bool:
    """Return whether maps make sense only if the third axis from the end of k-space is time."""
    return kspace.ndim == 5 and coil_maps.shape[-3] == 1 < kspace.shape[2]


def without_outside(kspace: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Return k-space that is zero outside the mask; where it was not, and a note, if it was not."""
    outside = sampled(kspace) & ~mask
    if bool(outside.any()):
        return kspace * mask, outside, ("k-space outside the mask set to zero",)
    return kspace, None, ()


@dataclass(frozen=True, eq=False)
class Scan:
    """K-space with its sampling, coil maps, reference and noise level, where these are known.

    Everything is checked, and mask and axes are settled, on construction, so that code which
    receives a `Scan` need not.

    Parameters
    ----------
    kspace
        complex64 ``(batch, coil, *spatial)``, zero frequency at index ``n // 2`` of each axis.
    mask
        bool ``(batch or 1, 1, *spatial)``, true where k-space was measured; if None, where the
        k-space of any coil is not zero.
    coil_maps
        complex64 ``(batch or 1, coil, *spatial)``; of a series of frames ``(batch or 1, coil, 1,
        y, x)`` too, maps that serve all frames. Several sets of maps, as ESPIRiT gives them where
        the object is larger than the field of view, have one more axis, ``(batch or 1, set, coil,
        …)``.
    reference
        complex64 ``(batch, 1, *spatial)``, the image to compare with, in the units of ``kspace``.
    sigma
        Standard deviation ``sqrt(E|n|²)`` of the noise of one complex k-space sample, in the units
        of ``kspace``.
    source
        Where it came from; names the scan in error messages.
    notes
        What the reader decided, one readable clause each.
    axes
        The spatial axes; if None, (y, x), or (z, y, x) that may be (t, y, x): see `Axes.settled`.
    mask_given
        Whether the mask was given; set to False where it was inferred from the zeros of k-space.
    calibration
        complex64 ``(batch or 1, coil, *Fourier axes)``, the centre of k-space measured by itself,
        zero frequency at index ``n // 2``, at most as wide as k-space. Coil maps are estimated
        from it where it is given. Its units may be others than those of ``kspace``.
    noise
        complex64 ``(coil, samples)``, samples without signal, of the noise level of ``kspace``.
    geometry
        Size and place of the pixels of the image.
    image_shape
        Spatial shape of the image that is wanted, cut out of the centre of the reconstruction,
        where a larger field of view was measured; if None, all of it.
    outside
        bool ``(batch, 1, *spatial)``, where samples outside the mask were not zero and were set to
        zero; None for nowhere.
    axes_inferred
        Whether the reader took the axes in their usual order because nothing names them.

    Raises
    ------
    InputError
        If a shape or type does not fit, a value is NaN or infinite, an item is zero throughout, or
        a frame has no samples.

    Examples
    --------
    >>> import torch
    >>> kspace = torch.ones(1, 8, 64, 48, dtype=torch.complex64)
    >>> kspace[..., ::2] = 0
    >>> scan = Scan(kspace, sigma=0.1)
    >>> scan.axes, scan.mask.shape, float(scan.mask.float().mean())
    (Axes('yx'), torch.Size([1, 1, 64, 48]), 0.5)
    """

    kspace: Tensor
    # Mask and axes are never None once a scan is constructed.
    mask: Tensor = field(default=cast(Tensor, None))
    coil_maps: Tensor | None = None
    reference: Tensor | None = None
    sigma: float | None = None
    source: str = "the scan"
    notes: tuple[str, ...] = ()
    axes: Axes = field(default=cast(Axes, None))
    mask_given: bool = True
    calibration: Tensor | None = None
    noise: Tensor | None = None
    geometry: Geometry | None = None
    image_shape: tuple[int, ...] | None = None
    outside: Tensor | None = None
    axes_inferred: bool = False

    def __repr__(self) -> str:
        batch, coils, *spatial = self.kspace.shape
        parts = [f"{batch} of {coils} × {shape_text(spatial)} ({self.axes.names})"]
        parts += ["coil maps"] if self.coil_maps is not None else []
        parts += ["reference"] if self.reference is not None else []
        parts += ["calibration"] if self.calibration is not None else []
        parts += ["noise samples"] if self.noise is not None else []
        parts += [f"sigma={self.sigma:.4g}"] if self.sigma is not None else []
        return f"Scan({', '.join(parts)}, {float(self.mask.float().mean()):.1%} sampled)"

    def __post_init__(self) -> None:
        check_tensor(f"The k-space of {self.source}", self.kspace)
        if self.kspace.ndim not in (4, 5) or 0 in self.kspace.shape:
            raise InputError(
                f"The k-space of {self.source} has shape {tuple(self.kspace.shape)}, but "
                "(batch, coil, *spatial) without empty axes was expected; reshape it."
            )
        self._settle_axes()
        batch, coils, *spatial = self.kspace.shape
        self._check("k-space", self.kspace, torch.complex64, (batch,), (coils, *spatial))
        if self.mask is None:
            object.__setattr__(self, "mask", sampled(self.kspace))
            object.__setattr__(self, "mask_given", False)
        self._check("mask", self.mask, torch.bool, (1, batch), (1, *spatial))
        if self.coil_maps is not None:
            found = self.coil_maps.shape
            sets = found[1:2] if self.coil_maps.ndim == self.kspace.ndim + 1 else ()
            maps_shape = (*sets, coils, *spatial)
            if self.axes.time and found[len(sets) + 2 : len(sets) + 3] == (1,):
                maps_shape = (*sets, coils, 1, *spatial[1:])
            self._check("coil maps", self.coil_maps, torch.complex64, (1, batch), maps_shape)
        if self.reference is not None:
            self._check("reference", self.reference, torch.complex64, (batch,), (1, *spatial))
        if self.sigma is not None and not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise InputError(
                f"The noise level sigma of {self.source} is {self.sigma}, but a positive number "
                "was expected; correct it or leave it out to have it estimated."
            )
        if self.axes.time:
            self._check_frames()
        self._check_additions()

    def _check_additions(self) -> None:
        """Refuse calibration, noise samples or an image shape that do not fit."""
        batch, coils, *spatial = self.kspace.shape
        if self.calibration is not None:
            found = tuple(self.calibration.shape)
            fourier = spatial[-self.axes.fourier :]
            widths = [min(pair) for pair in zip(found[2:], fourier, strict=False)]
            if len(widths) < len(fourier) or 0 in widths:
                widths = fourier
            shape = (coils, *widths)
            self._check("calibration", self.calibration, torch.complex64, (1, batch), shape)
        if self.outside is not None:
            self._check("outside", self.outside, torch.bool, (batch,), (1, *spatial), empty=True)
        if self.noise is not None:
            shape = (coils, *self.noise.shape[1:2])
            self._check("noise samples", self.noise[None], torch.complex64, (1,), shape)
        wanted = self.image_shape
        if wanted is not None and not (
            len(wanted) == len(spatial)
            and all(1 <= n <= most for n, most in zip(wanted, spatial, strict=True))
        ):
            raise InputError(
                f"image_shape is {wanted}, expected one length per spatial axis, at most "
                f"{tuple(spatial)}; correct it or leave it out."
            )

    def _settle_axes(self) -> None:
        ndim = self.kspace.ndim - 2
        if self.axes is None:
            object.__setattr__(self, "axes", Axes.of(ndim))
        if self.axes.ndim != ndim:
            raise InputError(
                f"The k-space of {self.source} has shape {tuple(self.kspace.shape)}, but (batch, "
                f"coil, {self.axes.names}) was expected of {self.axes.items}; reshape it."
            )

    def _check_frames(self) -> None:
        """Refuse frames that nothing was measured of."""
        empty = (~self.mask.flatten(3).any(dim=3)[:, 0]).nonzero()
        if len(empty):
            frame, number = int(empty[0, 1]), len(empty)
            others = f" and {number - 1} more" if number > 1 else ""
            raise InputError(
                f"Frame {frame}{others} of {self.source} has no samples, but every frame needs "
                "some; leave it out."
            )

    def _check(
        self,
        name: str,
        value: Tensor,
        dtype: torch.dtype,
        batches: tuple[int, ...],
        rest: tuple[int, ...],
        *,
        empty: bool = False,
    ) -> None:
        """Refuse a tensor of the wrong type or shape, with bad values, or with an empty item."""
        check_tensor(f"The {name} of {self.source}", value)
        shape = tuple(value.shape)
        if value.dtype != dtype:
            raise InputError(
                f"The {name} of {self.source}: found {value.dtype}, expected {dtype}; convert it."
            )
        if value.ndim == 0 or shape[0] not in batches or shape[1:] != rest:
            expected = " or ".join(str((n, *rest)) for n in sorted(set(batches)))
            raise InputError(
                f"The {name} of {self.source}: found shape {shape}, expected {expected} to fit "
                "k-space; give one of the same scan."
            )
        if not empty:
            check_values(f"The {name} of {self.source}", value)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.kspace.ndim - 2

    @property
    def map_sets(self) -> int:
        """Number of sets of coil maps; 1 without maps, too."""
        return 1 if self.coil_axis == 1 else cast(Tensor, self.coil_maps).shape[1]

    @property
    def coil_axis(self) -> int:
        """The axis of the coils in the coil maps: 2 if there are sets of maps, else 1."""
        return 1 if self.coil_maps is None else self.coil_maps.ndim - self.ndim - 1

    @cached_property
    def readout_axis(self) -> int | None:
        """The first spatial axis along which all of k-space was sampled alike; None for none."""
        return next((axis for axis in range(self.ndim) if self.is_sampled_along(axis)), None)

    def is_sampled_along(self, axis: int) -> bool:
        """Return whether all of k-space was sampled alike along a spatial axis, from 0."""
        return bool((self.mask == self.mask.narrow(2 + axis, 0, 1)).all())

    @cached_property
    def calibration_mask(self) -> Tensor:
        """Where coil maps may be calibrated, bool ``(batch or 1, 1, *Fourier axes)``.

        Of a series of frames it is where any frame was sampled.
        """
        return self.mask.any(2) if self.axes.time else self.mask

    def with_mask(self, mask: Array | Tensor, *, source: str = "the array") -> Scan:
        """Return the scan as if only the samples of a mask had been measured.

        Parameters
        ----------
        mask
            Two-valued, of the spatial shape, with leading batch and coil axes if need be; or
            the last axes alone, ``(x,)`` for sampled lines, which are sampled alike along all
            others. It replaces the scan's own.
        source
            Where the mask came from, for messages.

        Raises
        ------
        InputError
            If the mask is of another shape, not two-valued, or leaves nothing.
        """
        found = mask_tensor(as_array(mask), self.kspace, source)
        kspace, outside, notes = without_outside(self.kspace, found)
        notes = (*self.notes, *notes)
        return replace(
            self, kspace=kspace, mask=found, mask_given=True, outside=outside, notes=notes
        )

    def with_coil_maps(self, coil_maps: Array | Tensor, *, source: str = "the array") -> Scan:
        """Return the scan with these coil maps in place of its own.

        Parameters
        ----------
        coil_maps
            Complex ``(coil, *spatial)`` or ``(batch, coil, *spatial)``; maps that all frames of a
            series share may lack the axis of time or have length 1 there.
        source
            Where the maps came from, for messages.

        Raises
        ------
        InputError
            If their coils or shape are not those of the scan, or values are NaN or all zero.
        """
        array = as_array(coil_maps)
        maps = coil_maps_tensor(array, self.kspace, source)
        notes = (*self.notes, *resampled_note(array, self.kspace))
        check_values(f"The coil maps of {source}", maps)
        if not self.axes.settled and shared_by_frames(maps, self.kspace):
            notes = (*notes, FRAMES_NOTE)
            return replace(self, coil_maps=maps, axes=Axes("tyx"), notes=notes)
        return replace(self, coil_maps=maps, notes=notes)

    def with_calibration(self, calibration: Array | Tensor, *, source: str = "the array") -> Scan:
        """Return the scan with calibration data that were measured by themselves.

        Parameters
        ----------
        calibration
            Complex ``(coil, *Fourier axes)`` or ``(batch, coil, *Fourier axes)``, zero frequency
            at index ``n // 2``; at most as wide as k-space. It replaces the scan's own.
        source
            Where it came from, for messages.

        Raises
        ------
        InputError
            If its coils or axes are not those of the scan, it is wider than k-space, or values
            are NaN or all zero.
        """
        found = complex_tensor(as_array(calibration))
        found = found[None] if found.ndim == self.axes.fourier + 1 else found
        coils, *spatial = self.kspace.shape[1:]
        widths = found.shape[2:]
        fourier = spatial[-self.axes.fourier :]
        if (
            found.shape[1:2] != (coils,)
            or len(widths) != len(fourier)
            or any(width > n for width, n in zip(widths, fourier, strict=True))
        ):
            raise InputError(
                f"The calibration of {source} has shape {tuple(found.shape)}, expected "
                f"({coils} coils, {', '.join(f'at most {n}' for n in fourier)}) to fit k-space; "
                "give that of the same scan, or leave it out."
            )
        check_values(f"The calibration of {source}", found)
        return replace(self, calibration=found)

    def item(self, number: int) -> Scan:
        """Return one item of the batch, a scan of its own; what all items share it keeps."""
        found = self.items([number])
        geometry = self.geometry
        if geometry is not None and self.axes.letters == "yx":
            geometry = geometry.moved((number, 0, 0))
        return replace(found, geometry=geometry)

    def items(self, numbers: Sequence[int]) -> Scan:
        """Return some items of the batch; what all items share they keep, and the geometry.

        Parameters
        ----------
        numbers
            Their numbers, from 0.
        """

        def chosen(value: Tensor | None) -> Tensor | None:
            if value is None or (value.shape[0] == 1 and len(self.kspace) > 1):
                return value
            if len(numbers) == 1:
                return value[numbers[0] : numbers[0] + 1]
            return value[list(numbers)]

        return replace(
            self,
            kspace=cast(Tensor, chosen(self.kspace)),
            mask=cast(Tensor, chosen(self.mask)),
            coil_maps=chosen(self.coil_maps),
            reference=chosen(self.reference),
            calibration=chosen(self.calibration),
            outside=chosen(self.outside),
        )
