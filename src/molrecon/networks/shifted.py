"""Convolutions in double precision on a CPU, as sums of matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

PIXELS = 8192
"""Pixels that are worked on at once, so that what is summed stays in the cache."""


def suits(x: Tensor) -> bool:
    """Whether `convolution` is the faster one for ``x``, and no gradient is to be recorded."""
    return x.dtype == torch.float64 and x.device.type == "cpu" and not torch.is_grad_enabled()


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: Sequence[int] = (0,)
) -> Tensor:
    """Convolve as PyTorch does with stride 1, three to five times as fast in double precision.

    PyTorch copies all windows of the image there, which for a volume takes gigabytes. Here every
    element of the kernel multiplies the image shifted by its place. The image with its padding is
    one long row per channel, so that a shift is a place in that row, and nothing is copied.

    Parameters
    ----------
    x
        ``(batch, channels_in, *spatial)``.
    weight
        ``(channels_out, channels_in, *kernel)``.
    bias
        ``(channels_out,)``; None for none.
    padding
        Zeros on both sides of every axis.
    """
    padded = torch.nn.functional.pad(
        x.contiguous(), [p for radius in reversed(padding) for p in (radius, radius)]
    )
    shape, widths = padded.shape[2:], weight.shape[2:]
    rows = padded.flatten(2)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    shifts = torch.zeros(1, dtype=torch.int64)
    for stride, width in zip(strides, widths, strict=True):
        shifts = (shifts[:, None] + stride * torch.arange(width)).flatten()
    matrices = [matrix.contiguous() for matrix in weight.flatten(2).unbind(2)]
    steps = list(zip(shifts.tolist(), matrices, strict=True))
    out = rows.new_zeros(len(x), len(weight), rows.shape[2])
    length = rows.shape[2] - steps[-1][0]
    for row, result in zip(rows, out, strict=True):
        for start in range(0, length, PIXELS):
            stop = min(start + PIXELS, length)
            part = result[:, start:stop]
            for shift, matrix in steps:
                part.addmm_(matrix, row[:, start + shift : stop + shift])
    sizes = [n - width + 1 for n, width in zip(shape, widths, strict=True)]
    whole = out.reshape(*out.shape[:2], *shape)
    kept = whole[(slice(None), slice(None), *(slice(n) for n in sizes))]
    return kept if bias is None else kept + bias.reshape(-1, *[1] * len(sizes))
