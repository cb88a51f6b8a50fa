"""Anderson acceleration of a fixed-point iteration, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.operators.base import per_sample


class AndersonHistory:
    """The last iterates of every sample, and the step they suggest.

    With ``d_i = T(x_i) − x_i`` the next iterate is ``Σ a_i T(x_i)``, the weights minimising ``‖Σ
    a_i d_i‖`` under ``Σ a_i = 1`` (Anderson 1965; Walker and Ni 2011, in differences). It keeps
    ``memory`` differences, none for the plain iteration; the small problem has a relative Tikhonov
    weight.
    """

    def __init__(self, memory: int, regularisation: float = 1e-8) -> None:
        self.memory = memory
        self.regularisation = regularisation
        self._images: list[Tensor] = []
        self._steps: list[Tensor] = []
        self._valid: list[Tensor] = []

    def push(self, image: Tensor, step: Tensor, valid: Tensor) -> None:
        """Remember ``T(x)`` and ``T(x) − x``; samples where ``valid`` is False are left out."""
        # Zeros in their place: NaN would survive the multiplication with a weight of zero.
        self._images.append(select(valid, image, torch.zeros_like(image)))
        self._steps.append(select(valid, step, torch.zeros_like(step)))
        self._valid.append(valid)
        if len(self._images) > self.memory + 1:
            self._images.pop(0)
            self._steps.pop(0)
            self._valid.pop(0)

    def keep(self, samples: Tensor) -> None:
        """Forget all samples but those of these numbers."""
        for held in (self._images, self._steps, self._valid):
            held[:] = [one[samples] for one in held]

    def propose(self) -> Tensor:
        """Return the accelerated iterate, ``(batch, …)``; the plain step while alone."""
        image, step = self._images[-1], self._steps[-1]
        if len(self._images) == 1:
            return image
        batch = image.shape[0]
        usable = torch.stack(self._valid[:-1], dim=1)
        target = _as_real(step.flatten(1))
        real_steps = target.new_empty(batch, len(self._steps) - 1, target.shape[1])
        for row, other in zip(real_steps.unbind(1), self._steps[:-1], strict=True):
            torch.sub(target, _as_real(other.flatten(1)), out=row)
        real_steps *= usable[..., None]
        # Close to singular: products of 16 bits, as mixed precision has, would not do.
        with torch.autocast(image.device.type, enabled=False):
            gram = (real_steps @ real_steps.mT).double()
            right = (real_steps @ target[..., None]).double()
        scale = gram.diagonal(dim1=1, dim2=2).amax(1)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        gram = gram + (self.regularisation * scale)[:, None, None] * identity
        # A sample's unusable rows are zero: the regularised diagonal gives them weight zero.
        weights = torch.linalg.solve(gram, right).to(image.real.dtype)
        weights = torch.where(torch.isfinite(weights), weights, torch.zeros_like(weights))
        # One image at a time: a stack of them would double the memory.
        proposal = image.clone()
        for weight, other in zip(weights[..., 0].unbind(1), self._images[:-1], strict=True):
            proposal -= per_sample(weight, image) * (image - other)
        return proposal


def _as_real(x: Tensor) -> Tensor:
    return torch.view_as_real(x).flatten(-2) if x.is_complex() else x


def select(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Per sample, ``a`` where ``condition`` (``(batch,)``) holds, else ``b``."""
    return torch.where(per_sample(condition, a), a, b)
