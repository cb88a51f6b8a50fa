"""Series of a moving object from one image of it: a heartbeat, a breath, blood."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molrecon.data.randomness import integer, log_uniform, uniform

MARGIN = 8
"""Pixels around the frames from which what is outside may move in."""
STILL = 0.1
"""Share of series in which nothing moves."""
WHOLE = 0.3
"""Share of the others in which the whole object moves, as it does in breathing."""
REGIONS, RADII = (1, 3), (0.1, 0.45)
"""Number of regions that move by themselves, and their radii as a share of the shorter side."""
SHIFTS, SWELLING = (0.3, 6.0), (0.02, 0.35)
"""Largest displacement of a region in pixels, and by which share of its radius it contracts."""
BRIGHTNESS = 0.4
"""Largest relative change of the brightness of a region."""


def moving(image: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Return a series ``(t, y, x)`` of one period, of a real image with a margin.

    Regions of soft edges move, contract and change their brightness, all with smooth periodic time
    courses of their own; what is between them is still, or moves as a whole. Values are those of
    the image, resampled by cubic interpolation.

    Parameters
    ----------
    image
        Real, ``(y + 2 MARGIN, x + 2 MARGIN)``.
    frames
        Number of frames of the period.
    generator
        All is drawn from it.
    """
    size = torch.tensor([n - 2 * MARGIN for n in image.shape])
    rows, columns = (torch.arange(int(n), dtype=torch.float32) for n in size)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    displacement = torch.zeros(frames, *places.shape)
    brightness = torch.ones(frames, *places.shape[:2])
    if uniform((0, 1), generator) >= STILL:
        if uniform((0, 1), generator) < WHOLE:
            reach = torch.tensor(
                [_signed(log_uniform((0.3, 3.0), generator), generator) for _ in "yx"]
            )
            displacement += reach * _course(frames, generator)[:, None, None, None]
        for _ in range(integer(REGIONS, generator)):
            radius = uniform(RADII, generator) * float(size.min())
            centre = torch.tensor([uniform((0.15, 0.85), generator) * int(n) for n in size])
            stretch = torch.tensor([uniform((0.6, 1.0), generator) for _ in "yx"])
            away = (places - centre) / radius * stretch
            window = (-(away.square().sum(-1) ** 2)).exp()
            course = _course(frames, generator)[:, None, None]
            swelling = _signed(uniform(SWELLING, generator), generator) * radius
            displacement += (course * window)[..., None] * swelling * away
            reach = torch.tensor([_signed(log_uniform(SHIFTS, generator), generator) for _ in "yx"])
            displacement += (
                (_course(frames, generator)[:, None, None] * window)[..., None] * reach / 2
            )
            change = uniform((-BRIGHTNESS, BRIGHTNESS), generator)
            brightness *= 1 + change * window * _course(frames, generator)[:, None, None]
    moved = (places + MARGIN + displacement.clamp(-MARGIN, MARGIN)).flip(-1)
    # From pixels to the coordinates of `grid_sample`, -1 and 1 at the outer pixels.
    last = torch.tensor([image.shape[1] - 1, image.shape[0] - 1])
    grid = 2 * moved / last - 1
    source = image.expand(frames, 1, *image.shape)
    warped = torch.nn.functional.grid_sample(source, grid, mode="bicubic", align_corners=True)
    return (warped[:, 0] * brightness).clamp_min(0)


def _signed(value: float, generator: torch.Generator) -> float:
    return value if integer((0, 1), generator) else -value


def _course(frames: int, generator: torch.Generator) -> Tensor:
    """Draw a smooth function of one period, ``(t,)``, with a largest magnitude of 1."""
    phases = 2 * math.pi * torch.arange(frames) / frames
    course = torch.zeros(frames)
    for harmonic in (1, 2, 3):
        strength = uniform((0, 1), generator) / harmonic
        course += strength * torch.cos(harmonic * phases + uniform((0, 2 * math.pi), generator))
    return course / course.abs().max().clamp_min(1e-6)
