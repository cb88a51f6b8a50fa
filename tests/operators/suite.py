"""The operators that `test_suite` puts through its checks: a new operator is one more line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pylops
import scipy.sparse.linalg
import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator
from molrecon.operators.blur import Blur
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.operators.inpainting import Inpainting
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.partial_fourier import PartialFourierMRI
from molrecon.operators.soft_sense import SoftSense
from molrecon.operators.super_resolution import SuperResolution
from molrecon.operators.wrapped import wrap_operator

from ..support import Dense, cartesian_mri, dynamic_mri, non_cartesian_mri, normal

REAL, COMPLEX = torch.float64, torch.complex128


def blur(
    shape: tuple[int, ...], *kernel: int, dtype: torch.dtype = REAL, own: bool = False
) -> Blur:
    """Make a blur with a random kernel ``(batch, channel, *size)``, complex if ``own``."""
    values = normal(*kernel, dtype=COMPLEX if own else REAL, seed=len(shape))
    return Blur(values, shape, dtype=dtype)


def super_resolution(
    shape: tuple[int, ...],
    factor: int | tuple[int, ...],
    *kernel: int,
    dtype: torch.dtype = REAL,
    own: bool = False,
) -> SuperResolution:
    """Make a super-resolution operator with such a kernel."""
    values = normal(*kernel, dtype=COMPLEX if own else REAL, seed=len(shape))
    return SuperResolution(shape, factor, values, dtype=dtype)


def blind_mri(spatial: tuple[int, ...], seed: int = 0) -> CartesianMRI:
    """Make an MRI operator whose coils see nothing in a random third of the pixels."""
    A = cartesian_mri(spatial, seed=seed)
    seen = torch.rand(spatial, generator=torch.Generator().manual_seed(seed)) < 2 / 3
    return CartesianMRI(A.coil_maps * seen, A.mask)


def soft_sense(spatial: tuple[int, ...], sets: int = 2, *, frames: bool = False) -> SoftSense:
    """Make an MRI operator with random sets of maps."""
    # Orthonormal in every pixel, as those of ESPIRiT.
    maps = torch.linalg.qr(normal(*spatial, 3, sets, dtype=COMPLEX))[0]
    maps = maps.movedim((-1, -2), (0, 1))[None]
    mask = torch.rand(spatial, generator=torch.Generator().manual_seed(1)) < 0.6
    return SoftSense(maps, mask[None, None], frames=frames)


def partial_fourier_mri(measured: MultiCoilMRI) -> PartialFourierMRI:
    """Complete the lowest columns of an operator, with a random phase."""
    spatial = measured.shape_in[1:]
    phase = normal(1, *measured.shape_in, dtype=COMPLEX, seed=4)
    edge = (torch.arange(spatial[-1]) < spatial[-1] // 2).expand(1, 1, *spatial)
    return PartialFourierMRI(measured, phase / phase.abs(), edge, weight=0.3)


def inpainting(*mask: int, weighted: bool = False, **arguments: Any) -> Inpainting:
    """Make an inpainting operator with a random mask."""
    draw = torch.rand(mask, generator=torch.Generator().manual_seed(2)).double()
    return Inpainting(draw if weighted else draw < 0.6, **{"dtype": REAL, **arguments})


def sparse(rows: int, columns: int) -> scipy.sparse.csr_array:
    """Make a random sparse matrix with entries of both signs."""
    random = np.random.default_rng(0)
    return scipy.sparse.random_array(
        (rows, columns), density=0.4, rng=random, data_sampler=random.standard_normal
    ).tocsr()


class Difference(LinearOperator):
    """Differences of neighbours along the last axis, as a user writes an operator."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype = REAL) -> None:
        super().__init__(shape, (*shape[:-1], shape[-1] - 1), dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return x.diff()

    def adjoint(self, y: Tensor) -> Tensor:
        return -torch.nn.functional.pad(y, (1, 1)).diff()


OPERATORS: dict[str, Callable[[], LinearOperator]] = {
    "mri, even": lambda: cartesian_mri((4, 6)),
    "mri, odd": lambda: cartesian_mri((5, 3)),
    "mri, one coil": lambda: cartesian_mri((3, 4), coils=1),
    "mri, 3D": lambda: cartesian_mri((2, 3, 4), coils=2),
    "mri, maps and masks per sample": lambda: cartesian_mri((3, 4), maps_batch=2, mask_batch=2),
    "mri, maps per sample": lambda: cartesian_mri((4, 3), maps_batch=2),
    "mri, masks per sample": lambda: cartesian_mri((4, 3), mask_batch=3),
    "mri, weighted mask": lambda: cartesian_mri((4, 5), weighted=True),
    "mri, 3D per sample": lambda: cartesian_mri((3, 2, 3), coils=2, maps_batch=2, mask_batch=2),
    "mri, coils that see a part each": lambda: blind_mri((4, 5)) + 0.5 * blind_mri((4, 5), seed=3),
    "mri, two sets of maps": lambda: soft_sense((3, 4)),
    "mri, three sets of maps, 3D": lambda: soft_sense((2, 3, 2), 3),
    "mri, two sets of maps, frames": lambda: soft_sense((2, 3, 2), frames=True),
    "mri, partial Fourier, even": lambda: partial_fourier_mri(cartesian_mri((4, 6), mask_batch=2)),
    "mri, partial Fourier, odd": lambda: partial_fourier_mri(cartesian_mri((3, 5))),
    "mri, partial Fourier, frames": lambda: partial_fourier_mri(dynamic_mri(2, (3, 4))),
    "mri, partial Fourier, two sets of maps": lambda: partial_fourier_mri(soft_sense((3, 4))),
    "mri, frames": lambda: dynamic_mri(3, (3, 4)),
    "mri, one frame": lambda: dynamic_mri(1, (4, 3), coils=2),
    "mri, frames, maps per frame": lambda: dynamic_mri(2, (3, 4), maps_frames=2),
    "mri, frames, per sample": lambda: dynamic_mri(2, (3, 2), maps_batch=2, mask_batch=2),
    "mri, frames, weighted masks per sample": lambda: dynamic_mri(
        2, (2, 3), mask_batch=3, weighted=True
    ),
    "mri, any points, even": lambda: non_cartesian_mri((4, 6), (3, 5)),
    "mri, any points, odd": lambda: non_cartesian_mri((5, 3), (11,), coils=1),
    "mri, any points, 3D": lambda: non_cartesian_mri((2, 3, 4), (5, 4)),
    "mri, any points, weighted, maps per sample": lambda: non_cartesian_mri(
        (4, 5), (3, 4), weighted=True, maps_batch=2
    ),
    "mri, any points, frames": lambda: non_cartesian_mri(
        (3, 4, 3), (2, 5), axes=2, planes=3, maps_frames=1, weighted=True
    ),
    "mri, any points, slices alike": lambda: non_cartesian_mri((3, 4, 2), (7,), axes=2, planes=1),
    "mri, any points, stack of stars": lambda: non_cartesian_mri(
        (3, 2, 4), (2, 4), axes=2, planes=1, stacked=True, weighted=True
    ),
    "mri, any points, stack, each turned": lambda: non_cartesian_mri(
        (4, 3, 2), (2, 3), axes=2, planes=4, stacked=True
    ),
    "denoising": lambda: Denoising((1, 5, 4), dtype=REAL),
    "denoising, colour, 1D": lambda: Denoising((3, 7), dtype=REAL),
    "denoising, complex, 3D": lambda: Denoising((1, 2, 3, 2), dtype=COMPLEX),
    "inpainting": lambda: inpainting(1, 1, 5, 4),
    "inpainting, colour": lambda: inpainting(1, 1, 3, 3, channels=3),
    "inpainting, mask per channel and sample": lambda: inpainting(2, 3, 2, 3),
    "inpainting, complex, 3D, weighted": lambda: inpainting(
        3, 1, 3, 2, 2, weighted=True, dtype=COMPLEX
    ),
    "blur, even": lambda: blur((1, 4, 6), 1, 1, 3, 3),
    "blur, odd": lambda: blur((1, 5, 3), 1, 1, 2, 3),
    "blur, 1D": lambda: blur((1, 9), 1, 1, 4),
    "blur, 3D": lambda: blur((1, 2, 3, 4), 1, 1, 2, 1, 3),
    "blur, colour": lambda: blur((3, 3, 3), 1, 1, 3, 2),
    "blur, kernel per channel and sample": lambda: blur((3, 2, 5), 2, 3, 2, 3),
    "blur, complex image": lambda: blur((1, 4, 3), 2, 1, 3, 3, dtype=COMPLEX),
    "blur, complex kernel": lambda: blur((1, 5, 4), 1, 1, 3, 4, dtype=COMPLEX, own=True),
    "super-resolution": lambda: super_resolution((1, 4, 6), 2, 1, 1, 3, 3),
    "super-resolution, odd": lambda: super_resolution((1, 6, 3), 3, 1, 1, 3, 3),
    "super-resolution, not a multiple": lambda: super_resolution((1, 5, 7), 2, 1, 1, 3, 4),
    "super-resolution, factor 3 of 8 by 4": lambda: super_resolution((1, 8, 4), 3, 1, 1, 3, 3),
    "super-resolution, one axis": lambda: super_resolution((1, 3, 6), (1, 3), 1, 1, 2, 5),
    "super-resolution, 1D": lambda: super_resolution((1, 8), 4, 1, 1, 6),
    "super-resolution, 3D": lambda: super_resolution((1, 2, 4, 2), 2, 1, 1, 2, 2, 2),
    "super-resolution, colour": lambda: super_resolution((3, 4, 2), 2, 1, 1, 3, 2),
    "super-resolution, kernel per channel and sample": lambda: super_resolution(
        (3, 3, 4), (3, 2), 2, 3, 3, 2
    ),
    "super-resolution, colour, not a multiple": lambda: super_resolution((3, 3, 3), 2, 2, 1, 2, 2),
    "super-resolution, complex image": lambda: super_resolution(
        (1, 4, 4), 2, 1, 1, 3, 3, dtype=COMPLEX
    ),
    "super-resolution, complex kernel": lambda: super_resolution(
        (1, 4, 6), 2, 2, 1, 3, 3, dtype=COMPLEX, own=True
    ),
    "matrix": lambda: Dense(normal(1, 3, 5)),
    "real matrix": lambda: Dense(normal(2, 6, 4, dtype=torch.float64)),
    "matrix, wrapped sparse": lambda: wrap_operator(sparse(7, 12), (1, 4, 3)),
    "matrix, wrapped real, of complex images": lambda: wrap_operator(sparse(5, 6), dtype=COMPLEX),
    "matrix, wrapped from scipy": lambda: wrap_operator(
        scipy.sparse.linalg.aslinearoperator(normal(4, 6).numpy()), (2, 3)
    ),
    "matrix, wrapped from pylops": lambda: wrap_operator(
        pylops.Gradient((3, 4), kind="forward") @ pylops.Smoothing2D((3, 3), (3, 4))
    ),
    "forward and adjoint alone": lambda: Difference((2, 5)),
    "forward and adjoint alone, complex": lambda: Difference((1, 4, 3), dtype=COMPLEX),
    "matrix, multiple": lambda: (2 - 1j) * Dense(normal(1, 3, 5)),
    "denoising, multiple": lambda: Denoising((1, 5, 4), dtype=REAL) * 0.3,
    "blur, a multiple for every sample": lambda: torch.tensor([-2.0, 0.5]) * blur((1, 6), 1, 1, 3),
    "mri of a blurred image": lambda: (
        cartesian_mri((4, 3), mask_batch=2) @ blur((1, 4, 3), 1, 1, 2, 3, dtype=COMPLEX)
    ),
    "mri, sum": lambda: cartesian_mri((4, 3)) + 2j * cartesian_mri((4, 3), mask_batch=2, seed=5),
    "matrix, difference": lambda: Dense(normal(1, 3, 5)) - Dense(normal(2, 3, 5, seed=1)),
    "adjoint of a matrix": lambda: Dense(normal(1, 3, 5)).H,
    "adjoint of a composition": lambda: (
        (blur((3, 2, 5), 2, 3, 2, 3) @ inpainting(1, 1, 2, 5, channels=3)).H
    ),
}
"""Makers of small operators in double precision (images of at most about 35 pixels), by name."""

WITHOUT_CLOSED_FORM = {
    name
    for name in OPERATORS
    if name.startswith(("mri", "matrix", "real matrix", "forward", "adjoint"))
    or "not a multiple" in name
    or "of 8 by 4" in name
}
"""Operators whose `resolvent` is None; all others have to have one."""
