"""Convolutions whose operator norm is at most 1, certified."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.networks.convolution_norm import (
    GRID_POINTS,
    certified_norm,
    frequency_grid,
    grid_correction,
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
    """

    vectors: Tensor

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        ndim: int = 2,
        kernel_size: int | Sequence[int] = 3,
        noise_conditioned: bool = False,
        biased: bool = True,
        periodic: bool = False,
    ) -> None:
        super().__init__(
            channels_in,
            channels_out,
            ndim=ndim,
            kernel_size=kernel_size,
            noise_conditioned=noise_conditioned,
            biased=biased,
            periodic=periodic,
        )
        points = TRAINING_POINTS[ndim]
        frequencies = points ** (ndim - 1) * (points // 2 + 1)
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(frequencies, channels_in, 1, generator=generator, dtype=torch.complex64)
        self.register_buffer("vectors", start, persistent=False)
        self._estimate: tuple[int, Tensor, Tensor, Tensor] | None = None
        self._certified: tuple[Tensor, float] | None = None

    def normalised_weight(self) -> Tensor:
        """Return the kernel in use, of operator norm at most 1 (certified in evaluation mode)."""
        if self.training:
            return self.weight / self._estimated_norm().clamp_min(1.0)
        return self.weight / max(1.0, self.certified_norm())

    def certified_norm(self) -> float:
        """Upper bound on the operator norm of the raw kernel."""
        kernel = self.weight.detach()
        known = self._certified
        # By value: a version counter misses weights that were changed through ``.data``.
        if known is None or not torch.equal(known[0], kernel.double().cpu()):
            norm = certified_norm(kernel)
            known = self._certified = (kernel.double().cpu().clone(), norm)
        return known[1]

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
        sizes = tuple(width for width in self.weight.shape[2:] if width > 1)
        correction = grid_correction(sizes, GRID_POINTS[max(1, len(sizes))])
        return (u.conj() * product).sum().real * correction

    @torch.no_grad()
    def _power_iteration(self) -> tuple[Tensor, Tensor, Tensor]:
        weight, points = self.weight.detach().float(), TRAINING_POINTS[self.ndim]
        matrices = transfer_function(weight, points)
        v = self.vectors
        for _ in range(POWER_ITERATIONS):
            u = torch.nn.functional.normalize(matrices @ v, dim=1)
            v = matrices.mH @ u
            values = torch.linalg.vector_norm(v, dim=1).flatten()
            v = torch.nn.functional.normalize(v, dim=1)
        self.vectors = v
        top = int(values.argmax())
        frequency, at_top = frequency_grid(points, self.ndim, v.device)[top], v[top]
        if points < GRID_POINTS[self.ndim]:
            frequency, at_top = _refined(weight, frequency, at_top, points)
        u = torch.nn.functional.normalize(transfer_matrix(weight, frequency) @ at_top, dim=0)
        dtype = torch.promote_types(self.weight.dtype, torch.complex64)
        return frequency.to(self.weight.dtype), u.to(dtype), at_top.to(dtype)


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
