"""Fine gratings, bars and points: what blur and aliasing destroy first."""

from __future__ import annotations

import math

import numpy as np

from molrecon.data.procedural.canvas import OVERSAMPLING, Canvas, coordinates


def gratings(size: tuple[int, int], rng: np.random.Generator) -> Canvas:
    """Draw patches of stripes of 2 to 12 image pixels a period, some of low contrast; points."""
    rows, columns = coordinates(size)
    canvas = np.full(size, rng.uniform(0.1, 0.6), dtype=np.float32)
    for _ in range(int(rng.integers(4, 16))):
        half = [rng.uniform(0.05, 0.25) * n for n in size]
        corner = [rng.uniform(-0.1, 0.9) * n for n in size]
        box = tuple(
            slice(max(0, int(c)), max(0, int(c + 2 * h))) for c, h in zip(corner, half, strict=True)
        )
        turn = rng.uniform(0, math.pi)
        period = OVERSAMPLING * math.exp(rng.uniform(math.log(2), math.log(12)))
        along = (
            np.float32(math.cos(turn)) * rows[box[0]]
            + np.float32(math.sin(turn)) * columns[:, box[1]]
        )
        wave = np.sin(np.float32(2 * math.pi / period) * along)
        if rng.uniform() < 0.5:
            wave = np.sign(wave)
        contrast = math.exp(rng.uniform(math.log(0.02), math.log(0.4)))
        canvas[box] = rng.uniform(0.2, 0.8) + contrast * wave
    points = int(rng.integers(0, 30))
    places = tuple(rng.integers(0, max(1, n - 3), points) for n in size)
    for y, x in zip(*places, strict=True):
        width = int(rng.integers(2, 5))
        canvas[y : y + width, x : x + width] += rng.uniform(-0.5, 0.5)
    return np.maximum(canvas, 0)
