"""The derivative of a map at a point, kept for many products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


class Linearised:
    """``v ↦ Jv`` and ``u ↦ Jᵀu`` at ``x``, exact, for the real inner product Re⟨·, ·⟩.

    The map is evaluated once, ``value``; a product then costs about one application of it, where
    forward-mode derivatives evaluate it anew each time. ``Jv`` is the derivative of ``Jᵀu``, which
    is linear, in u. Images may have any shape; samples must not interact.
    """

    def __init__(self, f: Map, x: Tensor) -> None:
        self._point = x.detach().requires_grad_()
        with torch.enable_grad():
            self._out = f(self._point)
            self._dual = torch.zeros_like(self._out, requires_grad=True)
            (self._pulled,) = torch.autograd.grad(
                self._out, self._point, self._dual, create_graph=True
            )
        self.value = self._out.detach()

    def forward(self, v: Tensor) -> Tensor:
        """Return Jv of every sample."""
        if not self._pulled.requires_grad:  # The derivative vanishes.
            return torch.zeros_like(self._out)
        (product,) = torch.autograd.grad(self._pulled, self._dual, v, retain_graph=True)
        return product

    def transposed(self, u: Tensor) -> Tensor:
        """Return Jᵀu of every sample."""
        (product,) = torch.autograd.grad(self._out, self._point, u, retain_graph=True)
        return product

    def gram(self, v: Tensor) -> Tensor:
        """Return JᵀJv of every sample."""
        return self.transposed(self.forward(v))

    def symmetric(self, v: Tensor) -> Tensor:
        """Return (J + Jᵀ)v / 2 of every sample."""
        return (self.forward(v) + self.transposed(v)) / 2
