"""How much of an image an operator measures, and how much it leaves undetermined."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator, inner, norm

WEIGHT = 100.0
"""c: directions along which AᴴA is below about 1/c count as undetermined."""
ITERATIONS = 15
"""Of conjugate gradients: what more of them change is below 1 % of the share."""


@torch.no_grad()
def undetermined(A: LinearOperator) -> Tensor:
    """Share of a typical image's energy along directions that A hardly measures, ``(batch,)``.

    That is ``⟨v, (I + cAᴴA)⁻¹ v⟩ / ‖v‖²`` with c = 100, less the ``1/(1 + c)`` of a full scan. v
    has the spectrum of images, whose power in d axes falls with the frequency to d + 1, random
    phases from a fixed seed, and the support of A. Unlike the share of k-space that is not sampled
    it knows what coils make up for: it is 0.002 at 4× with variable density and 8 coils, 0.018 with
    equispaced lines. The unit of A counts, as it does for λ: maps of unit root sum of squares, and
    samples that are each worth one of a full grid. Where some eigenvalues are above 1, and that is
    larger, it is the same with the inverse squared.

    Parameters
    ----------
    A
        The forward operator.

    Returns
    -------
    Tensor
        Real, ``(A.batch,)``, in [0, 1]; 1 where it is not finite.

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
    solved = LinearSolver(rtol=1e-4, max_iterations=ITERATIONS)(A, WEIGHT, v).value
    size = norm(v).clamp_min(torch.finfo(v.real.dtype).tiny)
    most = WEIGHT / (1 + WEIGHT)  # of what is not measured at all
    share = inner(v, solved) / size.square() - (1 - most)
    # Less than a full scan leaves of what is measured many times, as the centre is by spokes, would
    # hide the rest. On a grid the first is the larger one.
    certain = (norm(solved) / size).square()
    share = torch.maximum(share, most * (certain - (1 - most) ** 2))
    return share.nan_to_num(nan=1.0).clamp(0, 1)


@torch.no_grad()
def measured_share(A: LinearOperator) -> Tensor:
    """Mean eigenvalue of AᴴA, ``(batch,)``: with MRI on a grid the share of k-space sampled.

    It is ``‖Av‖²/‖v‖²`` for one image of random phases from a fixed seed, where A sees anything
    (Hutchinson), so that the error falls with the root of the number of pixels. The unit of A
    counts as in `undetermined`.

    Parameters
    ----------
    A
        The forward operator.

    Returns
    -------
    Tensor
        Real, ``(A.batch,)``, at most 1: what is measured several times counts once.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Inpainting
    >>> from molrecon.operators.undetermined import measured_share
    >>> round(measured_share(Inpainting((torch.arange(16) % 4 > 0).expand(1, 1, 16, 16))).item(), 6)
    0.75
    """
    white = _random_phases(A)
    # Of a real image the signs are what is random.
    v = _of_every_sample(A, white if A.dtype.is_complex else white.real.sign())
    ratio = norm(A(v)) / norm(v).clamp_min(torch.finfo(v.real.dtype).tiny)
    return ratio.nan_to_num(nan=0.0).clamp(max=1).square()


def _random_phases(A: LinearOperator) -> Tensor:
    """Return complex numbers of size 1 and random phase on the grid of A, always the same."""
    generator = torch.Generator().manual_seed(0)
    phases = 2 * math.pi * torch.rand(A.shape_in[1:], dtype=torch.float64, generator=generator)
    return torch.polar(torch.ones_like(phases), phases)


def _typical_image(A: LinearOperator) -> Tensor:
    """Return an image of every sample in its first channel, zero where A sees nothing."""
    spatial = A.shape_in[1:]
    squares = torch.zeros(spatial, dtype=torch.float64)
    for axis, size in enumerate(spatial):
        frequency = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).square()
        squares = squares + frequency.reshape(-1, *[1] * (len(spatial) - 1 - axis))
    v = torch.fft.ifftn((1 + squares) ** (-(len(spatial) + 1) / 4) * _random_phases(A))
    return _of_every_sample(A, (v if A.dtype.is_complex else v.real) / v.abs().max())


def _of_every_sample(A: LinearOperator, image: Tensor) -> Tensor:
    """Return an image in the first channel of every sample of A, zero where A sees nothing."""
    channels = torch.zeros(A.shape_in, dtype=A.dtype)
    channels[0] = image
    images = channels.to(A.device).expand(A.batch, *A.shape_in)
    return images if A.support is None else images * A.support.to(images.real)
