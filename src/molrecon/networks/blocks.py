"""Blocks of pixels sorted into channels, and back: an isometry to a coarser grid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def unshuffle(x: Tensor, scale: int) -> Tensor:
    """Sort blocks of ``scale`` pixels along every axis into channels.

    ``(batch, channels, *spatial)`` to ``(batch, scale^ndim · channels, *coarse)``, padded with
    zeros at the far ends to whole blocks. An isometry; its adjoint is `shuffle`.
    """
    ndim = x.ndim - 2
    if any(n % scale for n in x.shape[2:]):
        x = nn.functional.pad(x, [p for n in reversed(x.shape[2:]) for p in (0, -n % scale)])
    coarse = [n // scale for n in x.shape[2:]]
    split = [n for size in coarse for n in (size, scale)]
    # With channels last, as they lie in memory, so that all is moved once.
    blocks = x.movedim(1, -1).reshape(len(x), *split, x.shape[1])
    between, within = range(1, 1 + 2 * ndim, 2), range(2, 2 + 2 * ndim, 2)
    order = blocks.permute(0, *between, *within, 2 * ndim + 1)
    return order.reshape(len(x), *coarse, -1).movedim(-1, 1)


def shuffle(x: Tensor, scale: int, spatial: Sequence[int]) -> Tensor:
    """Adjoint of `unshuffle` for images of size ``spatial``: sort back, cut the padding off."""
    ndim, coarse = x.ndim - 2, x.shape[2:]
    blocks = x.movedim(1, -1).reshape(len(x), *coarse, *[scale] * ndim, -1)
    order = [axis for k in range(ndim) for axis in (1 + k, 1 + ndim + k)]
    image = blocks.permute(0, *order, 2 * ndim + 1)
    image = image.reshape(len(x), *[scale * n for n in coarse], -1).movedim(-1, 1)
    for axis, size in enumerate(spatial, start=2):
        image = image.narrow(axis, 0, size)
    return image
