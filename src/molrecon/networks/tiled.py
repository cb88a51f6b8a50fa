"""A network applied tile by tile: the same result, in less memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.networks.base import Network


@dataclass(frozen=True)
class Tile:
    """One tile of an image, as slices of its spatial axes."""

    source: tuple[slice, ...]  # what the network has to see, in the image
    target: tuple[slice, ...]  # what it determines, in the image
    inside: tuple[slice, ...]  # the same within what it has seen


def tiles_of(spatial: Sequence[int], tile: Sequence[int], halo: int) -> Iterator[Tile]:
    """Cut an image into tiles of at most a shape, about equally large, each with a halo.

    The halo, pixels around what a tile determines, ends where the image does.
    """
    axes = [_intervals(n, size) for n, size in zip(spatial, tile, strict=True)]
    for intervals in product(*axes):
        starts = [max(0, a - halo) for a, _ in intervals]
        stops = [min(n, b + halo) for n, (_, b) in zip(spatial, intervals, strict=True)]
        yield Tile(
            tuple(slice(a, b) for a, b in zip(starts, stops, strict=True)),
            tuple(slice(a, b) for a, b in intervals),
            tuple(slice(a - s, b - s) for s, (a, b) in zip(starts, intervals, strict=True)),
        )


def _every(spatial: tuple[slice, ...]) -> tuple[slice, ...]:
    """Index a part of the spatial axes of a tensor ``(batch, channel, *spatial)``."""
    return (slice(None), slice(None), *spatial)


def _intervals(n: int, size: int) -> list[tuple[int, int]]:
    count = math.ceil(n / size)
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]


def padded_size(spatial: Sequence[int], tile: Sequence[int], halo: int) -> int:
    """Return the number of pixels of the largest tile with its halo."""
    return math.prod(
        min(n, math.ceil(n / math.ceil(n / size)) + (2 * halo if size < n else 0))
        for n, size in zip(spatial, tile, strict=True)
    )


def choose_tile(
    spatial: Sequence[int], halo: int, pixels: int, uncut: Sequence[int] = ()
) -> tuple[int, ...] | None:
    """Return the tile that fits and repeats least work; None if not even one pixel fits.

    With its halo it may have so many pixels; along the axes ``uncut`` it has to be whole
    (`Network.uncut`).
    """
    counts = [1] * len(spatial)

    def shape(cut: Sequence[int]) -> tuple[int, ...]:
        return tuple(math.ceil(n / count) for n, count in zip(spatial, cut, strict=True))

    while padded_size(spatial, shape(counts), halo) > pixels:
        finer = []
        for axis, n in enumerate(spatial):
            # The next count at which the tiles become smaller.
            more = next(
                (k for k in range(counts[axis] + 1, n + 1) if _shorter(n, k, counts[axis])), 0
            )
            if more and axis not in uncut:
                finer.append([*counts[:axis], more, *counts[axis + 1 :]])
        if not finer:
            return None
        counts = min(finer, key=lambda cut: _work(spatial, cut, halo))
    return shape(counts)


def _shorter(n: int, count: int, than: int) -> bool:
    return math.ceil(n / count) < math.ceil(n / than)


def _work(spatial: Sequence[int], counts: Sequence[int], halo: int) -> int:
    """Pixels of all tiles with their halos."""
    return math.prod(n + 2 * halo * (count - 1) for n, count in zip(spatial, counts, strict=True))


class Tiled(Network):
    """The same map as a network of local layers, computed tile by tile.

    Every tile is given the halo that its pixels depend on (`Network.halo`). Zero padding then
    falls on the border of the image and nowhere else: the result is that of the whole image, to
    rounding, and every bound of the network holds. It is meant for inference; gradients are right,
    and keep the memory of all tiles.

    Parameters
    ----------
    network
        The network.
    tile
        Largest spatial shape of a tile without its halo; one number is for all axes.

    Raises
    ------
    InputError
        If the network's halo is not known or the tile is not made of positive numbers; when
        applied, if the tile cuts an axis that has to be whole.

    Examples
    --------
    >>> import torch
    >>> from molrecon import ResidualCNN, Tiled
    >>> network, sigma = ResidualCNN(features=8, layers=2), torch.tensor([0.05])
    >>> x = torch.randn(1, 1, 40, 40, dtype=torch.complex64)
    >>> bool(torch.allclose(Tiled(network, 24)(x, sigma), network(x, sigma), atol=1e-5))
    True
    """

    def __init__(self, network: Network, tile: int | Sequence[int]) -> None:
        super().__init__()
        if network.halo is None:
            raise InputError(
                f"{type(network).__name__} cannot be tiled: how far it sees is not known; use a "
                "network of local layers"
            )
        shape = (tile,) * network.ndim if isinstance(tile, int) else tuple(tile)
        if len(shape) != network.ndim or min(shape) < 1:
            raise InputError(f"tile is {tile}, expected {network.ndim} positive numbers")
        self.network = network
        self.tile = shape
        self.ndim, self.channels = network.ndim, network.channels
        self.noise_conditioned = network.noise_conditioned

    @property
    def halo(self) -> int | None:
        """Pixels that a pixel depends on beyond its place, as in the network."""
        return self.network.halo

    @property
    def uncut(self) -> tuple[int, ...]:
        """Axes that the network sees as a whole, along which a tile is as long as the image."""
        return self.network.uncut

    @property
    def working_channels(self) -> int:
        """Estimate of the real numbers per pixel of a tile that one application holds."""
        return self.network.working_channels

    @property
    def block_pixels(self) -> Mapping[str, int]:
        """Pixels of a tile that are worked on at once, as in the network."""
        return self.network.block_pixels

    def forward(self, x: Tensor, sigma: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        """Apply the network; see `Network.forward`.

        Parameters
        ----------
        x
            Images ``(batch, channel, *spatial)``, real or complex as the network takes them. They
            may lie in a file (``torch.from_numpy`` of a ``numpy.memmap``): one tile at a time is
            read.
        sigma
            Noise levels ``(batch,)``, for networks that take them.
        out
            Where to write the result, of the shape and dtype of ``x``; it may lie in a file too,
            another one than that of ``x``.

        Raises
        ------
        InputError
            If the images do not suit the network, a tile is smaller than an axis that the network
            sees as a whole, or ``out`` does not fit.
        """
        self._check(x)
        if out is not None and (out.shape != x.shape or out.dtype != x.dtype):
            raise InputError(
                f"out is {out.dtype} of shape {tuple(out.shape)}, expected {x.dtype} of shape "
                f"{tuple(x.shape)} as the image has"
            )
        spatial = tuple(x.shape[2:])
        for axis in self.uncut:
            if self.tile[axis] < spatial[axis]:
                raise InputError(
                    f"tile is {self.tile}, expected at least {spatial[axis]} along axis {axis}: "
                    f"{type(self.network).__name__} sees it as a whole"
                )
        halo = self.network.halo
        assert halo is not None
        result = torch.empty_like(x) if out is None else out
        for tile in tiles_of(spatial, self.tile, halo):
            part = self.network(x[_every(tile.source)], sigma)
            result[_every(tile.target)] = part[_every(tile.inside)]
        return result

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the network to real channels, as a whole."""
        return self.network.apply_channels(x, code)

    def lipschitz_bound(self) -> float | None:
        """Return the bound that the network imposes, whose map this is."""
        return self.network.lipschitz_bound()

    def composed_bound(self) -> float:
        """Return the bound of the network, whose map this is, composed from its layers."""
        return self.network.composed_bound()
