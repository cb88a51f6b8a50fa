"""White complex noise on k-space samples."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.errors import InputError


def add_noise(
    kspace: Tensor,
    sigma: float | Tensor,
    *,
    mask: Tensor | None = None,
    generator: torch.Generator,
) -> Tensor:
    """Add white circular complex Gaussian noise to k-space.

    Parameters
    ----------
    kspace
        Complex k-space of any shape.
    sigma
        Standard deviation per complex sample, ``sqrt(E|n|²)``, in the units of ``kspace``: real
        and imaginary part have ``sigma / √2`` each. A tensor is broadcast to the shape of
        ``kspace``.
    mask
        Boolean, of a shape that is broadcast to that of ``kspace``; noise is added where it is
        true only. All samples when not given.
    generator
        Source of randomness, on the device of ``kspace``.

    Returns
    -------
    Tensor
        The noisy k-space, of the same shape; ``kspace`` itself is left as it was.

    Raises
    ------
    InputError
        If ``sigma`` is negative or not finite.

    Examples
    --------
    >>> kspace = torch.zeros(1, 1, 100, 100, dtype=torch.complex64)
    >>> noisy = add_noise(kspace, 0.5, generator=torch.Generator().manual_seed(0))
    >>> round(noisy.abs().square().mean().sqrt().item(), 2)
    0.5
    """
    scale = torch.as_tensor(sigma, dtype=kspace.real.dtype, device=kspace.device)
    if not bool((torch.isfinite(scale) & (scale >= 0)).all()):
        raise InputError(
            f"noise: sigma is {sigma}; give a finite standard deviation of at least 0."
        )
    # Complex randn has unit variance per complex sample, as sigma is defined.
    noise = scale * torch.randn(
        kspace.shape, dtype=kspace.dtype, device=kspace.device, generator=generator
    )
    return kspace + (noise if mask is None else noise * mask)
