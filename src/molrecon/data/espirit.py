r"""ESPIRiT: coil maps as eigenvectors of a projection, in any number of axes.

The calibration matrix has as its rows all blocks of k-space of the width of a kernel. With P the
projection on its leading right singular vectors, ESPIRiT takes at every pixel the eigenvector of
``C(r)_{cd} = Σ_{p,q} P_{cp,dq} e^{2πi r·(p − q)/n} / kernel size`` whose eigenvalue is (close to) 1
(Uecker et al., Magn. Reson. Med. 71 (2014) 990).

C depends on P through ``R_{cd}[δ] = Σ_{p − q = δ} P_{cp,dq}`` alone, a kernel of twice
the width. Summing over the singular vectors first and transforming R, rather than every
singular vector for itself, makes volumes affordable: the work per pixel no longer grows with the
number of vectors. Pixels are worked on in chunks, so the matrices never exist all at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

POWER = 100
"""Power iterations that the eigenvector is that of. Where two eigenvalues nearly agree, as in the
background, the leading eigenvector turns with every rounding, and their result does not."""
SQUARINGS = 4
"""Squarings of a matrix on the way to that power: a product with a vector is memory traffic."""
CHUNK_BYTES = 2**20
"""Matrices that are worked on at once: they stay in the cache of a processor."""


def espirit(
    calibration: Tensor,
    shape: Sequence[int],
    *,
    kernel: Sequence[int],
    threshold: float,
    crop: float,
    sets: int = 1,
) -> Tensor:
    """Return sets of coil maps of unit root sum of squares, zero where there is no signal.

    Parameters
    ----------
    calibration
        Fully sampled centre of k-space, complex ``(coil, *widths)``, zero frequency at ``n // 2``.
    shape
        Spatial shape of the maps, complex64 ``(set, coil, *shape)``; in every pixel the first coil
        is real and positive.
    kernel
        Width of the kernels along every axis.
    threshold
        Singular values below this fraction of the largest are noise.
    crop
        Support is where the eigenvalue exceeds this.
    sets
        Number of sets, 1 or 2: the second has the eigenvector of the next eigenvalue where that
        exceeds ``crop`` too, as where the object folds. The sets are orthogonal in every pixel.
    """
    # In double precision: rounding grows by one over the gap between two eigenvalues.
    signal = _signal_projection(calibration.to(torch.complex128), kernel, threshold)
    correlation = _correlation(signal, kernel) / math.prod(kernel)
    coils, first, *rest = len(calibration), *shape
    maps = torch.zeros((sets, coils, *shape), dtype=torch.complex64, device=calibration.device)
    per_plane = coils**2 * math.prod(rest) * correlation.element_size()
    planes = max(1, CHUNK_BYTES // per_plane)
    for start in range(0, first, planes):
        chunk = slice(start, min(start + planes, first))
        matrices = _at_pixels(correlation, shape, chunk)
        maps[:, :, chunk] = _eigenvectors(matrices, crop, sets)
    return maps


def working_memory(
    coils: int, shape: Sequence[int], widths: Sequence[int], kernel: Sequence[int]
) -> tuple[int, int]:
    """Estimate the bytes that `espirit` holds at once beside its result, and its largest array's.

    The first is the larger of two: the calibration matrix, copied once, with its Gram matrix and
    the eigenvectors of that; and the matrices of a chunk of pixels with their eigenvectors.
    """
    number = 16
    columns = coils * math.prod(kernel)
    rows = math.prod(n - width + 1 for n, width in zip(widths, kernel, strict=True))
    plane = coils**2 * math.prod(shape[1:]) * number
    chunk = min(max(CHUNK_BYTES, plane), plane * shape[0])
    matrix, projection = rows * columns * number, columns**2 * number
    most = max(2 * matrix, matrix + 3 * projection, projection + 4 * chunk)
    return most, max(matrix, projection, chunk)


def map_eigenvalues(calibration: Tensor, *, kernel: Sequence[int], threshold: float) -> Tensor:
    """Return the eigenvalues at every pixel of the calibration region, ``(*widths, coil)``.

    They ascend. Coils that see one object through smooth maps have one eigenvalue near 1 where it
    is; arrays of several objects, such as slices, have more. The arguments are those of `espirit`.
    """
    signal = _signal_projection(calibration.to(torch.complex128), kernel, threshold)
    shape = calibration.shape[1:]
    correlation = _correlation(signal, kernel) / math.prod(kernel)
    matrices = _at_pixels(correlation, shape, slice(0, shape[0]))
    return Tensor(torch.linalg.eigvalsh(matrices.movedim((0, 1), (-2, -1))))


def _signal_projection(calibration: Tensor, kernel: Sequence[int], threshold: float) -> Tensor:
    """Return P as ``(coil, *kernel, coil, *kernel)``."""
    coils = len(calibration)
    blocks = calibration
    for axis, width in enumerate(kernel, start=1):
        blocks = blocks.unfold(axis, width, 1)
    # (coil, *positions, *kernel) to (position, coil · kernel).
    matrix = blocks.flatten(1, len(kernel)).movedim(1, 0).flatten(1)
    values, vectors = torch.linalg.eigh(matrix.mH @ matrix)
    kept = vectors[:, values > threshold**2 * values[-1]]
    # The rows of the matrix lie in the span of the conjugates.
    projection: Tensor = kept.conj() @ kept.mT
    return projection.reshape(coils, *kernel, coils, *kernel)


def _correlation(projection: Tensor, kernel: Sequence[int]) -> Tensor:
    """Return R as ``(coil, coil, *offsets)``, offset zero in the middle."""
    coils = projection.shape[0]
    # (coil, coil, *kernel of the first, all of the second).
    pairs = projection.movedim(len(kernel) + 1, 1).flatten(2 + len(kernel))
    result = projection.new_zeros((coils, coils, *(2 * width - 1 for width in kernel)))
    for number, q in enumerate(product(*map(range, kernel))):
        to = (slice(w - 1 - n, 2 * w - 1 - n) for n, w in zip(q, kernel, strict=True))
        result[(slice(None), slice(None), *to)] += pairs[..., number]
    return result


def _at_pixels(correlation: Tensor, shape: Sequence[int], chunk: slice) -> Tensor:
    """Return C as ``(coil, coil, pixels of the chunk, *rest)``."""
    result = correlation
    for axis, n in enumerate(shape):
        half = correlation.shape[2 + axis] // 2
        offsets = torch.arange(-half, half + 1, device=result.device, dtype=torch.float64)
        pixels = torch.arange(n, device=result.device, dtype=torch.float64) - n // 2
        if axis == 0:
            pixels = pixels[chunk]
        angle = 2 * math.pi / n * pixels[:, None] * offsets
        phases = torch.polar(torch.ones_like(angle), angle).to(result.dtype)
        result = torch.tensordot(result, phases, dims=([2], [1]))
    return result


def _eigenvectors(matrices: Tensor, crop: float, sets: int) -> Tensor:
    """Return leading eigenvectors of every matrix ``(coil, coil, *pixels)``, cropped.

    The first is what `POWER` power iterations from ``(1, …, 1)`` give, as in sigpy.
    """
    coils, _, *pixels = matrices.shape
    flat = matrices.flatten(2)
    # The eigenvalue is at most the trace, so most of the background is decided without it.
    trace = flat.diagonal(dim1=0, dim2=1).sum(1).real
    candidates = (trace > crop).nonzero().flatten()
    chosen = flat[:, :, candidates].permute(2, 0, 1).contiguous()
    first, eigenvalue = _powers(chosen)
    result = matrices.new_zeros((sets, coils, math.prod(pixels)))
    result[0, :, candidates] = _pinned(first.T) * (eigenvalue > crop)
    if sets > 1:
        second, value = _second(chosen, first)
        result[1, :, candidates] = _pinned(second.T) * (value > crop)
    return result.reshape(sets, coils, *pixels)


def _powers(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``C^POWER (1, …, 1)`` of unit length, and by how much the last power lengthened it.

    A matrix ``(pixel, coil, coil)`` is squared while that is less work than it saves.
    """
    tiny = torch.finfo(torch.float64).tiny
    vectors = matrices.new_ones(matrices.shape[:2])
    squared, rest = matrices, POWER - 1
    for level in range(SQUARINGS + 1):
        times = rest % 2 if level < SQUARINGS else rest
        for _ in range(times):
            vectors = (squared @ vectors[..., None])[..., 0]
            # Powers of small eigenvalues would vanish, and their direction with them.
            vectors /= _lengths(vectors).clamp_min(tiny)[:, None]
        rest //= 2
        if level < SQUARINGS:
            squared = squared @ squared
    last = (matrices @ vectors[..., None])[..., 0]
    growth = _lengths(last)
    return last / growth.clamp_min(tiny)[:, None], growth


def _second(matrices: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvector beside the first in the plane of the leading two, and its eigenvalue.

    It is orthogonal to the first, ``(pixel, coil)``, which is not quite an eigenvector where two
    eigenvalues nearly agree.
    """
    values, vectors = torch.linalg.eigh(matrices)
    leading = vectors[:, :, -2:]
    one, two = (leading.mH @ first[..., None])[..., 0].conj().unbind(1)
    second = leading[:, :, 0] * two[:, None] - leading[:, :, 1] * one[:, None]
    size = _lengths(second).clamp_min(torch.finfo(values.dtype).tiny)
    return second / size[:, None], values[:, -2]


def _lengths(vectors: Tensor) -> Tensor:
    """Return the length of every row; of real numbers it takes a tenth of the time."""
    return Tensor(torch.linalg.vector_norm(torch.view_as_real(vectors).flatten(1), dim=1))


def _pinned(vectors: Tensor) -> Tensor:
    """Make the first coil of ``(coil, pixels)`` real and positive."""
    first = vectors[0].abs()
    return vectors * torch.where(first > 0, vectors[0].conj() / first, 1)
