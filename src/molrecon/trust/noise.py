"""The noise of every pixel: standard deviation, signal-to-noise ratio and g-factor."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.start import as_sigma, require_plausible
from molrecon.trust.response import Response, require_effort

Way = Literal["replicas", "linearised"]

ENOUGH = 0.05
"""Accuracy of the solves: it lowers the map by less than 1 %, 20 times less than a hundred draws
leave open, for a fifth less work than 0.02."""


@dataclass(frozen=True, eq=False)
class NoiseMap:
    """How noisy every pixel of a reconstruction is, under the noise of its measurements.

    What is meant is the magnitude of a pixel, or the value of a real one: to first order its noise
    is the component along the phase of the pixel.

    Attributes
    ----------
    std
        Standard deviation of every pixel, ``(1, *A.shape_in)``, in the unit of the image.
    standard_error
        Of ``std``, of the same shape and unit: what the number of draws leaves open.
    image
        The image without added noise, ``(1, *A.shape_in)``.
    g_factor
        Of the shape of ``std``: ``std`` over that of a full scan with the same maps and noise,
        times 1/√R with R the acceleration: the factor that is lost beyond the shorter measurement,
        below 1 where a method removes noise. None where there are no coils; zero where none sees
        anything.
    sigma
        Standard deviation of the noise per sample, in the unit of the measurements; of a complex
        sample it is that of real and imaginary part together, √2 times that of each.
    way
        ``"replicas"`` or ``"linearised"``, see `noise_map`: what was done.
    count
        Number of draws.
    seconds
        Wall-clock time.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, ZeroFilled, noise_map
    >>> A = Denoising((1, 8, 8))
    >>> found = noise_map(ZeroFilled(), torch.ones(1, 1, 8, 8), A, sigma=0.1, count=50)
    >>> relative = found.standard_error / found.std
    >>> round(relative.mean().item(), 2)  # 1 / √(2 · 49)
    0.1
    """

    std: Tensor
    standard_error: Tensor
    image: Tensor
    g_factor: Tensor | None
    sigma: float
    way: Way
    count: int
    seconds: float

    @property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio of every pixel, ``|image| / std``; zero where there is no noise."""
        return ratio(self.image.abs(), self.std)


def noise_map(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    *,
    sigma: float | None = None,
    way: Way = "replicas",
    count: int = 32,
    batch: int = 1,
    x0: Tensor | None = None,
    accuracy: float = ENOUGH,
    seed: int = 0,
    progress: Progress = silent,
) -> NoiseMap:
    """Return the standard deviation of every pixel under the noise of the measurements.

    Noise of the scan's level is drawn again and again. With ``way="replicas"`` it is added to the
    measurements and the image reconstructed anew (pseudo multiple replicas, Robson et al., MRM
    2008), from where it was: this is the noise of the non-linear method, and holds for every
    method. With ``way="linearised"`` the derivative of the method is applied to it, which holds
    where the noise is small. What the method derives from the measurements (unit, σ, λ) is fixed,
    and so are coil maps and mask; thresholds that a guide sets follow the measurements, and their
    derivative is in ``"linearised"``. Where noise changes the image by so little that a difference
    of two images would be rounding, the derivative is used in any case. Noise is what is meant, not
    error: what a method gets wrong in the same way every time is not in it.

    Parameters
    ----------
    method
        The method.
    y
        Measurements of one image, ``(1, *A.shape_out)``.
    A
        The forward operator.
    sigma
        Standard deviation of the noise per sample in the unit of ``y``, taken as white; by default
        estimated from ``y``. Of a complex sample it is that of both parts together.
    way
        ``"replicas"`` or ``"linearised"``.
    count
        Number of draws N ≥ 2; the standard error of a value is the value over √(2N).
    batch
        Draws that are solved for together: memory grows with it. On a CPU one by one is fastest,
        since an image fits its cache.
    x0
        The image, if it is known, ``(1, *A.shape_in)``.
    accuracy
        Error that is allowed of the solves, relative to the change that noise makes.
    seed
        Seed of the draws.
    progress
        Called with what is being done, the number of draws done and their number.

    Returns
    -------
    NoiseMap
        The map with its standard error, SNR and g-factor.

    Raises
    ------
    InputError
        If an argument is out of range, or there is more than one image.
    ConvergenceError
        If a solve does not converge, or the noise is too small to tell from rounding and the method
        has no derivative.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, Denoising, noise_map
    >>> A = Denoising((1, 16, 16))
    >>> found = noise_map(SENSE(lam=9.0), torch.ones(1, 1, 16, 16), A, sigma=0.1, count=400)
    >>> round(found.std.mean().item(), 2), round(found.snr.mean().item())  # 0.9 of the noise
    (0.09, 10)
    """
    started = time.perf_counter()
    if way not in get_args(Way):
        raise InputError(f"way is {way!r}, expected one of {', '.join(get_args(Way))}; correct it")
    if count < 2:
        raise InputError(f"count is {count}, expected at least 2; correct it")
    require_effort(batch, accuracy, seed)
    level = float(as_sigma(A.estimate_sigma(y) if sigma is None else sigma, y)[0])
    require_plausible(level, y)
    pixels = torch.Size(A.shape_in).numel() if A.support is None else int(A.support.sum())

    def size_of_noise(image: Tensor) -> float:
        return level * math.sqrt(pixels)

    response = Response(method, y, A, size_of_noise, sigma=level, x0=x0, accuracy=accuracy)
    anew = way == "replicas" and not (response.linearised and method.differentiable)
    phase = unit_phase(response.image)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, *A.shape_in, dtype=torch.float64, device=y.device)
    squares = torch.zeros_like(total)
    apply = response.difference if anew else response.derivative
    for done in range(0, count, batch):
        progress("noise map", done, count)
        size = (min(batch, count - done), *A.shape_out)
        noise = torch.randn(size, generator=generator, dtype=y.dtype).to(y.device)
        along = (phase.conj() * apply(level * A.noise(noise))).real.double()
        total += along.sum(0, keepdim=True)
        squares += along.square().sum(0, keepdim=True)
    progress("noise map", count, count)
    # The derivative has no mean; that of replicas is estimated, which takes one draw.
    free = count - 1 if anew else count
    if anew:
        squares -= total.square() / count
    std = (squares.clamp_min(0) / free).sqrt().to(y.real.dtype)
    least = least_std(A, level)
    return NoiseMap(
        std=std,
        standard_error=std / (2 * free) ** 0.5,
        image=response.image,
        g_factor=None if least is None else ratio(std, least),
        sigma=level,
        way="replicas" if anew else "linearised",
        count=count,
        seconds=time.perf_counter() - started,
    )


def unit_phase(image: Tensor) -> Tensor:
    """Return ``image / |image|``, and 1 where the image is zero.

    Parameters
    ----------
    image
        Real or complex, of any shape.
    """
    size = image.abs()
    return torch.where(size > 0, image / size.clamp_min(torch.finfo(size.dtype).tiny), 1)


def least_std(A: LinearOperator, sigma: float) -> Tensor | None:
    """Return the noise of every pixel if nothing but time were lost: where the g-factor is 1.

    That is √R times the noise of a full scan, R the size of k-space over the number of its sampled
    points; its coils are combined with the maps S at the best SNR: ``σ / √(2 Σ|S|²)`` for the
    magnitude.

    Parameters
    ----------
    A
        The forward operator.
    sigma
        Standard deviation of the noise per complex sample.

    Returns
    -------
    Tensor or None
        Standard deviation, ``(1, *A.shape_in)``; None for operators without coils on a grid; zero
        where no coil sees anything.
    """
    if not isinstance(A, MultiCoilMRI):
        return None
    # The axis of the coils; of several sets of maps each has an image.
    coils = -A.ndim - 1
    power = A.coil_maps.abs().square().sum(coils, keepdim=True)
    sensitivity = power.flatten(1, coils).sqrt()
    mask: Tensor = A.mask
    level = sigma * float(mask.numel() / (mask != 0).sum() / 2) ** 0.5
    return ratio(torch.full_like(sensitivity, level), sensitivity).expand(1, *A.shape_in)


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """Return ``above / below``, and 0 where the divisor is none.

    Parameters
    ----------
    above, below
        Real, of shapes that broadcast; ``below`` ≥ 0.
    """
    tiny = torch.finfo(below.dtype).tiny
    return torch.where(below > 0, above / below.clamp_min(tiny), torch.zeros_like(above))
