r"""Operator norms of convolutions, from their transfer function.

A stride-1 convolution with kernel ``W`` (odd width ``2d + 1`` along every axis) has the transfer
function ``Ŵ(ω) = Σ_k W_k e^{-ikω}``, one matrix ``channels_out × channels_in`` for every
frequency. On an infinite grid its operator norm is ``sup_ω ‖Ŵ(ω)‖₂``. Zero ("same") padding
embeds the finite image in that grid by zeros and keeps a part of the result, both of norm 1, so
its norm is at most the same supremum; a circular convolution samples ω and is below it too.

Between grid points (`grid_correction`): let ``u, v`` be the singular vectors at the maximising
``ω*``, ``M = ‖Ŵ(ω*)‖``, and ``p(ω) = Re uᴴŴ(ω)v``, a real trigonometric polynomial of degree ``d``
along each axis. It satisfies ``|p| ≤ ‖Ŵ‖ ≤ M`` everywhere and ``p(ω*) = M``, and a real
trigonometric polynomial of degree d with ``|p| ≤ M`` and ``p(t₀) = M`` satisfies
``p(t) ≥ M cos(d (t − t₀))`` for ``|t − t₀| ≤ π/d`` (M. Riesz). On a grid of ``n`` points the
nearest one is within ``π/n``, so moving one coordinate of ω* to the grid loses at most the factor
``cos(πd/n)``. The argument is repeated for the next coordinate, with ``u, v`` and M those of the
maximum over the coordinates that are still free; hence
``max_grid ‖Ŵ‖ ≥ Π cos(πd/n) · sup ‖Ŵ‖``. The correction grows with the width of the kernel at a
fixed n (1.18 for width 7 and 103 for width 31 at 32 points), so `grid_points` grows with it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

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
"""Fewest grid points along each frequency axis, by the number of axes."""

LARGEST_CORRECTION = 1.02
"""A kernel is divided by its bound, so a correction of 2 % costs 2 % of its norm at most."""

_AT_ONCE = 4096
"""Matrices decomposed at once, which bounds the memory."""


def grid_points(kernel_sizes: Sequence[int]) -> int:
    """Number of grid points along each axis of a kernel at which the correction is small enough.

    It is at least `GRID_POINTS`, and as many as a correction of `LARGEST_CORRECTION` takes.
    """
    if max(kernel_sizes) == 1:
        return 1
    points = max(GRID_POINTS[len(kernel_sizes)], 2 * max(kernel_sizes))
    while grid_correction(kernel_sizes, points) > LARGEST_CORRECTION:
        points += 4
    return points


def grid_correction(kernel_sizes: Sequence[int], points: int) -> float:
    """Return the factor by which the supremum may exceed the maximum over a grid.

    A grid of too few points for any statement is refused.
    """
    degrees = [size // 2 for size in kernel_sizes]
    if any(2 * d >= points for d in degrees):
        raise InputError(
            f"a grid of {points} points is too coarse for kernels {tuple(kernel_sizes)}"
        )
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


@dataclass(frozen=True)
class GridMaximum:
    """Largest norm of a transfer function on a grid."""

    value: float  # ``max_grid ‖Ŵ(ω)‖``, a lower bound on the norm of the convolution
    correction: float  # factor by which the supremum may exceed it
    frequency: tuple[float, ...]  # where it is attained, ω along every axis of the kernel


_known: dict[bytes, GridMaximum] = {}
_MOST_KNOWN = 4096


def grid_maximum(weight: Tensor, points: int | None = None) -> GridMaximum:
    """Return the maximum of ``‖Ŵ‖`` on a grid; remembered for kernels of the same values.

    The key is the SHA-256 of the values of the kernel in double precision: a version counter or an
    address would miss weights that were changed through ``.data``, and keep a bound that no longer
    holds. A copy of a network in double precision has the same kernels, and the same norms. The
    kernel ``(channels_out, channels_in, *kernel)`` is finite; there are `grid_points` by default.
    """
    weight = weight.detach().double()
    key = hashlib.sha256(f"{tuple(weight.shape)} {points}".encode())
    key.update(weight.cpu().contiguous().numpy().data)
    found = _known.get(key.digest())
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[key.digest()] = _search(weight, points)
    return found


def _search(weight: Tensor, points: int | None) -> GridMaximum:
    kernel, axes = _cropped(weight)
    sizes = tuple(kernel.shape[2:])
    points = grid_points(sizes) if points is None else points
    correction = grid_correction(sizes, points)
    half = torch.fft.rfft(kernel, n=points, dim=-1)
    others = len(sizes) - 1
    step = max(1, _AT_ONCE // points**others)
    largest, place = -1.0, (0,) * len(sizes)
    for start in range(0, half.shape[-1], step):
        some = half[..., start : start + step]
        if others:
            some = torch.fft.fftn(some, s=[points] * others, dim=tuple(range(2, 2 + others)))
        norms = torch.linalg.svdvals(some.movedim((0, 1), (-2, -1))).amax(-1)
        if float(norms.max()) > largest:
            largest = float(norms.max())
            index = torch.unravel_index(norms.argmax(), norms.shape)
            place = (*map(int, index[:-1]), int(index[-1]) + start)
    frequency = [0.0] * (weight.ndim - 2)
    for axis, number in zip(axes, place, strict=True):
        frequency[axis] = 2 * math.pi * number / points
    return GridMaximum(largest, correction, tuple(frequency))


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
        Grid points along each frequency axis; by default `grid_points`.
    margin
        Factor for rounding, `ROUNDING_MARGIN` or `VERIFICATION_MARGIN`.

    Returns
    -------
    float
        The bound; infinity for a kernel that holds NaN or infinity.
    """
    if not bool(torch.isfinite(weight).all()):
        return math.inf
    found = grid_maximum(weight, points)
    return found.value * found.correction * margin


def differentiable_norm(weight: Tensor) -> Tensor:
    """`certified_norm` of a finite kernel as a tensor that carries its derivative in the kernel.

    Where the maximum over the grid is attained at one frequency ω (and −ω) by a simple singular
    value, the derivative is that of ``Re uᴴŴ(ω)v`` with the singular vectors u and v held fixed. It
    has a first derivative only.
    """
    found = grid_maximum(weight)
    factor = found.correction * ROUNDING_MARGIN
    frequency = torch.tensor(found.frequency, dtype=torch.float64, device=weight.device)
    matrix = transfer_matrix(weight.double(), frequency)
    with torch.no_grad():
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    value = (left[:, 0].conj() @ matrix @ right[0].conj()).real
    norm: Tensor = found.value * factor + (value - value.detach()) * factor
    return norm.to(weight.dtype)


def absolute_norm(weight: Tensor) -> float:
    """Bound on the norm of a convolution from the sizes of its kernel's entries alone.

    ``|Ŵ_ij(ω)| ≤ P_ij = Σ_k |W_ijk|`` for every ω, so ``‖Ŵ(ω)‖ ≤ ‖P‖_F``. It takes no search, and
    is close enough for the rounding error of a kernel.
    """
    return float(weight.detach().double().abs().flatten(2).sum(-1).square().sum().sqrt())


def _cropped(weight: Tensor) -> tuple[Tensor, list[int]]:
    """Cut the zeros around a kernel off, about its centre, and drop axes of length 1 then.

    One axis is left at least; the second value says which of the original ones are.
    """
    for axis in range(2, weight.ndim):
        others = [other for other in range(weight.ndim) if other != axis]
        used = torch.nonzero((weight != 0).any(dim=tuple(others))).flatten()
        centre = weight.shape[axis] // 2
        degree = int((used - centre).abs().max()) if len(used) else 0
        start, stop = centre - degree, min(weight.shape[axis], centre + degree + 1)
        weight = weight.narrow(axis, start, stop - start)
    axes = [axis for axis, width in enumerate(weight.shape[2:]) if width > 1] or [0]
    return weight.reshape(*weight.shape[:2], *[weight.shape[2 + axis] for axis in axes]), axes
