"""Ellipses within an ellipse: the phantom of Shepp and Logan, by chance."""

from __future__ import annotations

import math

import numpy as np

from molrecon.data.procedural.canvas import Canvas, coordinates


def ellipses(size: tuple[int, int], rng: np.random.Generator) -> Canvas:
    """Draw a bright rim, tissue within it, and ellipses that add to it or take from it."""
    canvas = np.zeros(size, dtype=np.float32)
    half = np.array([rng.uniform(0.35, 0.49) * n for n in size])
    middle = np.array([n * rng.uniform(0.47, 0.53) for n in size])
    _add(canvas, middle, half, 0.0, rng.uniform(0.3, 1))
    rim = rng.uniform(0.85, 0.96)
    _add(canvas, middle, rim * half, 0.0, -rng.uniform(0.1, 0.6) * float(canvas.max()))
    for _ in range(int(rng.integers(5, 40))):
        shape = half * np.exp(rng.uniform(math.log(0.02), math.log(0.4), 2))
        where = middle + half * rng.uniform(-0.7, 0.7, 2)
        _add(canvas, where, shape, rng.uniform(0, math.pi), rng.uniform(-0.3, 0.3))
    return np.maximum(canvas, 0)


def _add(canvas: Canvas, centre: np.ndarray, half: np.ndarray, turn: float, value: float) -> None:
    rows, columns = coordinates(canvas.shape)
    dy, dx = rows - np.float32(centre[0]), columns - np.float32(centre[1])
    cosine, sine = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    u = (cosine * dy - sine * dx) / np.float32(max(half[0], 1.5))
    v = (sine * dy + cosine * dx) / np.float32(max(half[1], 1.5))
    canvas[u * u + v * v < 1] += value
