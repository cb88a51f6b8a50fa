"""Convolutions whose operator norm is at most 1, certified."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from molrecon.networks.convolution_norm import (
    certified_norm,
    differentiable_norm,
    frequency_grid,
    grid_correction,
    grid_points,
    kernel_phases,
    transfer_function,
    transfer_matrix,
)
from molrecon.networks.layers import Convolution, transposed

TRAINING_POINTS = {2: 32, 3: 12}
"""Grid points of the estimate in training: a step in 3D would else be mostly power iterations."""
POWER_ITERATIONS = 2
FINER = 5
"""Points along each axis, between grid points, among which a coarse maximum is refined."""


class NormalisedConvolution(Convolution):
    """A convolution divided by an upper bound on its operator norm wherever that exceeds 1.

    It is the norm of the *convolution* that is bounded (`convolution_norm`), not of the reshaped
    kernel. In training the bound comes from a persistent power iteration at every frequency of a
    grid, advanced once for every change of the weights; it is close, from below, and costs next to
    nothing. In evaluation mode it is the certified value, computed once for the weights at hand.

    Parameters
    ----------
    channels_in, channels_out
        Channels.
    **options
        ``ndim``, ``kernel_size``, ``noise_conditioned``, ``biased`` and ``periodic`` of a
        `Convolution`.

    Attributes
    ----------
    vectors
        Where the power iteration of training stands, a unit vector for each frequency of the grid,
        complex; None before the first step. A run that goes on needs them.
    """

    def __init__(self, channels_in: int, channels_out: int, **options: Any) -> None:
        super().__init__(channels_in, channels_out, **options)
        # The transfer function of a wide kernel has narrow peaks, and its maximum on a grid that is
        # hardly wider than the kernel is far below its norm.
        widest, points = max(self.weight.shape[2:]), TRAINING_POINTS[self.ndim]
        # Four points a wavelength and the refinement miss no peak by 2 %; two missed one by
        # 8 %. In three axes a grid so fine costs more than the step: two, for wide kernels alone.
        wide = 4 * widest > 3 * points
        self.points = max(points, 4 * widest) if self.ndim < 3 else 2 * widest if wide else points
        # No buffer: casts of the module to a real type would cut the imaginary parts off.
        self.vectors: Tensor | None = None
        self._estimate: tuple[int, Tensor, Tensor, Tensor] | None = None

    def normalised_weight(self) -> Tensor:
        """Return the kernel in use, of operator norm at most 1 (certified in evaluation mode)."""
        if self.training:
            return self.weight / self._estimated_norm().clamp_min(1.0)
        norm = certified_norm(self.weight)
        if norm <= 1.0:
            return self.weight
        used = self.weight / norm
        if torch.is_grad_enabled() and self.weight.requires_grad:
            # Adds the derivative of the norm, without which the gradient is wrong by up to its own
            # size, and zero to the value: the kernel in use does not depend on the gradient mode.
            # At a norm of exactly 1, as of new kernels, it is that of one side of a kink.
            tracked = differentiable_norm(self.weight)
            used = used - used.detach() * ((tracked - tracked.detach()) / norm)
        return used

    def forward(
        self, x: Tensor, code: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Convolve with the normalised kernel, or with ``weight`` if that is given."""
        return super().forward(x, code, self.normalised_weight() if weight is None else weight)

    def transposed(self, x: Tensor, weight: Tensor) -> Tensor:
        """Apply the adjoint of the convolution (without bias) with kernel ``weight``."""
        return self.convolved(x, transposed(weight))

    def _estimated_norm(self) -> Tensor:
        """Norm estimate, differentiable: Re uᴴŴ(ω)v at the maximum, u and v held fixed."""
        version = self.weight._version
        if self._estimate is None or self._estimate[0] != version:
            self._estimate = (version, *self._power_iteration())
        _, frequency, u, v = self._estimate
        product = transfer_matrix(self.weight, frequency) @ v
        correction = grid_correction(self._sizes, grid_points(self._sizes))
        return (u.conj() * product).sum().real * correction

    @property
    def _sizes(self) -> list[int]:
        return [width for width in self.weight.shape[2:] if width > 1] or [1]

    @torch.no_grad()
    def _power_iteration(self) -> tuple[Tensor, Tensor, Tensor]:
        weight, points = self.weight.detach().float(), self.points
        matrices = transfer_function(weight, points)
        v = self._start() if self.vectors is None else self.vectors.to(weight.device)
        for _ in range(POWER_ITERATIONS):
            u = torch.nn.functional.normalize(matrices @ v, dim=1)
            v = matrices.mH @ u
            values = torch.linalg.vector_norm(v, dim=1).flatten()
            v = torch.nn.functional.normalize(v, dim=1)
        self.vectors = v
        top = int(values.argmax())
        frequency, at_top = frequency_grid(points, self.ndim, v.device)[top], v[top]
        if points < grid_points(self._sizes):
            frequency, at_top = _refined(weight, frequency, at_top, points)
        u = torch.nn.functional.normalize(transfer_matrix(weight, frequency) @ at_top, dim=0)
        dtype = torch.promote_types(self.weight.dtype, torch.complex64)
        return frequency.to(self.weight.dtype), u.to(dtype), at_top.to(dtype)

    def _start(self) -> Tensor:
        """Draw one vector for every frequency, the same ones for every seed."""
        frequencies = self.points ** (self.ndim - 1) * (self.points // 2 + 1)
        generator = torch.Generator().manual_seed(0)
        shape = (frequencies, self.weight.shape[1], 1)
        start = torch.randn(shape, generator=generator, dtype=torch.complex64)
        return start.to(self.weight.device)


def _refined(weight: Tensor, frequency: Tensor, v: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Move from the maximum on a grid to that between its points; return ω and v there."""
    u = torch.nn.functional.normalize(transfer_matrix(weight, frequency) @ v, dim=0)
    elements = torch.einsum("o,oik,i->k", u[:, 0].conj(), weight.flatten(2).to(u.dtype), v[:, 0])
    steps = torch.linspace(-torch.pi, torch.pi, FINER, device=v.device) / points
    offsets = torch.cartesian_prod(*[steps] * len(frequency))
    near = frequency + offsets
    values = (kernel_phases(weight.shape[2:], near) * elements).sum(-1).abs()
    frequency = near[int(values.argmax())]
    matrix = transfer_matrix(weight, frequency)
    for _ in range(POWER_ITERATIONS):
        v = torch.nn.functional.normalize(matrix.mH @ (matrix @ v), dim=0)
    return frequency, v
