"""What all drawn images share: the canvas, and the way from it to an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molrecon.data.randomness import integer
from molrecon.data.resampling import fourier_resample
from molrecon.data.slices import peak_value

Canvas = NDArray[np.float32]
OVERSAMPLING = 2
"""Pixels of the canvas along each axis per pixel of the image."""


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Return a NumPy generator that depends on the next number of a PyTorch one alone."""
    return np.random.default_rng(integer((0, 2**31 - 2), generator))


def coordinates(size: tuple[int, int]) -> tuple[Canvas, Canvas]:
    """Return rows ``(y, 1)`` and columns ``(1, x)`` of a canvas, in pixels from its corner."""
    rows, columns = (np.arange(n, dtype=np.float32) for n in size)
    return rows[:, None], columns[None]


def finished(canvas: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrink a canvas to an image of peak 1 without negative values."""
    image = fourier_resample(canvas, size).clamp_min(0)
    return image / max(peak_value(image), 1e-3)
