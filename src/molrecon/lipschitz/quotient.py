"""The difference quotient of a map, differentiable in its weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from molrecon.lipschitz.linearised import Map
from molrecon.operators.base import norm


def difference_quotient(f: Map, x: Tensor, e: Tensor) -> Tensor:
    """``‖f(x + e) − f(x)‖ / ‖e‖`` of every sample, ``(batch,)``: a lower bound on Lip(f).

    Both applications are computed again in the backward pass, one after the other, so that it takes
    the memory of one; forward-mode derivatives take that of two and more.
    """

    def apply(z: Tensor) -> Tensor:
        value: Tensor = checkpoint(f, z, use_reentrant=False, preserve_rng_state=False)
        return value

    return norm(apply(x + e) - apply(x)) / norm(e)


def short(x: Tensor) -> Tensor:
    """Length of a step from every sample that serves as a derivative, ``(batch,)``.

    Rounding and curvature spoil a forward difference about equally at ``√ε‖x‖``.
    """
    relative = 3 * float(torch.finfo(x.real.dtype).eps) ** 0.5
    length: Tensor = relative * norm(x).clamp_min(relative)
    return length
