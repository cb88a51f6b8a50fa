r"""Operator norms of convolutions, from their transfer function.

A stride-1 convolution with kernel ``W`` (odd width ``2d + 1`` along every axis) has the transfer
function ``Ŵ(ω) = Σ_k W_k e^{-ikω}``, one matrix ``channels_out × channels_in`` for every
frequency. On an infinite grid its operator norm is ``sup_ω ‖Ŵ(ω)‖₂``. Zero ("same") padding
embeds the finite image in that grid by zeros and keeps a part of the result, both of norm 1, so
its norm is at most the same supremum; a circular convolution samples ω and is below it too.

Between grid points (`grid_correction`): let ``u, v`` be the singular vectors at the maximising
``ω*``, and ``p(ω) = Re uᴴŴ(ω)v``, a real trigonometric polynomial of degree ``d`` along each
axis with maximum ``‖Ŵ(ω*)‖``. A real trigonometric polynomial of degree d with maximum M at t₀
satisfies ``p(t) ≥ M cos(d (t − t₀))`` for ``|t − t₀| ≤ π/d`` (M. Riesz). On a grid of ``n``
points the nearest one is within ``π/n``, so one axis loses at most the factor ``cos(πd/n)``, and
after moving to a grid point axis by axis ``max_grid ‖Ŵ‖ ≥ Π cos(πd/n) · sup ‖Ŵ‖``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.errors import InputError

ROUNDING_MARGIN = 1 + 1e-5
"""Covers the rounding of a kernel that is divided by its bound in single precision as well."""

VERIFICATION_MARGIN = 1 + 1e-9
"""Covers the double-precision rounding of the computation alone.

The error of every transfer matrix is below ``1e-14 Σ‖W_k‖_F``, and by Parseval ``Σ‖W_k‖_F`` is at
most ``√(K c)`` times the norm for K kernel elements and c channels: 1e-11 for 7×7×7 and 512.
"""


def grid_correction(kernel_sizes: tuple[int, ...], points: int) -> float:
    """Return the factor by which the supremum may exceed the maximum over a grid of ``points``."""
    degrees = [size // 2 for size in kernel_sizes]
    if any(2 * d >= points for d in degrees):
        raise InputError(f"a grid of {points} points is too coarse for kernels {kernel_sizes}")
    return 1.0 / math.prod(math.cos(math.pi * d / points) for d in degrees)


def transfer_function(weight: Tensor, points: int) -> Tensor:
    """Transfer matrices on a grid, ``(frequencies, channels_out, channels_in)``.

    The kernel is real, so ``Ŵ(-ω)`` is the conjugate of ``Ŵ(ω)`` and half of the last axis is
    enough. A shift of the kernel's centre changes phases only, never norms.
    """
    dims = tuple(range(2, weight.ndim))
    spectrum: Tensor = torch.fft.rfftn(weight, s=[points] * len(dims), dim=dims)
    return spectrum.flatten(2).permute(2, 0, 1)


def frequency_grid(points: int, ndim: int, device: torch.device | None = None) -> Tensor:
    """Return the frequencies of `transfer_function`, in its order, ``(frequencies, ndim)``."""
    full = 2 * math.pi * torch.arange(points, device=device) / points
    axes = [full] * (ndim - 1) + [full[: points // 2 + 1]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, ndim)


def transfer_matrix(weight: Tensor, frequency: Tensor) -> Tensor:
    """Transfer matrix ``(channels_out, channels_in)`` at one frequency ``(ndim,)``."""
    axes = [torch.arange(n, device=weight.device, dtype=frequency.dtype) for n in weight.shape[2:]]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    angles = -(positions * frequency).sum(-1)  # no matrix product: it may be one of 16 bits
    phases = torch.polar(torch.ones_like(angles), angles)
    return weight.flatten(2).to(phases.dtype) @ phases


@torch.no_grad()
def certified_norm(weight: Tensor, *, points: int = 32, margin: float = ROUNDING_MARGIN) -> float:
    """Upper bound on the operator norm of a stride-1 convolution, zero or circular padding.

    It holds in 1D, 2D and 3D, for images of every size, and for the kernel exactly as it is stored.

    Parameters
    ----------
    weight
        Kernel ``(channels_out, channels_in, *kernel)``.
    points
        Grid points along each frequency axis: 32 leaves a slack of 1 % for 3×3 kernels.
    margin
        Factor for rounding, `ROUNDING_MARGIN` or `VERIFICATION_MARGIN`.

    Returns
    -------
    float
        The bound; infinity for a kernel that holds NaN or infinity.
    """
    if not bool(torch.isfinite(weight).all()):
        return math.inf
    matrices = transfer_function(weight.detach().double(), points)
    largest = float(torch.linalg.svdvals(matrices).max())
    return largest * grid_correction(tuple(weight.shape[2:]), points) * margin
