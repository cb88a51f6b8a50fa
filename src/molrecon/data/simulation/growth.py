"""Regions grown by a margin."""

from __future__ import annotations

import torch
from torch import Tensor


def grown(region: Tensor, margin: int) -> Tensor:
    """Return a boolean region, of any number of axes, grown by ``margin`` pixels each way."""
    lines = region.float()[None]
    for _ in range(region.ndim):
        lines = lines.movedim(1, -1)
        rows = lines.reshape(1, -1, lines.shape[-1])
        wider = torch.nn.functional.max_pool1d(rows, 2 * margin + 1, 1, margin)
        lines = wider.reshape(lines.shape)
    return lines[0] > 0
