"""Training images of two sources: those of files, in random contrasts, and drawn ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from molrecon.data.contrast import random_bias_field, random_contrast
from molrecon.data.crops import AMPLITUDES
from molrecon.data.images import ImagePool
from molrecon.data.procedural import PROCEDURAL, procedural_image
from molrecon.data.randomness import integer, uniform

CONTRASTS = {"as it is": 0.4, "monotone": 0.3, "any": 0.3}
"""Shares of crops whose values stay, are bent by a rising curve, or by any curve."""
SHADED = 0.5
"""Share of crops with a bias field."""


class MixedImages:
    """Random crops of the slices of files (see `load_slices`) and, in a share, of drawn images."""

    def __init__(self, files: Iterable[str | Path], *, procedural: float) -> None:
        self.slices = ImagePool(files)
        self.procedural = procedural

    def check(self, size: tuple[int, ...]) -> None:
        """Refuse crops ``(y, x)`` that are larger than every slice."""
        self.slices.check(size)

    def sample(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw one crop ``(y, x)``, float32, its peak between 0.5 and 1.2."""
        if uniform((0, 1), generator) < self.procedural:
            kind = sorted(PROCEDURAL)[integer((0, len(PROCEDURAL) - 1), generator)]
            image = procedural_image(kind, (size[0], size[1]), generator)
            amplitude = uniform(AMPLITUDES, generator)
        else:
            image = self.slices.sample(size, generator, amplitudes=(1.0, 1.0))
            amplitude = uniform(AMPLITUDES, generator)
            choice = uniform((0, 1), generator)
            if choice > CONTRASTS["as it is"]:
                monotone = choice < CONTRASTS["as it is"] + CONTRASTS["monotone"]
                image = random_contrast(image, generator, monotone=monotone)
        if uniform((0, 1), generator) < SHADED:
            image = random_bias_field(image, generator)
        return amplitude * image
