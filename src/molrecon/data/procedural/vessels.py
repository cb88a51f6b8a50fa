"""Bright or dark vessels that wind, branch and grow thinner."""

from __future__ import annotations

import math

import numpy as np

from molrecon.data.procedural.canvas import OVERSAMPLING, Canvas

STEPS = 60
"""Segments of one vessel before it ends."""


def vessels(size: tuple[int, int], rng: np.random.Generator) -> Canvas:
    """Draw trees of vessels of half to four image pixels' width on a smooth background."""
    ny, nx = size
    y, x = (
        np.linspace(-1, 1, ny, dtype=np.float32)[:, None],
        np.linspace(-1, 1, nx, dtype=np.float32),
    )
    waves = rng.normal(0, 1, 4).astype(np.float32)
    level = rng.uniform(0.1, 0.5)
    canvas = level * (1 + 0.3 * np.sin(3 * (waves[0] * y + waves[1] * x) + 3 * waves[2]))
    canvas = np.ascontiguousarray(canvas, dtype=np.float32)
    for _ in range(int(rng.integers(2, 8))):
        width = OVERSAMPLING * math.exp(rng.uniform(math.log(0.7), math.log(4)))
        value = rng.uniform(0.4, 1) if rng.uniform() < 0.7 else 0.0
        start = (rng.uniform(0, ny), rng.uniform(0, nx), rng.uniform(0, 2 * math.pi))
        _grow(canvas, start, width, value, rng)
    return canvas


def _grow(
    canvas: Canvas,
    start: tuple[float, float, float],
    width: float,
    value: float,
    rng: np.random.Generator,
) -> None:
    """Draw a vessel from a point in a direction, and its branches."""
    branches = [(*start, width)]
    bend = rng.uniform(0.05, 0.25)
    for _ in range(12):
        if not branches:
            return
        y, x, angle, width = branches.pop()
        for _ in range(STEPS):
            _disc(canvas, y, x, width / 2, value)
            angle += bend * rng.normal()
            step = max(1.0, width / 3)
            y, x = y + step * math.sin(angle), x + step * math.cos(angle)
            if rng.uniform() < 0.04 and width > OVERSAMPLING:
                branches.append(
                    (y, x, angle + rng.choice([-1, 1]) * rng.uniform(0.3, 0.9), 0.7 * width)
                )
                width *= 0.9


def _disc(canvas: Canvas, y: float, x: float, radius: float, value: float) -> None:
    reach = math.ceil(radius)
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    part = canvas[
        top : int(y) + reach + 1 if y > 0 else 0, left : int(x) + reach + 1 if x > 0 else 0
    ]
    if part.size == 0:
        return
    dy = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(left, left + part.shape[1], dtype=np.float32) - np.float32(x)
    part[dy * dy + dx * dx <= radius * radius] = value
