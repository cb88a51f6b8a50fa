"""Partial Fourier sampling: one end of k-space is left out."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError


def partial_fourier(mask: Tensor, share: float, *, axis: int, low_end: bool) -> Tensor:
    """Leave the samples at one end of an axis, the low or the high one, out of a sampling mask.

    Zero frequency is at ``n // 2`` of it; the share that is kept is above one half and at most 1,
    so that the centre stays.
    """
    if not 0.5 < share <= 1:
        raise InputError(
            f"partial Fourier: the share is {share}, expected more than 0.5 and at most 1; keep "
            "the centre of k-space and one half."
        )
    n = mask.shape[axis]
    left_out = n - max(n // 2 + 1, round(share * n))
    place = torch.arange(n, device=mask.device)
    kept = place >= left_out if low_end else place < n - left_out
    shape = [1] * mask.ndim
    shape[axis] = n
    return mask & kept.reshape(shape)
