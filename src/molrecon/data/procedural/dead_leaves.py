"""Dead leaves: shapes of all sizes that cover each other, as things in pictures do."""

from __future__ import annotations

import math

import numpy as np

from molrecon.data.procedural.canvas import Canvas, coordinates

POWER = 3.0
"""Number of leaves of radius r per unit of r falls as r to this power: the same at all scales."""


def dead_leaves(size: tuple[int, int], rng: np.random.Generator) -> Canvas:
    """Draw overlapping discs, ellipses and rectangles of random grey, shaded or textured.

    The statistics of edges are those of natural images at every scale (A. B. Lee, D. Mumford, J.
    Huang, Int. J. Comput. Vis. 41 (2001) 35).
    """
    canvas = np.full(size, rng.uniform(0, 0.4), dtype=np.float32)
    small, large = 3.0, 0.35 * min(size)
    for _ in range(int(rng.integers(80, 400))):
        # Inverse of the distribution function of a power law between two bounds.
        u, a = rng.uniform(), 1 - POWER
        radius = (small**a + u * (large**a - small**a)) ** (1 / a)
        _leaf(canvas, radius * rng.uniform(1, 3), rng)
    if rng.uniform() < 0.5:
        _surround(canvas, rng)
    return canvas


def _leaf(canvas: Canvas, radius: float, rng: np.random.Generator) -> None:
    """Draw one leaf over what is there."""
    centre = [rng.uniform(0, n) for n in canvas.shape]
    reach = math.ceil(1.5 * radius)
    box = tuple(
        slice(max(0, int(c) - reach), min(n, int(c) + reach + 1))
        for c, n in zip(centre, canvas.shape, strict=True)
    )
    rows, columns = coordinates(canvas.shape)
    dy, dx = rows[box[0]] - centre[0], columns[:, box[1]] - centre[1]
    turn = rng.uniform(0, math.pi)
    u = (math.cos(turn) * dx + math.sin(turn) * dy) / radius
    v = (math.cos(turn) * dy - math.sin(turn) * dx) / (radius * rng.uniform(0.3, 1))
    inside = u**2 + v**2 < 1 if rng.uniform() < 0.7 else np.maximum(abs(u), abs(v)) < 0.8
    value = rng.uniform(0, 1) * np.ones_like(u)
    kind = rng.uniform()
    if kind < 0.3:
        value = value * (1 + rng.uniform(-0.5, 0.5) * u)
    elif kind < 0.4:
        wave = rng.uniform(0.3, 1.5)
        value = value * (1 + 0.4 * np.sin(wave * radius * (u + rng.uniform(-1, 1) * v)))
    canvas[box][inside] = value[inside]


def _surround(canvas: Canvas, rng: np.random.Generator) -> None:
    """Leave an ellipse, as of a head or a body, and air around it."""
    rows, columns = coordinates(canvas.shape)
    ny, nx = canvas.shape
    u = (rows - ny / 2) / (rng.uniform(0.3, 0.55) * ny)
    v = (columns - nx / 2) / (rng.uniform(0.3, 0.55) * nx)
    canvas[u**2 + v**2 > 1] = 0
