"""Scans that are right in many ways, and the faults that can be done to them on the way to a file.

What is written is a plain array, or arrays with names, as programs of others write them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch

from molrecon import make_mask, simulate_coil_maps, simulate_phase
from molrecon.data.procedural import procedural_image
from molrecon.data.resampling import fourier_resample
from molrecon.data.sample_image import sample_image
from molrecon.operators.fourier import fft_centred, ifft_centred

Array = npt.NDArray[Any]
FULL = "full"


@dataclass(frozen=True, eq=False)
class Measured:
    """A scan as arrays: k-space ``(coil, y, x)``, its mask and maps, and the image.

    ``options`` are what the user settles, as arguments of `molrecon.reconstruct`, and ``louder`` is
    how many times as much noise every coil has as it should, where some have more; infinitely much
    if it holds nothing else.
    """

    kspace: Array
    mask: Array
    maps: Array
    image: Array
    sigma: float
    full: Array
    axes: str = ""
    with_mask: bool = False
    with_maps: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    louder: Array | None = None

    def write(self, folder: Path, kind: str) -> str:
        """Write it as ``npy``, ``npz`` or ``h5`` and return the path to read."""
        arrays: dict[str, Array] = {"kspace": self.kspace}
        arrays |= {"mask": self.mask} if self.with_mask else {}
        arrays |= {"coil_maps": self.maps} if self.with_maps else {}
        kind = "npz" if kind == "npy" and len(arrays) > 1 else kind
        # Three axes of HDF5 are slices, as fastMRI has them.
        kind = "npz" if kind == "h5" and self.kspace.ndim == 3 and not self.with_maps else kind
        path = folder / f"scan.{kind}"
        if kind == "npy":
            np.save(path, self.kspace)
        elif kind == "npz":
            np.savez(path, **arrays)
        else:
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file[name] = array
        return f"{path}::axes={self.axes}" if self.axes else str(path)


def measure(
    *,
    shape: tuple[int, int] = (128, 112),
    coils: int = 8,
    sigma: float = 0.01,
    sampling: str = "equispaced",
    acceleration: float = 3,
    calibration: int = 24,
    picture: str = "head",
    phase: bool = True,
    gains: float = 1,
    seed: int = 0,
) -> Measured:
    """Measure an image of peak 1 with smooth maps and noise of a standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    if picture == "head":
        image = fourier_resample(sample_image(), shape).clamp_min(0)
    else:
        image = procedural_image(picture, shape, generator)
    image = image / image.max() + 0j
    if phase:
        image = image * simulate_phase(shape, generator=generator)
    maps = simulate_coil_maps(shape, coils, generator=generator)
    full = fft_centred(maps * image, 2)
    noise = torch.randn(full.shape, dtype=full.dtype, generator=generator)
    full = full + sigma * noise
    if gains > 1:
        factors = gains ** (2 * torch.rand(coils, 1, 1, generator=generator) - 1)
        full, maps = full * factors, maps * factors
        size = maps.abs().square().sum(0).sqrt()
        maps, image = maps / size, image * size
    mask = torch.ones(shape, dtype=torch.bool)
    if sampling != FULL:
        drawn = make_mask(sampling, shape, acceleration, calibration=calibration, seed=seed)
        mask = drawn.expand(shape)
    return Measured(
        (full * mask).numpy(), mask.numpy(), maps.numpy(), image.numpy(), sigma, full.numpy()
    )


Fault = Callable[[Measured], Measured]


def _order(order: str, volume: int = 0) -> Fault:
    """Store the axes in another order; with slices there are so many alike."""

    def apply(scan: Measured) -> Measured:
        kspace = scan.kspace
        names = "cyx"
        if volume:
            kspace, names = _slices(scan, volume), "scyx"
        return replace(scan, kspace=np.transpose(kspace, [names.index(one) for one in order]))

    return apply


def _slices(scan: Measured, count: int) -> Array:
    """Return k-space of several slices, each showing another part of the object more brightly."""
    y, x = (np.linspace(-1, 1, n) for n in scan.image.shape)
    rng = np.random.default_rng(3)
    found = []
    for turn in np.linspace(0, 2 * np.pi, count, endpoint=False):
        near = (y[:, None] - 0.4 * np.sin(turn)) ** 2 + (x - 0.4 * np.cos(turn)) ** 2
        image = scan.image * (0.2 + np.exp(-near / 0.1))
        kspace = fft_centred(torch.from_numpy(scan.maps * image), 2).numpy()
        noise = rng.normal(size=(2, *kspace.shape)) * scan.sigma / np.sqrt(2)
        found.append(scan.mask * (kspace + noise[0] + 1j * noise[1]))
    return np.stack(found).astype(np.complex64)


def _slices_as_coils(count: int, thickness: float) -> Fault:
    """Store slices of one coil, whose axis reads as that of coils.

    From slice to slice the body grows and moves, and other structures show in it; thickness is how
    much of that happens between the first and the last.
    """

    def apply(scan: Measured) -> Measured:
        shape = scan.image.shape
        rng = np.random.default_rng(3)
        inner = [
            procedural_image("dead-leaves", shape, torch.Generator().manual_seed(seed)).numpy()
            for seed in (21, 22, 23)
        ]
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
        parts = torch.from_numpy(np.stack([scan.image.real, scan.image.imag])).float()[None]
        found = []
        for place in np.linspace(-0.5, 0.5, count) * thickness:
            grid = torch.stack([x, y + 0.1 * float(place)], -1)[None] / (1 - 0.2 * float(place))
            body = torch.nn.functional.grid_sample(parts, grid, align_corners=True)[0].numpy()
            shares = np.clip(1 - np.abs(place + 0.5 - np.array([0, 0.5, 1])) * 2, 0, 1)
            inside = sum(share * image for share, image in zip(shares, inner, strict=True))
            kspace = _fft_2d((body[0] + 1j * body[1]) * (0.3 + 0.7 * inside))
            noise = rng.normal(size=(2, *kspace.shape)) * scan.sigma / np.sqrt(2)
            found.append(scan.mask * (kspace + noise[0] + 1j * noise[1]))
        return replace(scan, kspace=np.stack(found).astype(np.complex64))

    return apply


def _volume(order: str) -> Fault:
    """Store a small volume, whose third Fourier axis is z, in another order."""

    def apply(scan: Measured) -> Measured:
        depth = 20
        inside = np.abs(np.arange(depth) - depth // 2) < 0.35 * depth
        kspace = fft_1d(inside)[:, None, None, None] * scan.kspace
        rng = np.random.default_rng(4)
        noise = rng.normal(size=(2, *kspace.shape)) * scan.sigma / np.sqrt(2)
        kspace = scan.mask * (kspace + noise[0] + 1j * noise[1])
        stored = np.transpose(kspace, ["zcyx".index(one) for one in order])
        return replace(scan, kspace=stored.astype(np.complex64))

    return apply


def _fft_2d(values: Array) -> Array:
    return fft_centred(torch.from_numpy(values), 2).numpy()


def fft_1d(values: Array) -> Array:
    """Return the centred transform."""
    return fft_centred(torch.from_numpy(values + 0j), 1).numpy()


def _moved(y: float, x: float) -> Fault:
    """Move k-space round by shares of its axes; a half is what a missing shift does."""

    def apply(scan: Measured) -> Measured:
        by = [-int(share * n) for share, n in zip((y, x), scan.image.shape, strict=True)]
        kspace = np.roll(scan.kspace, by, (-2, -1))
        return replace(scan, kspace=kspace, mask=np.roll(scan.mask, by, (-2, -1)))

    return apply


def _cut(axis: int, share: float, low: bool) -> Fault:
    """Leave a share of k-space at one end out of the array."""

    def apply(scan: Measured) -> Measured:
        n = scan.kspace.shape[axis]
        start, stop = (int(share * n), n) if low else (0, n - int(share * n))
        part = (..., slice(start, stop)) if axis == -1 else (..., slice(start, stop), slice(None))
        return replace(scan, kspace=scan.kspace[part], mask=scan.mask[part])

    return apply


def _mask(change: Callable[[Array], Array]) -> Fault:
    return lambda scan: replace(scan, mask=change(scan.mask), with_mask=True)


def _maps(change: Callable[[Array], Array]) -> Fault:
    def apply(scan: Measured) -> Measured:
        return replace(scan, maps=change(scan.maps).astype(np.complex64), with_maps=True)

    return apply


def _smooth_size(maps: Array) -> Array:
    y, x = (np.linspace(-1, 1, n) for n in maps.shape[-2:])
    return maps * np.exp(0.5 * y[:, None] - 0.3 * x)


def _transposed_maps(scan: Measured) -> Measured:
    """Exchange the axes of the maps, which fits square matrices only."""
    ny, nx = scan.image.shape
    turned = scan.maps.swapaxes(-1, -2).copy()
    return replace(scan, maps=turned, with_maps=True) if ny == nx else scan


def _other_maps(scan: Measured) -> Measured:
    """Give the maps of other coils."""
    generator = torch.Generator().manual_seed(77)
    maps = simulate_coil_maps(scan.image.shape, len(scan.maps), generator=generator)
    return replace(scan, maps=maps.numpy(), with_maps=True)


def _halved(maps: Array) -> Array:
    return np.ascontiguousarray(maps[:, ::2, ::2])


def _louder(coils: dict[int, float]) -> Fault:
    """Add noise to some coils, so that it is so many times that of the others."""

    def apply(scan: Measured) -> Measured:
        rng = np.random.default_rng(5)
        kspace, louder = scan.kspace.copy(), np.ones((len(scan.kspace), 1, 1), np.float32)
        for coil, factor in coils.items():
            louder[coil] = factor
            noise = rng.normal(size=(2, *kspace.shape[1:])) / np.sqrt(2)
            extra = scan.sigma * np.sqrt(factor**2 - 1)
            kspace[coil] += scan.mask * extra * (noise[0] + 1j * noise[1])
        return replace(scan, kspace=kspace, louder=louder)

    return apply


def _quiet(coil: int, factor: float) -> Fault:
    def apply(scan: Measured) -> Measured:
        kspace, louder = scan.kspace.copy(), np.ones((len(scan.kspace), 1, 1), np.float32)
        kspace[coil] *= factor
        louder[coil] = np.inf
        return replace(scan, kspace=kspace, louder=louder)

    return apply


def _spikes(number: int, height: float, *, pair: bool = False, everywhere: bool = False) -> Fault:
    """Put samples of so many times the peak where something was measured, far from the centre."""

    def apply(scan: Measured) -> Measured:
        rng = np.random.default_rng(7)
        kspace = scan.kspace.copy()
        places = np.argwhere(scan.mask)
        shape = np.array(scan.mask.shape)
        outside = (np.abs(places - shape // 2) > 0.25 * shape).any(1)
        inside = ((places > 0) & (places < shape - 2)).all(1)
        chosen = rng.choice(places[outside & inside], number, replace=False)
        peak = np.abs(kspace).max()
        coil = slice(None) if everywhere else 0
        for y, x in chosen:
            kspace[coil, y, x] = height * peak * np.exp(1j * y)
            if pair:
                kspace[coil, y + 1, x] = height * peak * scan.mask[y + 1, x]
        return replace(scan, kspace=kspace)

    return apply


def _instead(make: Callable[[Measured], Array]) -> Fault:
    """Store something else than k-space."""
    return lambda scan: replace(scan, kspace=make(scan).astype(np.complex64))


def _coil_images(scan: Measured) -> Array:
    return ifft_centred(torch.from_numpy(scan.full), 2).numpy()


def _spokes(scan: Measured) -> Array:
    """Spokes of the image of every coil: samples along the readout, spokes along the columns."""
    images = scan.maps * scan.image
    n = min(scan.image.shape)
    images = images[:, :n, :n]
    grid = np.arange(n) - n // 2
    angles = np.pi * np.arange(64) / 64
    radius = (np.arange(2 * n) - n) / 2
    ky, kx = np.outer(radius, np.sin(angles)), np.outer(radius, np.cos(angles))
    along = np.exp(-2j * np.pi * ky[..., None] * grid / n)
    across = np.exp(-2j * np.pi * kx[..., None] * grid / n)
    found: Array = np.einsum("cyx,rsy,rsx->crs", images, along, across, optimize=True) / n
    return found


LAYOUTS: dict[str, Fault] = {
    "coil last": _order("yxc"),
    "coil in the middle": _order("ycx"),
    "coil last, transposed": _order("xyc"),
    "coil in the middle, transposed": _order("xcy"),
    "slices, coil last": _order("syxc", 3),
    "slices, coil in the middle": _order("sycx", 3),
    "slices last": _order("yxcs", 3),
    "coils last, slices before": _order("yxsc", 3),
    "coils before slices": _order("csyx", 20),
    "coil last, many slices": _order("syxc", 20),
    "slices of one coil": _slices_as_coils(8, 0.3),
    "three slices of one coil": _slices_as_coils(3, 0.15),
    "many slices of one coil": _slices_as_coils(24, 1),
    "thin slices of one coil": _slices_as_coils(48, 0.5),
    "thick slices of one coil": _slices_as_coils(8, 1),
    "volume, coil last": _volume("zyxc"),
    "volume, coil first": _volume("czyx"),
    "volume, coil third": _volume("zycx"),
}
CENTRES: dict[str, Fault] = {
    "corner": _moved(0.5, 0.5),
    "corner along y": _moved(0.5, 0),
    "corner along x": _moved(0, 0.5),
    "moved by a fifth": _moved(0.2, 0),
    "moved by a quarter along both": _moved(0.25, 0.25),
    "cut on the left": _cut(-1, 0.25, True),
    "cut on the right": _cut(-1, 0.25, False),
    "cut at the top": _cut(-2, 0.3, True),
    "cut at the bottom": _cut(-2, 0.2, False),
}
MASKS: dict[str, Fault] = {
    "mask of ones": _mask(np.ones_like),
    "mask transposed": _mask(lambda mask: mask.T.copy()),
    "mask moved": _mask(lambda mask: np.roll(mask, (3, 7), (0, 1))),
    "mask complemented": _mask(np.logical_not),
    "mask of rows": _mask(
        lambda mask: np.arange(mask.shape[0])[:, None] % 3 * np.ones_like(mask) == 0
    ),
    "mask in the corner": _mask(np.fft.ifftshift),
}
MAPS: dict[str, Fault] = {
    "maps times 3": _maps(lambda maps: 3 * maps),
    "maps times 0.1": _maps(lambda maps: 0.1 * maps),
    "maps of a smooth size": _maps(_smooth_size),
    "maps of coils in another order": _maps(lambda maps: maps[::-1].copy()),
    "maps upside down": _maps(lambda maps: maps[:, ::-1].copy()),
    "maps mirrored": _maps(lambda maps: maps[:, :, ::-1].copy()),
    "maps turned by half a turn": _maps(lambda maps: maps[:, ::-1, ::-1].copy()),
    "maps transposed": _transposed_maps,
    "maps conjugate": _maps(np.conj),
    "maps not centred": _maps(lambda maps: np.fft.ifftshift(maps, axes=(-2, -1))),
    "maps of half the matrix": _maps(_halved),
    "maps rolled by one coil": _maps(lambda maps: np.roll(maps, 1, 0)),
    "maps of another scan": _other_maps,
}
COILS: dict[str, Fault] = {
    "one coil with 30 times the noise": _louder({2: 30}),
    "one coil with 100 times the noise": _louder({1: 100}),
    "two loud coils": _louder({0: 30, 5: 15}),
    "a coil with 6 times the noise": _louder({4: 6}),
    "three coils with 10 times the noise": _louder({0: 10, 1: 10, 2: 10}),
    "a dead coil": _quiet(3, 0.0),
    "a nearly dead coil": _quiet(3, 1e-5),
}
SPIKES: dict[str, Fault] = {
    "a spike 30 times the peak": _spikes(1, 30),
    "a spike as high as the peak": _spikes(1, 1),
    "a spike of a third": _spikes(1, 0.3),
    "five spikes": _spikes(5, 0.5),
    "a pair of spikes": _spikes(1, 2, pair=True),
    "a spike in all coils": _spikes(1, 1, everywhere=True),
}
KINDS: dict[str, Fault] = {
    "coil images": _instead(_coil_images),
    "coil maps": _instead(lambda scan: scan.maps),
    "an image": _instead(lambda scan: scan.image[None]),
    "a magnitude": _instead(lambda scan: np.abs(scan.image)[None]),
    "a map of the phase": _instead(lambda scan: np.angle(scan.image)[None]),
    "a mask": _instead(lambda scan: scan.mask[None]),
    "spokes": _instead(_spokes),
    "a trajectory": _instead(
        lambda scan: np.stack(np.meshgrid(np.arange(-64, 64), np.arange(-56, 56), indexing="ij"))
    ),
}
FAULTS: dict[str, dict[str, Fault]] = {
    "layout": LAYOUTS,
    "centre": CENTRES,
    "mask": MASKS,
    "maps": MAPS,
    "coils": COILS,
    "spikes": SPIKES,
    "kind": KINDS,
}
