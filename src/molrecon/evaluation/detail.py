"""How much of the contrast of small structures an image keeps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.errors import InputError


def detail_contrast(image: Tensor, reference: Tensor, *, width: float = 1.5) -> Tensor:
    """Return the share of the reference's detail that an image shows, ``(batch,)``.

    Detail is the magnitude less its Gaussian mean, d(x) = |x| − G∗|x|, and the share is the slope
    of a regression, ``⟨d(image), d(reference)⟩ / ‖d(reference)‖²``: 1 where all contrast is kept,
    below 1 for a blurred image, above 1 for a sharpened one. Noise that does not depend on the
    reference leaves its mean as it is, so unlike a gradient norm it does not take noise for detail.

    Parameters
    ----------
    image, reference
        Real or complex ``(batch, 1, *spatial)``, in the same units, of the same shape.
    width
        Standard deviation of the Gaussian in pixels, positive; borders are periodic.

    Raises
    ------
    InputError
        If the shapes differ, the width is not positive, or the reference shows no detail.
    """
    if image.shape != reference.shape:
        raise InputError(
            f"detail: the image has shape {tuple(image.shape)}, but the reference has "
            f"{tuple(reference.shape)}; compare images of the same shape"
        )
    if not 0 < width < math.inf:
        raise InputError(f"width is {width}, expected a positive number of pixels")
    first, second = (_detail(x.abs().double(), width) for x in (image, reference))
    power = second.square().sum(1)
    # What is left of a constant image is rounding, relative to its mean square.
    if not bool((power > 1e-20 * reference.abs().double().square().flatten(1).sum(1)).all()):
        raise InputError("detail: the reference is constant, expected an image with structures")
    return (first * second).sum(1) / power


def _detail(x: Tensor, width: float) -> Tensor:
    axes = tuple(range(2, x.ndim))
    spectrum = torch.fft.fftn(x, dim=axes)
    square = torch.zeros((), dtype=x.dtype, device=x.device)
    for axis in axes:
        k = 2 * math.pi * torch.fft.fftfreq(x.shape[axis], dtype=x.dtype, device=x.device)
        square = square + k.square().reshape([-1] + [1] * (x.ndim - 1 - axis))
    kept = 1 - torch.exp(-0.5 * width**2 * square)
    detail: Tensor = torch.fft.ifftn(spectrum * kept, dim=axes).real
    return detail.flatten(1)
