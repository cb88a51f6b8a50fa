"""Coil compression: a few virtual coils in place of many, with the error it makes.

The virtual coils are the strongest principal combinations of the coils. They are the same
everywhere (SVD), or those of each position along the readout (geometric): there fewer coils see
anything, so that fewer combinations hold as much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.data.scan import Scan
from molrecon.data.whitening import with_mixed_coils
from molrecon.errors import InputError
from molrecon.operators.fourier import centred_slices, fft_centred, ifft_centred

KINDS = ("geometric", "svd")
AUTO_ERROR = 1e-4
"""Share of the energy of k-space that may be lost where the number of coils is chosen: 1 % of its
root, in what is mostly noise."""


@dataclass(frozen=True, eq=False)
class Compression:
    """What a compression did."""

    coils: int  # number of virtual coils
    kind: str
    # Share of the energy of the measured k-space that is in none of them: that of the discarded
    # singular values.
    error: float
    # complex64 ``(coil, old coil)``, or ``(position, coil, old coil)`` along the readout; its rows
    # are orthonormal, so that white noise stays white and keeps its level.
    matrix: Tensor


def compress_coils(
    scan: Scan, coils: int | str, kind: str = "geometric"
) -> tuple[Scan, Compression | None]:
    """Return the scan with few virtual coils, and what that did; None if there are as few already.

    Parameters
    ----------
    scan
        One item of a scan; prewhitened, if its noise is to stay white.
    coils
        Number of virtual coils; ``"auto"`` for the fewest that lose at most `AUTO_ERROR` of the
        energy.
    kind
        ``"geometric"`` needs a fully sampled readout; without one, the combinations are the same
        everywhere, as with ``"svd"``.

    Raises
    ------
    InputError
        If ``coils`` or ``kind`` is none of these.

    References
    ----------
    T. Zhang et al., "Coil compression for accelerated imaging with Cartesian sampling", Magn.
    Reson. Med. 69 (2013) 571.

    Examples
    --------
    >>> mixing = torch.randn(6, 2, dtype=torch.complex64)
    >>> kspace = torch.tensordot(mixing, torch.randn(2, 16, 16, dtype=torch.complex64), dims=1)
    >>> compressed, what = compress_coils(Scan(kspace[None]), "auto", "svd")
    >>> compressed.kspace.shape, what.coils, what.error < 1e-6
    (torch.Size([1, 2, 16, 16]), 2, True)
    """
    require_compression(coils, kind)
    if isinstance(coils, int) and coils >= scan.kspace.shape[1]:
        return scan, None
    axis = _readout(scan) if kind == "geometric" else None
    if axis is None:
        return _everywhere(scan, coils)
    return _by_position(scan, coils, axis)


def require_compression(coils: int | str, kind: str) -> None:
    """Refuse a number of virtual coils or a kind that there is not."""
    if kind not in KINDS:
        raise InputError(
            f"compression is {kind!r}, expected one of {', '.join(KINDS)}; choose one of them."
        )
    if coils != "auto" and not (isinstance(coils, int) and coils >= 1):
        raise InputError(
            f"coils is {coils!r}, expected a whole number from 1, or 'auto'; correct it or leave "
            "it out."
        )


def _readout(scan: Scan) -> int | None:
    """Return the tensor axis of the first fully sampled spatial axis; None if there is none."""
    axes = range(int(scan.axes.time), scan.ndim)
    return next((2 + axis for axis in axes if scan.is_sampled_along(axis)), None)


def _everywhere(scan: Scan, coils: int | str) -> tuple[Scan, Compression | None]:
    samples = scan.kspace.movedim(1, 0).flatten(1).to(torch.complex128)
    values, vectors = torch.linalg.eigh(samples @ samples.mH)
    values = values.clamp_min(0)
    count = _count(values, coils)
    if count == len(values):
        return scan, None
    matrix = vectors[:, -count:].flip(1).mH.to(torch.complex64).contiguous()
    error = float(values[:-count].sum() / values.sum())
    return with_mixed_coils(scan, matrix), Compression(count, "svd", error, matrix)


def _by_position(scan: Scan, coils: int | str, axis: int) -> tuple[Scan, Compression | None]:
    hybrid = ifft_centred(scan.kspace.movedim(axis, -1), 1)
    samples = hybrid.movedim((-1, 1), (0, 1)).flatten(2).to(torch.complex128)
    values, vectors = torch.linalg.eigh(samples @ samples.mH)
    values = values.clamp_min(0)
    count = _count(values.sum(0), coils)
    if count == values.shape[1]:
        return scan, None
    rows = vectors[:, :, -count:].flip(2).mH
    matrix = _aligned(rows, int(values.sum(1).argmax())).to(torch.complex64).contiguous()
    error = float(values[:, :-count].sum() / values.sum())
    kspace = _to_kspace(matrix, hybrid).movedim(-1, axis).contiguous()
    maps = scan.coil_maps
    if maps is not None:
        coil_axis, place = scan.coil_axis, axis - scan.kspace.ndim
        moved = _mixed(matrix, maps.movedim((coil_axis, place), (1, -1)))
        maps = moved.movedim((1, -1), (coil_axis, place)).contiguous()
    calibration = scan.calibration
    if calibration is not None:
        calibration = _of_calibration(matrix, calibration, axis - scan.kspace.ndim)
    noise = scan.noise
    if noise is not None:
        # White noise is the same in any orthonormal combinations: those of the middle serve.
        noise = matrix[len(matrix) // 2] @ noise
    changed = replace(scan, kspace=kspace, coil_maps=maps, calibration=calibration, noise=noise)
    return changed, Compression(count, "geometric", error, matrix)


def _count(values: Tensor, coils: int | str) -> int:
    """Return the number of virtual coils for singular values whose squares rise."""
    if isinstance(coils, int):
        return coils
    lost = values.cumsum(0) / values.sum()
    return max(1, len(values) - int((lost <= AUTO_ERROR).sum()))


def _aligned(rows: Tensor, start: int) -> Tensor:
    """Turn the combinations of each position towards those of its neighbour.

    Principal combinations have arbitrary phases, and change places where two are equally strong;
    coil maps of them would not be smooth. Of all bases of the same space the nearest to the
    neighbour's is that of an orthogonal Procrustes problem.
    """
    result = rows.clone()
    for first, stop, step in ((start + 1, len(rows), 1), (start - 1, -1, -1)):
        for position in range(first, stop, step):
            left, _, right = torch.linalg.svd(result[position - step] @ rows[position].mH)
            result[position] = left @ right @ rows[position]
    return result


def _mixed(matrix: Tensor, hybrid: Tensor) -> Tensor:
    """Combine the coils of ``(batch, coil, …, position)`` by ``(position, new coil, coil)``."""
    moved = hybrid.movedim(-1, 0)
    flat = moved.flatten(3) if moved.ndim > 3 else moved[..., None]
    found = torch.einsum("xdc,xbcn->xbdn", matrix, flat)
    return found.reshape(*found.shape[:3], *moved.shape[3:]).movedim(0, -1)


def _to_kspace(matrix: Tensor, hybrid: Tensor) -> Tensor:
    return fft_centred(_mixed(matrix, hybrid), 1)


def _of_calibration(matrix: Tensor, calibration: Tensor, place: int) -> Tensor:
    """Combine data that are narrower along the readout, at the resolution of k-space."""
    moved = calibration.movedim(place, -1)
    (part,) = centred_slices((len(matrix),), moved.shape[-1:])
    wide = moved.new_zeros((*moved.shape[:-1], len(matrix)))
    wide[..., part] = moved
    found = _to_kspace(matrix, ifft_centred(wide, 1))[..., part]
    return found.movedim(-1, place).contiguous()
