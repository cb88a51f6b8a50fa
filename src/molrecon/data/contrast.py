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

    Parameters
    ----------
    image
        Real, of any shape, its peak about 1.
    generator
        Source of randomness.
    monotone
        Whether the curve only rises: brighter tissue stays brighter. Else any tissue may become
        the brightest, as between T1w, T2w and FLAIR.

    Returns
    -------
    Tensor
        Not negative, 99.9th percentile 1, of the same shape.
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
    """Shade an image smoothly, by at most a factor ``exp(strongest)`` from end to end.

    Parameters
    ----------
    image
        Real ``(y, x)`` or ``(z, y, x)``.
    generator
        Source of randomness.
    strongest
        Largest strength, see `simulate_shading`; it is drawn uniformly from zero.
    """
    strength = uniform((0, strongest), generator)
    return image * simulate_shading(tuple(image.shape), generator=generator, strength=strength)
