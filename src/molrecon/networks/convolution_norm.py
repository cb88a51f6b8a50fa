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
from collections.abc import Sequence

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


GRID_POINTS = {1: 128, 2: 32, 3: 24}
"""Grid points along each frequency axis, by the number of axes: a slack of 1 to 3 % for kernels of
width 3, below 1 % for long ones of one axis, in a time that does not hurt."""

_AT_ONCE = 4096
"""Matrices decomposed at once, which bounds the memory."""


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
    phases = kernel_phases(weight.shape[2:], frequency)
    return weight.flatten(2).to(phases.dtype) @ phases


def kernel_phases(sizes: Sequence[int], frequency: Tensor) -> Tensor:
    """Factors ``e^{-ikω}`` of all kernel elements, ``(..., elements)`` for ω ``(..., ndim)``."""
    axes = [torch.arange(n, device=frequency.device, dtype=frequency.dtype) for n in sizes]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    # No matrix product: it may be one of 16 bits.
    angles = -(positions * frequency[..., None, :]).sum(-1)
    return torch.polar(torch.ones_like(angles), angles)


@torch.no_grad()
def certified_norm(
    weight: Tensor, *, points: int | None = None, margin: float = ROUNDING_MARGIN
) -> float:
    """Upper bound on the operator norm of a stride-1 convolution, zero or circular padding.

    It holds in 1D, 2D and 3D, for images of every size, and for the kernel exactly as it is stored.
    Zeros around a kernel do not count: a 3×3×3 kernel that is zero but for its middle slice has the
    bound of that slice.

    Parameters
    ----------
    weight
        Kernel ``(channels_out, channels_in, *kernel)``.
    points
        Grid points along each frequency axis; by default `GRID_POINTS`.
    margin
        Factor for rounding, `ROUNDING_MARGIN` or `VERIFICATION_MARGIN`.

    Returns
    -------
    float
        The bound; infinity for a kernel that holds NaN or infinity.
    """
    if not bool(torch.isfinite(weight).all()):
        return math.inf
    kernel = _cropped(weight.detach().double())
    sizes = tuple(kernel.shape[2:])
    if points is None:
        points = GRID_POINTS[max(1, len(sizes))]
    correction = grid_correction(sizes, points)
    largest = max(
        float(torch.linalg.svdvals(some).max())
        for some in torch.split(transfer_function(kernel, points), _AT_ONCE)
    )
    return largest * correction * margin


def _cropped(weight: Tensor) -> Tensor:
    """Cut the zeros around a kernel off, about its centre, and the axes that have length 1 then."""
    for axis in range(2, weight.ndim):
        others = [other for other in range(weight.ndim) if other != axis]
        used = torch.nonzero((weight != 0).any(dim=tuple(others))).flatten()
        centre = weight.shape[axis] // 2
        degree = int((used - centre).abs().max()) if len(used) else 0
        start, stop = centre - degree, min(weight.shape[axis], centre + degree + 1)
        weight = weight.narrow(axis, start, stop - start)
    for axis in reversed(range(2, weight.ndim)):
        if weight.shape[axis] == 1 and weight.ndim > 3:
            weight = weight.squeeze(axis)
    return weight
