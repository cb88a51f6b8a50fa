"""How much of an image an operator measures, and how much it leaves undetermined."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator, inner, norm

WEIGHT = 100.0
"""c: directions along which AᴴA is below about 1/c of its largest count as undetermined."""
ITERATIONS = 15
"""Of conjugate gradients: what more of them change is below 1 % of the share."""


@torch.no_grad()
def undetermined(A: LinearOperator) -> Tensor:
    """Share of a typical image's energy along directions that A hardly measures, ``(batch,)``.

    That is ``⟨v, (I + cAᴴA/‖A‖²)⁻¹ v⟩ / ‖v‖²`` with c = 100, less the ``1/(1 + c)`` of an operator
    that measures everything alike. v has the spectrum of images, whose power in d axes falls with
    the frequency to d + 1, random phases from a fixed seed, and the support of A. Unlike the share
    of k-space that is not sampled it knows what coils make up for: it is 0.002 at 4× with variable
    density and 8 coils, 0.018 with equispaced lines.

    Parameters
    ----------
    A
        The forward operator.

    Returns
    -------
    Tensor
        Real, ``(A.batch,)``, in [0, 1]; the same whatever unit A has.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Inpainting
    >>> mask = (torch.arange(16) % 2).expand(1, 1, 16, 16)
    >>> [round(undetermined(A).item(), 1) for A in (Denoising((1, 16, 16)), Inpainting(mask))]
    [0.0, 0.5]
    """
    # The module of the solver needs that of operators.
    from molrecon.linear.solver import LinearSolver

    v = _typical_image(A)
    c = WEIGHT / A.nominal_norm.to(v.real) ** 2
    solver = LinearSolver(rtol=1e-4, max_iterations=ITERATIONS)
    solved = solver(A, c, v).value
    energy = norm(v).square().clamp_min(torch.finfo(v.real.dtype).tiny)
    return (inner(v, solved) / energy - 1 / (1 + WEIGHT)).clamp(0, 1)


@torch.no_grad()
def measured_share(A: LinearOperator) -> Tensor:
    """Mean eigenvalue of ``AᴴA/‖A‖²``, ``(batch,)``: with MRI about the share of k-space sampled.

    It is ``‖Av‖²/(‖A‖‖v‖)²`` for one image of random phases from a fixed seed, where A sees
    anything (Hutchinson), so that the error falls with the root of the number of pixels.

    Parameters
    ----------
    A
        The forward operator.

    Returns
    -------
    Tensor
        Real, ``(A.batch,)``, in [0, 1]; the same whatever unit A has.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Inpainting
    >>> from molrecon.operators.undetermined import measured_share
    >>> round(measured_share(Inpainting((torch.arange(16) % 4 > 0).expand(1, 1, 16, 16))).item(), 6)
    0.75
    """
    generator = torch.Generator().manual_seed(0)
    phases = 2 * math.pi * torch.rand(A.shape_in, dtype=torch.float64, generator=generator)
    white = torch.polar(torch.ones_like(phases), phases)
    # Of a real image the signs are what is random.
    v = _of_every_sample(A, white if A.dtype.is_complex else white.real.sign())
    energy = norm(v).square().clamp_min(torch.finfo(v.real.dtype).tiny)
    return (norm(A(v)) ** 2 / (energy * A.nominal_norm.to(energy) ** 2)).clamp(0, 1)


def _typical_image(A: LinearOperator) -> Tensor:
    """Return an image of every sample in its first channel, zero where A sees nothing."""
    spatial = A.shape_in[1:]
    squares = torch.zeros(spatial, dtype=torch.float64)
    for axis, size in enumerate(spatial):
        frequency = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).square()
        squares = squares + frequency.reshape(-1, *[1] * (len(spatial) - 1 - axis))
    generator = torch.Generator().manual_seed(0)
    phases = 2 * math.pi * torch.rand(spatial, dtype=torch.float64, generator=generator)
    v = torch.fft.ifftn(torch.polar((1 + squares) ** (-(len(spatial) + 1) / 4), phases))
    typical = torch.zeros(A.shape_in, dtype=A.dtype)
    typical[0] = (v if A.dtype.is_complex else v.real) / v.abs().max()
    return _of_every_sample(A, typical)


def _of_every_sample(A: LinearOperator, image: Tensor) -> Tensor:
    """Return an image for every sample of A, zero where A sees nothing."""
    images = image.to(A.device, A.dtype).expand(A.batch, *A.shape_in)
    return images if A.support is None else images * A.support.to(images.real)
