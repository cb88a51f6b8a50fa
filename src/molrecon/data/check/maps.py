"""Coil maps: their size, and whether they are those of the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.data.scan import Scan, sampled
from molrecon.operators.fourier import centred_slices, ifft_centred

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

SUPPORT = 0.01
"""Root sum of squares, over the largest, below which there is no coil."""
TOLERANCE = 0.1
"""Distance of the root sum of squares from 1 at which maps are normalised."""
LOW, DOUBTFUL = 0.5, 0.8
"""Share of the energy of low resolution coil images that lies along the maps: of others, and of
doubtful ones. Of eight coils a random direction has an eighth."""
BETTER = 0.05
"""By how much more of it must lie along the maps turned or mirrored to say that they are."""
FITS = 0.93
"""Share of the energy that fits maps that are moved by what they are off: of right maps at least
0.95."""
SHIFTS = (-4, -3, -2, -1, 1, 2, 3, 4)
"""By how many pixels of low resolution maps are moved to see whether they fit better."""
OUTSIDE, MOST_OUTSIDE = 0.12, 0.3
"""Share of that energy that lies where maps are zero: of maps cut to the object below 0.06."""
APART, STRONG = 0.6, 0.05
"""Share of the energy of a coil that the others do not explain by the maps, and its energy over
the mean from which on that tells."""
BLOCK, FEWEST = 24, 8
"""Width of the central block of k-space that is compared with the maps, and the least."""


def map_size(coil_maps: Tensor, coil_axis: int) -> Tensor:
    """Return the root sum of squares over the coils, ``(batch, 1, *spatial)``.

    Of several sets of maps it is the largest.
    """
    size: Tensor = torch.linalg.vector_norm(coil_maps, dim=coil_axis, keepdim=True)
    return size.amax(1) if coil_axis == 2 else size


def need_normalising(size: Tensor) -> bool:
    """Whether a root sum of squares is far from 1 where there are coils."""
    inside = size[size > SUPPORT * size.max()]
    inside = inside[:: max(1, len(inside) // 2**20)]
    quartiles = torch.quantile(inside, inside.new_tensor([0.25, 0.75, 0.99]))
    return bool((quartiles[:2] - 1).abs().max() > TOLERANCE or quartiles[2] > 1 + TOLERANCE)


def with_normalised_maps(scan: Scan) -> tuple[Scan, Tensor | None]:
    """Return the scan with maps of unit root sum of squares on their support, and what it was.

    The image of the scan is then that of the unnormalised maps times the second value, which is
    None where the maps are left as they are.

    Parameters
    ----------
    scan
        The scan.
    """
    if scan.coil_maps is None:
        return scan, None
    size = map_size(scan.coil_maps, scan.coil_axis)
    if not need_normalising(size):
        return scan, None
    seen = size > SUPPORT * size.max()
    factor = torch.where(seen, 1 / size.where(seen, 1), 0)
    maps = scan.coil_maps * (factor.unsqueeze(1) if scan.coil_axis == 2 else factor)
    return replace(scan, coil_maps=maps, notes=(*scan.notes, "coil maps normalised")), size * seen


def check_maps(evidence: Evidence) -> Iterator[Finding]:
    """Find coil maps that are not normalised, or not those of the scan."""
    scan = evidence.scan
    if scan.coil_maps is None:
        return
    size = map_size(scan.coil_maps, scan.coil_axis)
    if need_normalising(size):
        inside = size[size > SUPPORT * size.max()]
        yield Finding(
            "size of the maps",
            "note",
            f"the root sum of squares of the coil maps is {float(inside.min()):.3g} to "
            f"{float(inside.max()):.3g}",
            "they are not normalised, as nlinv and references of a body coil leave them",
            "they are normalised on their support, and the intensity can be put back (intensity)",
        )
    yield from agreeing_maps(scan)


def agreeing_maps(scan: Scan) -> Iterator[Finding]:
    """Find maps along which the coil images do not lie, or lie better once they are turned."""
    centre = low_resolution(scan)
    if centre is None:
        return
    images, maps = centre
    share = agreement(images, maps)
    if share >= DOUBTFUL and outside_maps(images, maps) > OUTSIDE:
        yield from _partly(images, maps)
        return
    others = {
        one: agreement(images, maps, change(maps)) for one, change in _turned(scan, maps).items()
    }
    moved = {one: agreement(images, maps, change(maps)) for one, change in _moved(scan, maps)}
    # Wrong gains of coils make maps that are moved fit a little better, too.
    others |= {one: other for one, other in moved.items() if other > FITS}
    name = max(others, key=lambda one: others[one])
    seen = f"{share:.0%} of the energy at the centre of k-space fits the coil maps"
    if others[name] > share + BETTER:
        yield Finding(
            "coil maps",
            "refused",
            f"{seen}, and {others[name]:.0%} fit them {name}",
            "they have another orientation or order than k-space",
            f"give them {name}, or leave them out to have them estimated",
        )
    elif share < DOUBTFUL:
        yield Finding(
            "coil maps",
            "refused" if share < LOW else "warning",
            seen,
            "they are those of another scan, of coils in another order or of another orientation",
            "leave them out to have them estimated, or give those of this scan",
        )
    else:
        yield from _partly(images, maps)


def _partly(images: Tensor, maps: Tensor) -> Iterator[Finding]:
    """Find maps that are zero where the object lies, and those of single coils that do not fit."""
    outside = outside_maps(images, maps)
    if outside > OUTSIDE:
        yield Finding(
            "coil maps",
            "refused" if outside > MOST_OUTSIDE else "warning",
            f"{outside:.0%} of the energy at the centre of k-space lies where the coil maps are "
            "zero",
            "they leave out a part of the object, which folds into the rest",
            "leave them out to have them estimated, or give maps of all of the object",
        )
    coils = coils_apart(images, maps) if maps.shape[1] == 1 and maps.shape[2] > 2 else []
    if coils:
        which = ", ".join(map(str, coils))
        yield Finding(
            "coil maps",
            "warning",
            f"the images of the coils {which} are not those that the others show by the coil maps",
            "the maps of these coils are wrong: exchanged, empty, of another gain or sign",
            "leave the maps out to have them estimated, or give those of this scan",
        )


def _turned(scan: Scan, maps: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return changes of low resolution maps ``(batch, set, coil, *spatial)``, by what they do."""
    letters = scan.axes.letters[-scan.axes.fourier :]
    axes = list(range(-len(letters), 0))
    half = [maps.shape[axis] // 2 for axis in axes]
    found: dict[str, Callable[[Tensor], Tensor]] = {
        f"mirrored along {letter}": partial(torch.flip, dims=[axis])
        for letter, axis in zip(letters, axes, strict=True)
    }
    found["mirrored along all axes"] = partial(torch.flip, dims=axes)
    found["conjugate"] = torch.conj
    found["with the coils in reverse order"] = partial(torch.flip, dims=[2])
    found["with the coils moved on by one"] = partial(torch.roll, shifts=1, dims=2)
    found["with the coils moved back by one"] = partial(torch.roll, shifts=-1, dims=2)
    found["moved by half their width"] = partial(torch.roll, shifts=half, dims=axes)
    if maps.shape[-1] == maps.shape[-2] and scan.kspace.shape[-1] == scan.kspace.shape[-2]:
        found["with y and x exchanged"] = partial(torch.transpose, dim0=-1, dim1=-2)
    return found


def _moved(scan: Scan, maps: Tensor) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Give low resolution maps moved by a few of their pixels, and what that is in pixels."""
    letters = scan.axes.letters[-scan.axes.fourier :]
    for axis, letter in enumerate(letters, -len(letters)):
        for by in SHIFTS:
            pixels = round(by * scan.kspace.shape[axis] / maps.shape[axis])
            shift = partial(torch.roll, shifts=by, dims=axis)
            yield f"moved by {pixels:+d} pixels along {letter}", shift


def low_resolution(scan: Scan) -> tuple[Tensor, Tensor] | None:
    """Return coil images of the centre of k-space, and the maps ``(batch, set, coil, …)`` there."""
    maps, kspace = scan.coil_maps, scan.kspace
    assert maps is not None
    fourier = scan.axes.fourier
    if kspace.shape[1] < 2:
        return None
    if scan.axes.time:
        times = sampled(kspace).sum(2)
        kspace = kspace.sum(2) / times.clamp_min(1)
        maps = maps.mean(scan.coil_axis + 1)
    shape = kspace.shape[-fourier:]
    widths = [min(BLOCK, n) for n in shape]
    while min(widths) >= FEWEST:
        every: tuple[slice, ...] = (slice(None), slice(None), *centred_slices(shape, widths))
        block = kspace[every]
        if bool(sampled(block).float().mean() > 0.95):
            break
        widths = [width - 2 for width in widths]
    else:
        return None
    images = ifft_centred(block, fourier)
    # The maps where the pixels of low resolution have their centres.
    for axis, (n, width) in enumerate(zip(shape, widths, strict=True)):
        places = (torch.arange(width) - width // 2) * n / width + n // 2
        chosen = places.round().long().clamp(0, n - 1)
        maps = maps.index_select(axis - fourier, chosen)
    return images, maps if scan.coil_axis == 2 else maps.unsqueeze(1)


def agreement(images: Tensor, maps: Tensor, turned: Tensor | None = None) -> float:
    """Return the share of the energy of coil images that lies along maps, 1 for those of the scan.

    Parameters
    ----------
    images
        ``(batch, coil, *spatial)``.
    maps
        ``(batch or 1, set, coil, *spatial)``; the share is that of the energy on their support.
    turned
        The maps along which it is to lie, if others than these.
    """
    sets = maps if turned is None else turned
    size = torch.linalg.vector_norm(sets, dim=2)
    along = (sets.conj() * images.unsqueeze(1)).sum(2) / size.where(size > 0, 1)
    support = _support(maps)
    captured = (along * (_support(sets) & support)).abs().square().sum()
    return float(captured / (images * support).abs().square().sum().clamp_min(1e-30))


def outside_maps(images: Tensor, maps: Tensor) -> float:
    """Return the share of the energy of coil images that lies where all maps are zero.

    Parameters
    ----------
    images
        ``(batch, coil, *spatial)``.
    maps
        ``(batch or 1, set, coil, *spatial)``.
    """
    energy = images.abs().square()
    return float((energy * ~_support(maps)).sum() / energy.sum().clamp_min(1e-30))


def coils_apart(images: Tensor, maps: Tensor) -> list[int]:
    """Return the coils whose images are not what the images of the others say, by the maps.

    Parameters
    ----------
    images
        ``(batch, coil, *spatial)``.
    maps
        ``(batch or 1, 1, coil, *spatial)``, one set.
    """
    coil_maps = maps[:, 0]
    along, size = coil_maps.conj() * images, coil_maps.abs().square()
    others = size.sum(1, keepdim=True) - size
    seen = others > 0.01 * size.sum(1, keepdim=True).max()
    image = (along.sum(1, keepdim=True) - along) / others.where(seen, 1)
    axes = (0, *range(2, images.ndim))
    energy = (images.abs().square() * seen).sum(axes)
    missed = ((images - coil_maps * image).abs().square() * seen).sum(axes)
    apart = (missed > APART * energy) & (energy > STRONG * energy.mean())
    return [int(coil) for coil in apart.nonzero().flatten()]


def _support(sets: Tensor) -> Tensor:
    """Return where any set of maps is not zero, ``(batch or 1, 1, *spatial)``."""
    size = torch.linalg.vector_norm(sets, dim=2).amax(1, keepdim=True)
    support: Tensor = size > SUPPORT * size.max()
    return support
