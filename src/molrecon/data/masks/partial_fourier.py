"""Partial Fourier sampling: one end of k-space is left out."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError


def partial_fourier(mask: Tensor, share: float, *, axis: int, low_end: bool) -> Tensor:
    """Leave the samples at one end of an axis out of a sampling mask.

    Parameters
    ----------
    mask
        Boolean, of any shape, zero frequency at ``n // 2`` along every axis.
    share
        Share of the axis that is kept, above one half and at most 1: so the centre stays.
    axis
        The axis.
    low_end
        Whether its first samples are left out, or its last ones.

    Returns
    -------
    Tensor
        Boolean, of the same shape.

    Raises
    ------
    InputError
        If the share is out of its range.
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
