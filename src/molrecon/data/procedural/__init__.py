"""Images drawn by chance, free of any licence and of any noise of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.data.procedural.canvas import OVERSAMPLING, finished, numpy_generator
from molrecon.data.procedural.dead_leaves import dead_leaves
from molrecon.data.procedural.ellipses import ellipses
from molrecon.data.procedural.gratings import gratings
from molrecon.data.procedural.vessels import vessels

__all__ = ["PROCEDURAL", "procedural_image"]


PROCEDURAL = {
    "dead-leaves": dead_leaves,
    "ellipses": ellipses,
    "gratings": gratings,
    "vessels": vessels,
}
"""Kinds of drawn images by name: functions of the canvas' size and a NumPy generator."""


def procedural_image(kind: str, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw an image of one kind of `PROCEDURAL`, float32 ``(y, x)``, 99.9th percentile 1.

    It is drawn with twice as many pixels and shrunk by cutting its k-space, so that its edges have
    the resolution, and the ringing, of a measured image. It is not negative.
    """
    canvas = (OVERSAMPLING * size[0], OVERSAMPLING * size[1])
    drawn = PROCEDURAL[kind](canvas, numpy_generator(generator))
    return finished(torch.from_numpy(drawn), size)
