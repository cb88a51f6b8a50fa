"""Blocks of pixels sorted into channels, and back: an isometry to a coarser grid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from molrecon.networks.layers import CHANNELS_LAST


def unshuffle(x: Tensor, scale: int) -> Tensor:
    """Sort blocks of ``scale`` pixels along every axis into channels.

    ``(batch, channels, *spatial)`` to ``(batch, scale^ndim · channels, *coarse)``, padded with
    zeros at the far ends to whole blocks. An isometry; its adjoint is `shuffle`.
    """
    ndim = x.ndim - 2
    padding = [p for n in reversed(x.shape[2:]) for p in (0, -n % scale)]
    x = nn.functional.pad(x, padding)
    split = [n for size in x.shape[2:] for n in (size // scale, scale)]
    blocks = x.reshape(*x.shape[:2], *split)
    between, within = range(2, 2 + 2 * ndim, 2), range(3, 3 + 2 * ndim, 2)
    sorted_blocks = blocks.permute(0, *within, 1, *between).flatten(1, ndim + 1)
    return sorted_blocks.contiguous(memory_format=CHANNELS_LAST[ndim])


def shuffle(x: Tensor, scale: int, spatial: Sequence[int]) -> Tensor:
    """Adjoint of `unshuffle` for images of size ``spatial``: sort back, cut the padding off."""
    ndim = x.ndim - 2
    blocks = x.reshape(x.shape[0], *[scale] * ndim, -1, *x.shape[2:])
    order = [axis for k in range(ndim) for axis in (ndim + 2 + k, 1 + k)]
    image = blocks.permute(0, ndim + 1, *order)
    image = image.reshape(*image.shape[:2], *[scale * n for n in x.shape[2:]])
    for axis, size in enumerate(spatial, start=2):
        image = image.narrow(axis, 0, size)
    return image
