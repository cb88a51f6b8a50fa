"""Where zero frequency lies: at index n // 2 of every axis, or somewhere else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from molrecon.data.calibration import calibration_region, crop_calibration, windowed
from molrecon.data.check.findings import Finding
from molrecon.data.resampling import resample_maps
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.operators.fourier import ifft_centred

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

Centre = Literal["auto", "corner"] | Sequence[int]
"""Where zero frequency lies: as measured, at index 0 of every axis, or at one index per axis."""
NEAR, FAR = (2.5, 0.03), (4.5, 0.1)
"""Samples, and share of the axis, up to which the peak is where it should be, and may be."""
ENDS, MIDDLE = 0.4, 0.1
"""Energy at both ends of the field of view, above, and in its middle, below, over the largest, of
an image that is moved by half of it."""
LEAST_MOVED = 1.0
"""Samples from which on a peak is moved: slow phases of images move it by less."""
LEAST_LEFT = 0.5
"""Share of the calibration region that must be left of it when a peak is moved."""


def _near(n: int, limit: tuple[float, float]) -> float:
    return max(limit[0], limit[1] * n)


def _offset(place: float, about: float, n: int) -> float:
    """Return the distance along a circle of n samples, between −n/2 and n/2."""
    return (place - about + n / 2) % n - n / 2


def _at_corner(place: float, n: int) -> bool:
    return n >= 8 and abs(_offset(place, 0, n)) <= min(_near(n, NEAR), n / 5)


def off_centre(evidence: Evidence) -> dict[int, tuple[float, float]]:
    """Return the Fourier axes whose energy is elsewhere, with its place and distance."""
    shape = evidence.scan.kspace.shape
    off = {}
    for axis in evidence.fourier_axes:
        place = evidence.place(axis)
        away = abs(_offset(place, shape[axis] // 2, shape[axis]))
        if away > _near(shape[axis], NEAR) and not evidence.is_flat(axis):
            off[axis] = (place, away)
    return off


def check_centre(evidence: Evidence) -> Iterator[Finding]:
    """Find k-space whose energy does not lie at index n // 2."""
    axes = [axis for axis in evidence.fourier_axes if not evidence.is_flat(axis)]
    letters = evidence.scan.axes.letters[-evidence.scan.axes.fourier :]
    shape = evidence.scan.kspace.shape
    off = off_centre(evidence)
    if not off:
        yield from _half(evidence, axes)
        yield from _split(evidence)
        return
    where = ", ".join(
        f"at {off[axis][0]:.0f} of {shape[axis]} along {letters[axis - len(shape)]}" for axis in off
    )
    seen = f"the energy of k-space lies {where}, and not at n // 2"
    if all(_at_corner(place, shape[axis]) for axis, (place, _) in off.items()):
        whole = len(off) == len(evidence.fourier_axes)
        yield Finding(
            "centre",
            "refused",
            seen,
            "zero frequency is in the corner, as a Fourier transform without a shift leaves it",
            f"give {'corner' if whole else 'auto'} as the place of zero frequency (centre)",
        )
        return
    far = any(away > _near(shape[axis], FAR) for axis, (_, away) in off.items())
    places = [
        round(off[axis][0]) if axis in off else shape[axis] // 2 for axis in evidence.fourier_axes
    ]
    yield Finding(
        "centre",
        "refused" if far else "warning",
        seen,
        "partial Fourier data stored without what was left out, or an echo off its centre",
        f"give its place, {','.join(map(str, places))} or auto (centre)",
    )


def _half(evidence: Evidence, axes: list[int]) -> Iterator[Finding]:
    shape = evidence.scan.kspace.shape
    for axis in axes:
        away = _offset(evidence.place(axis), shape[axis] // 2, shape[axis])
        if abs(away) > 0.35:
            moved = any(_small_shift(evidence))
            yield Finding(
                "centre",
                "note",
                f"the energy of k-space lies {abs(away):.1f} samples from n // 2",
                "the image has a slow ramp of phase",
                "whole samples of it are taken off" if moved else "nothing need be done",
                mended=moved,
            )
            return


def _split(evidence: Evidence) -> Iterator[Finding]:
    """Find images that are moved by half the field of view: bright at both ends, dark between."""
    scan = evidence.scan
    kspace = scan.kspace.sum(2) if scan.axes.time else scan.kspace
    try:
        block = crop_calibration(kspace, scan.calibration_mask)
    except InputError:
        return
    fourier = scan.axes.fourier
    energy = ifft_centred(windowed(block, fourier), fourier).abs().square().sum((0, 1))
    split = []
    for axis, letter in enumerate(scan.axes.letters[-fourier:]):
        profile = energy.movedim(axis, 0).flatten(1).sum(1)
        ends = torch.minimum(profile[0], profile[-1])
        middle = profile[len(profile) // 2 - 1 : len(profile) // 2 + 1].mean()
        if ends > ENDS * profile.max() and middle < MIDDLE * profile.max():
            split.append(letter)
    if split:
        where = " and ".join(split)
        yield Finding(
            "field of view",
            "warning",
            f"the image is bright at both ends along {where}, and dark in the middle",
            "it is moved by half the field of view, as a Fourier transform without a shift of the "
            "image leaves it",
            f"change the sign of every other sample of k-space along {where}, unless the object "
            "lies there",
        )


def _small_shift(evidence: Evidence) -> list[int]:
    """Return by how much a peak off by a few samples is to be moved along every Fourier axis.

    Where samples were not moved but an echo came late, the fully sampled block is then off the
    centre and counts for less; so the peak stays where it is if too little of it would be left.
    """
    scan, shape = evidence.scan, evidence.scan.kspace.shape
    shift = []
    for axis in evidence.fourier_axes:
        n = shape[axis]
        away = 0.0 if evidence.is_flat(axis) else _offset(evidence.place(axis), n // 2, n)
        shift.append(-round(away) if LEAST_MOVED < abs(away) <= _near(n, NEAR) else 0)
    mask, axes = scan.calibration_mask, tuple(range(-len(shift), 0))
    enough = not any(shift) or _block(mask.roll(shift, axes)) >= LEAST_LEFT * _block(mask)
    return shift if enough else [0] * len(shift)


def _block(mask: Tensor) -> int:
    """Return the number of samples of the calibration region, 0 where there is none."""
    try:
        return math.prod(part.stop - part.start for part in calibration_region(mask))
    except InputError:
        return 0


def with_peak_at_centre(scan: Scan) -> Scan:
    """Return the scan with a peak that is off by a few samples moved to index ``n // 2``.

    Samples move round the axis, which is a ramp of phase in the image and changes no magnitude; but
    the phase of an image is expected to be slow.

    Parameters
    ----------
    scan
        The scan.
    """
    from molrecon.data.check.evidence import Evidence

    for axis, by in enumerate(_small_shift(Evidence(scan)), -scan.axes.fourier):
        scan = _rolled(scan, by, axis) if by else scan
    return scan


def recentred(scan: Scan, centre: Centre) -> Scan:
    """Return the scan with zero frequency at index ``n // 2`` of every Fourier axis.

    Zero frequency at index 0, or off by a sample or two, is a matter of the order: samples move
    round the axis, which is a ramp of phase in the image. Otherwise k-space was stored cut on one
    side, or its echo came early or late; it is made whole with samples that were not measured, and
    every sample keeps its frequency.

    Parameters
    ----------
    scan
        The scan.
    centre
        Where zero frequency lies: ``"corner"`` for index 0 of every axis, ``"auto"`` for where the
        energy is, or one index for each Fourier axis.

    Raises
    ------
    InputError
        If it is none of these.
    """
    shape = scan.kspace.shape[-scan.axes.fourier :]
    for axis, (place, n) in enumerate(zip(_places(scan, centre), shape, strict=True)):
        dim = axis - len(shape)
        away = abs(place - n // 2)
        if place == n // 2:
            continue
        if place == 0 or away <= _near(n, NEAR):
            scan = _rolled(scan, n // 2 - place, dim)
            continue
        half = max(place, n - place)
        scan = _padded(scan, dim, 2 * half, half - place)
    return scan


def _places(scan: Scan, centre: Centre) -> list[int]:
    shape = scan.kspace.shape[-scan.axes.fourier :]
    if centre == "corner":
        return [0] * len(shape)
    if centre == "auto":
        from molrecon.data.check.evidence import Evidence

        evidence = Evidence(scan)
        found = []
        for axis, n in zip(evidence.fourier_axes, shape, strict=True):
            place = evidence.place(axis)
            at_centre = abs(_offset(place, n // 2, n)) <= _near(n, NEAR)
            at_corner = _at_corner(place, n)
            found.append(n // 2 if at_centre else 0 if at_corner else round(place) % n)
        return found
    if (
        isinstance(centre, str)
        or len(centre) != len(shape)
        or not all(
            isinstance(one, int) and 0 <= one < n for one, n in zip(centre, shape, strict=True)
        )
    ):
        raise InputError(
            f"centre is {centre!r}, expected 'auto', 'corner' or an index for each of "
            f"{', '.join(scan.axes.letters[-len(shape) :])}, which have {tuple(shape)} samples; "
            "correct it."
        )
    return list(centre)


def _rolled(scan: Scan, by: int, dim: int) -> Scan:
    def change(value: Tensor) -> Tensor:
        return value.roll(by, dim)

    letter, n = scan.axes.letters[dim], scan.kspace.shape[dim]
    reference = scan.reference
    if reference is not None:
        ramp = 2 * math.pi * by / n * (torch.arange(n, device=reference.device) - n // 2)
        phase = torch.polar(torch.ones_like(ramp), ramp)
        reference = reference * phase.reshape(-1, *[1] * (-dim - 1))
    return replace(
        scan,
        kspace=change(scan.kspace),
        mask=change(scan.mask),
        outside=None if scan.outside is None else change(scan.outside),
        reference=reference,
        notes=(*scan.notes, f"zero frequency moved by {by} samples along {letter}, to n // 2"),
    )


def _padded(scan: Scan, dim: int, n: int, before: int) -> Scan:
    """Make an axis n long, with samples that were not measured on both sides."""
    old = scan.kspace.shape[dim]

    def padded(value: Tensor) -> Tensor:
        shape = list(value.shape)
        shape[dim] = n
        full = torch.zeros(shape, dtype=value.dtype, device=value.device)
        full.narrow(dim, before, old).copy_(value)
        return full

    maps = scan.coil_maps
    if maps is not None:
        wanted = list(maps.shape[-scan.axes.fourier :])
        wanted[dim] = n
        maps = resample_maps(maps, wanted)
    return replace(
        scan,
        kspace=padded(scan.kspace),
        mask=padded(scan.mask),
        outside=None if scan.outside is None else padded(scan.outside),
        coil_maps=maps,
        reference=None,
        image_shape=None,
        geometry=None if scan.geometry is None else scan.geometry.refined(dim, old, n),
        notes=(*scan.notes, f"{old} samples completed to {n} with what was not measured"),
    )
