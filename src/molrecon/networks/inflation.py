"""Weights of a network of fewer axes as those of a network of more."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def inflated(weight: Tensor, ndim: int) -> Tensor:
    """Return a kernel ``(channels_out, channels_in, *kernel)`` with ``ndim`` axes.

    It has the width of its last axis along the new ones, which come first, and is zero but for
    their middle: the convolution acts slice by slice as before, and its operator norm is the same.
    (Kernels of videos are started from those of images so in Carreira, Zisserman, CVPR 2017, which
    repeat them.)
    """
    for _ in range(ndim - (weight.ndim - 2)):
        width = weight.shape[-1]
        grown = weight.new_zeros(*weight.shape[:2], width, *weight.shape[2:])
        grown[:, :, width // 2] = weight
        weight = grown
    return weight


@torch.no_grad()
def inflated_state(state: Mapping[str, Tensor], ndim: int) -> dict[str, Tensor]:
    """Return a state dictionary whose kernels have ``ndim`` axes; vectors stay as they are."""
    return {name: inflated(t, ndim) if t.ndim > 2 else t for name, t in state.items()}
