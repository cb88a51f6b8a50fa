"""Measured or inferred: which share of every pixel and spatial frequency the data determine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, norm
from molrecon.operators.fourier import fft_centred, ifft_centred
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor
from molrecon.trust.response import Response, require_effort

ACCURACY = 0.05
"""Error of a product with the resolution operator, relative to it."""

STEP = 0.02
"""Size of a finite difference, relative to the image, for methods without a derivative."""


@dataclass(frozen=True, eq=False)
class DataShare:
    """How much of an image was measured, and how much inferred.

    With R the resolution operator, ``∂image / ∂(true image)`` through the measurements, a map holds
    its diagonal, cut to [0, 1]: a small change of the truth at one place comes back at this place
    by so much. 1: measured. 0: what stands there is what the method expects, whatever the truth.

    Attributes
    ----------
    pixels
        Share of the data in every pixel, ``(1, *A.shape_in)``.
    frequencies
        Share of the data in every sample of the image's k-space, zero frequency at ``n // 2``, of
        the same shape.
    standard_error
        Of one value of ``pixels`` and one of ``frequencies``, from what the probes show in
        quadrature, where a diagonal has nothing; None for real images, which have no quadrature.
    seconds
        Wall-clock time.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, CartesianMRI, data_share
    >>> mask = torch.arange(8).reshape(1, 1, 1, 8).expand(1, 1, 8, 8) < 6  # partial Fourier
    >>> A = CartesianMRI(torch.ones(1, 1, 8, 8) + 0j, mask)
    >>> found = data_share(SENSE(9.0), A(torch.ones(1, 1, 8, 8) + 0j), A)
    >>> round(found.frequencies.mean().item(), 3)  # 6 of 8 columns with a share of 0.9
    0.675
    """

    pixels: Tensor
    frequencies: Tensor
    standard_error: tuple[float, float] | None
    seconds: float

    def facts(self) -> dict[str, Any]:
        """Return the means over all pixels and samples, the standard errors and the time."""
        return {
            "pixels": float(self.pixels.double().mean()),
            "frequencies": float(self.frequencies.double().mean()),
            "standard_error": self.standard_error,
            "seconds": self.seconds,
        }


def data_share(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    *,
    sigma: float | None = None,
    spacing: int = 4,
    batch: int = 4,
    x0: Tensor | None = None,
    accuracy: float = ACCURACY,
    seed: int = 0,
    progress: Progress = silent,
) -> DataShare:
    """Return the share of the data in every pixel and in every sample of the image's k-space.

    The diagonal of the resolution operator ``R = ∂image/∂y A`` is probed: random phases v on a
    lattice of pixels, shifted until all are covered, show ``conj(v) · Rv``; the same in k-space.
    What the method derives from the measurements (unit, σ, λ, thresholds of a guide) is fixed.

    Parameters
    ----------
    method
        The method; one without a derivative is probed by small finite differences.
    y
        Measurements of one image, ``(1, *A.shape_out)``.
    A
        The forward operator.
    sigma
        Standard deviation of the noise per sample in the unit of ``y``; by default estimated where
        the method needs it.
    spacing
        Distance of the probes along every axis, in pixels: the larger, the less do they disturb
        each other. There are two solves for every shift of the lattice.
    batch
        Probes that are solved for together: memory grows with it.
    x0
        The image, if it is known, ``(1, *A.shape_in)``.
    accuracy
        Error that is allowed of the solves, relative to their result.
    seed
        Seed of the phases.
    progress
        Called with what is being done, the number of probes done and their number.

    Returns
    -------
    DataShare
        Both maps.

    Raises
    ------
    InputError
        If an argument is out of range or there is more than one image.
    ConvergenceError
        If a solve does not converge.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, Inpainting, data_share
    >>> mask = torch.tensor([[True, False], [True, True]]).repeat(4, 4).reshape(1, 1, 8, 8)
    >>> A = Inpainting(mask)
    >>> found = data_share(SENSE(lam=9.0), torch.ones(1, 1, 8, 8) * mask, A)
    >>> found.pixels[0, 0, :2, :2]  # 9 / (1 + 9) where there are data
    tensor([[0.9000, 0.0000],
            [0.9000, 0.9000]])
    """
    started = time.perf_counter()
    require_effort(batch, accuracy, seed)
    if spacing < 1:
        raise InputError(f"spacing is {spacing}, expected at least 1; correct it")
    ndim = len(A.shape_in) - 1

    def size(image: Tensor) -> float:
        return STEP * float(norm(image))

    smooth = method.differentiable
    response = Response(method, y, A, size, guided=False, sigma=sigma, x0=x0, accuracy=accuracy)
    step = 1.0 if smooth else size(response.image) / (response.image.numel() / spacing**ndim) ** 0.5
    apply = response.derivative if smooth else response.difference

    def product(v: Tensor) -> Tensor:
        if v.is_complex() and not y.is_complex():
            return torch.complex(product(v.real), product(v.imag))
        return apply(step * A(v)) / step

    def between(v: Tensor) -> Tensor:
        return fft_centred(product(ifft_centred(v, ndim)), ndim)

    shifts = list(itertools.product(*(range(spacing) for _ in range(ndim))))
    generator = torch.Generator().manual_seed(seed)
    total = 2 * len(shifts)
    found = []
    for number, apply_in in enumerate((product, between)):
        diagonal = torch.zeros(1, *A.shape_in, dtype=torch.complex128, device=y.device)
        for done in range(0, len(shifts), batch):
            progress("share of the data", number * len(shifts) + done, total)
            chosen = shifts[done : done + batch]
            kind = y.dtype if number == 0 else y.dtype.to_complex()
            v = _phases(A.shape_in, spacing, chosen, kind, generator).to(y.device)
            diagonal += (v.conj() * apply_in(v)).sum(0, keepdim=True)
        found.append(diagonal)
    progress("share of the data", total, total)
    pixels, frequencies = (one.real.clamp(0, 1).to(y.real.dtype) for one in found)
    errors = tuple(float(one.imag.square().mean().sqrt()) for one in found)
    return DataShare(
        pixels=pixels,
        frequencies=frequencies,
        standard_error=(errors[0], errors[1]) if y.is_complex() else None,
        seconds=time.perf_counter() - started,
    )


def _phases(
    shape: Sequence[int],
    spacing: int,
    shifts: Sequence[Sequence[int]],
    dtype: torch.dtype,
    generator: torch.Generator,
) -> Tensor:
    """Draw random phases (signs, if they are to be real) on the lattice of every shift."""
    v = torch.zeros(len(shifts), *shape, dtype=dtype)
    for one, shift in zip(v, shifts, strict=True):
        place = (slice(None), *(slice(start, None, spacing) for start in shift))
        draw = torch.rand(one[place].shape, generator=generator, dtype=v.real.dtype)
        one[place] = (
            torch.polar(torch.ones_like(draw), 2 * torch.pi * draw)
            if v.is_complex()
            else (torch.where(draw < 0.5, 1.0, -1.0))
        )
    return v
