"""Random variations of crops: what images, volumes and series have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from molrecon.data.randomness import integer, log_uniform, uniform
from molrecon.data.resampling import fourier_resample
from molrecon.data.slices import SIGNAL
from molrecon.errors import InputError, shape_text

MARGIN = 8
"""Pixels around a crop that absorb the wrap-around of Fourier resampling."""
MULTIPLE = 8
"""Windows are multiples of it, which keeps the Fourier transforms fast."""
TRIES = 20
"""Windows drawn at most before one without an object is kept."""
LEAST_SIGNAL = 0.1
"""Share of the pixels above a tenth of the peak from which on a window shows an object."""
EMPTY_SHARE = 0.03
"""Share of the windows without an object that is kept: networks must see empty parts too."""
GAMMAS, AMPLITUDES = (0.7, 1.4), (0.5, 1.2)
"""Ranges of the exponent applied to the values, and of the factor after it."""


def require_room(
    size: Sequence[int],
    stacks: Iterable[tuple[Sequence[int], float]],
    what: str,
    *,
    fixed: int = 0,
) -> None:
    """Refuse crops that are larger than every image they could be cut from, turned and enlarged.

    Parameters
    ----------
    size
        Shape of a crop.
    stacks
        Shape of every image, and its largest scale: pixels after resampling per stored pixel.
    what
        Name of the images in the message, in the plural.
    fixed
        Number of leading axes that are neither turned nor enlarged, as that of time.
    """
    stacks = list(stacks)
    for shape, scale in stacks:
        sides = sorted(max(1.0, scale) * n for n in shape[fixed:])
        have = [*shape[:fixed], *sides]
        want = [*size[:fixed], *sorted(size[fixed:])]
        if all(n <= room for n, room in zip(want, have, strict=True)):
            return
    largest = max((shape for shape, _ in stacks), key=math.prod)
    raise InputError(
        f"The crops of {shape_text(size)} are larger than the {what}, of which the largest has "
        f"{shape_text(largest)}; take smaller crops."
    )


def draw_showing(
    draw: Callable[[], Tensor], generator: torch.Generator, *, empty_share: float = EMPTY_SHARE
) -> Tensor:
    """Draw windows until one shows an object, or is kept although it shows next to nothing.

    Those are windows ``(..., y, x)`` of an image whose peak is 1; ``empty_share`` is the
    probability with which one without an object is kept. After 20 tries the last one is.
    """
    for _ in range(TRIES):
        window = draw()
        signal = (window[..., ::4, ::4] > SIGNAL).float().mean().item()
        if signal >= LEAST_SIGNAL or uniform((0, 1), generator) < empty_share:
            break
    return window


def with_margins(size: Sequence[int]) -> tuple[int, ...]:
    """Return the size of a crop with `MARGIN` pixels on both sides of every axis."""
    return tuple(n + 2 * MARGIN for n in size)


def draw_window(
    image: Tensor, shape: Sequence[int], scale: float, generator: torch.Generator
) -> Tensor:
    """Cut a window from the last axes, at random; beyond the image ``(..., *spatial)`` it is zero.

    It has ``shape / scale`` pixels, rounded to multiples of 8: the scale is that of the resampling
    which brings it to the shape.
    """
    extent = [max(MULTIPLE, MULTIPLE * round(n / scale / MULTIPLE)) for n in shape]
    corner = [
        integer((min(0, have - want), max(0, have - want)), generator)
        for have, want in zip(image.shape[-len(extent) :], extent, strict=True)
    ]
    return padded_window(image, corner, extent)


def padded_window(image: Tensor, corner: Sequence[int], extent: Sequence[int]) -> Tensor:
    """Cut a window of an extent from the last axes; beyond the image it is zero.

    ``corner`` is its first pixel along each of them, which may lie outside the image.
    """
    ndim = len(extent)
    window = image.new_zeros(*image.shape[:-ndim], *extent)
    inner, outer = [], []
    for have, start, want in zip(image.shape[-ndim:], corner, extent, strict=True):
        low, high = max(0, start), min(have, start + want)
        inner.append(slice(low, high))
        outer.append(slice(low - start, high - start))
    window[trailing(outer)] = image[trailing(inner)]
    return window


def trailing(parts: Sequence[slice]) -> Any:
    """Return the index of parts of the last axes."""
    return (..., *parts)


def varied_crop(
    window: Tensor,
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    gammas: tuple[float, float] = GAMMAS,
    amplitudes: tuple[float, float] = AMPLITUDES,
) -> Tensor:
    """Turn a window into a crop: contrast changed, resampled, flipped at random and rescaled.

    Parameters
    ----------
    window
        Real, its peak 1; the last ``len(shape)`` axes are resampled.
    shape
        Shape of these axes after resampling, `MARGIN` included, which is cut off.
    gammas
        Range of the exponent applied to the values, log-uniform.
    amplitudes
        Range of the factor.
    """
    window = window ** log_uniform(gammas, generator)
    image = fourier_resample(_faded(window, shape), shape)
    image = image[trailing([slice(MARGIN, n - MARGIN) for n in shape])]
    for axis in range(image.ndim):
        if integer((0, 1), generator):
            image = image.flip(axis)
    return image * uniform(amplitudes, generator)


def _faded(window: Tensor, shape: Sequence[int]) -> Tensor:
    """Fade the margins out, so that the window is periodic and does not ring where it was cut."""
    ndim = len(shape)
    for axis in range(ndim):
        n = window.shape[axis - ndim]
        width = max(1, int(0.75 * MARGIN * n / shape[axis]))
        rise = torch.sin(torch.linspace(0, torch.pi / 2, width + 2)[1:-1]).square()
        ramp = torch.cat([rise, torch.ones(n - 2 * width), rise.flip(0)])
        window = window * ramp.reshape(-1, *[1] * (ndim - 1 - axis))
    return window
