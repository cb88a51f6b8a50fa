"""Periodic continuation of images along their first axis.

Written out as autograd functions: the derivative of slices and their concatenation, as torch takes
it, costs a CPU as much as the convolution itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def wrapped(x: Tensor, radius: int) -> Tensor:
    """Continue ``(batch, channels, t, ...)`` periodically by ``radius`` at both ends of t."""
    return _Wrap.apply(x, radius) if radius else x  # type: ignore[no-untyped-call]


class _Wrap(torch.autograd.Function):
    """The continuation; its adjoint is `_Fold`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, radius: int) -> Tensor:
        ctx.radius = radius
        length = x.shape[2]
        whole, part = divmod(radius, length)
        before, after = x.narrow(2, length - part, part), x.narrow(2, 0, part)
        return torch.cat([before, *[x] * (2 * whole + 1), after], dim=2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Fold.apply(gradient, ctx.radius), None  # type: ignore[no-untyped-call]


class _Fold(torch.autograd.Function):
    """The sum of all that shows the same frame."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, radius: int) -> Tensor:
        ctx.radius = radius
        length = g.shape[2] - 2 * radius
        whole, part = divmod(radius, length)
        out = g.narrow(2, part, length).clone()
        for period in range(1, 2 * whole + 1):
            out += g.narrow(2, part + period * length, length)
        out.narrow(2, length - part, part).add_(g.narrow(2, 0, part))
        out.narrow(2, 0, part).add_(g.narrow(2, g.shape[2] - part, part))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Wrap.apply(gradient, ctx.radius), None  # type: ignore[no-untyped-call]
