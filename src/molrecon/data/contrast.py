"""Random contrasts: the same anatomy as another sequence, or another receive coil, shows it."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.data.phase import simulate_shading
from molrecon.data.randomness import integer, uniform
from molrecon.data.slices import peak_value

KNOTS = (3, 7)
"""Fewest and most pieces of a curve."""
STEEPEST = 4.0
"""Largest slope: a steeper curve would make noise of what little the source image has."""


def random_contrast(image: Tensor, generator: torch.Generator, *, monotone: bool) -> Tensor:
    """Bend the values of an image by a random piecewise linear curve; zero stays zero.

    The image is real, of any shape and a peak of about 1; the result is not negative, its 99.9th
    percentile 1. If the curve is not ``monotone``, any tissue may become the brightest, as between
    T1w, T2w and FLAIR.
    """
    pieces = integer(KNOTS, generator)
    heights = torch.rand(pieces, generator=generator)
    if monotone:
        heights = (heights + 0.15).cumsum(0)
    values = torch.cat([torch.zeros(1), heights])
    values = values / values.max().clamp_min(1e-3)
    slopes = (values.diff() * pieces).clamp(-STEEPEST, STEEPEST)
    values = torch.cat([torch.zeros(1), slopes.cumsum(0) / pieces])
    place = (image.clamp(0, 1) * pieces).clamp(max=pieces - 1e-4)
    lower = place.long()
    bent = values[lower] + (place - lower) * (values[lower + 1] - values[lower])
    bent = bent.clamp_min(0)
    return bent / max(peak_value(bent), 1e-3)


def random_bias_field(
    image: Tensor, generator: torch.Generator, *, strongest: float = 1.2
) -> Tensor:
    """Shade an image ``(y, x)`` or ``(z, y, x)`` smoothly, as a surface coil does.

    The strength is drawn uniformly from zero to the strongest, see `simulate_shading`.
    """
    strength = uniform((0, strongest), generator)
    return image * simulate_shading(tuple(image.shape), generator=generator, strength=strength)
