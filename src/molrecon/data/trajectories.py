"""Trajectories through k-space: radial spokes, also by the golden angle, and spirals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.errors import InputError

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""111.25°: spokes of any number in a row cover the circle almost evenly (Winkelmann 2007)."""


def radial_trajectory(
    shape: Sequence[int], spokes: int, *, samples: int | None = None, golden: bool = False
) -> Tensor:
    """Positions of straight lines through the centre of k-space, ``(spokes, samples, 2)``.

    Parameters
    ----------
    shape
        Pixels (y, x) of the image; a spoke reaches from edge to edge.
    spokes
        Number of lines, at least 1.
    samples
        Samples of a line, at least 2; by default twice the pixels of the longer axis, the usual
        oversampling of readouts.
    golden
        Whether lines follow each other by the golden angle, so that those of any frame of a series
        cover k-space; by default they are spread evenly over half a turn.

    Returns
    -------
    Tensor
        float64, cycles per field of view, as `NonCartesianMRI` takes them.

    Raises
    ------
    InputError
        If a number is too small.

    Examples
    --------
    >>> from molrecon import radial_trajectory
    >>> trajectory = radial_trajectory((64, 64), spokes=2)
    >>> trajectory.shape, trajectory[0, -1].tolist(), trajectory[1, 64].tolist()
    (torch.Size([2, 128, 2]), [0.0, 31.5], [0.0, 0.0])
    """
    lengths = _plane(shape)
    count = 2 * max(shape) if samples is None else samples
    _require("spokes", spokes, 1)
    _require("samples", count, 2)
    step = GOLDEN_ANGLE if golden else math.pi / spokes
    angles = torch.arange(spokes, dtype=torch.float64) * step
    along = torch.arange(count, dtype=torch.float64) / count - (count // 2) / count
    direction = torch.stack([angles.sin(), angles.cos()], -1)
    return direction[:, None] * along[None, :, None] * lengths


def spiral_trajectory(
    shape: Sequence[int], arms: int, *, turns: float | None = None, samples: int | None = None
) -> Tensor:
    """Positions of Archimedean spirals from the centre of k-space, ``(arms, samples, 2)``.

    Parameters
    ----------
    shape
        Pixels (y, x) of the image; an arm ends at the edge.
    arms
        Number of interleaved arms, at least 1.
    turns
        Turns of an arm; by default an eighth of the longer axis divided by ``arms``, a quarter of
        what would sample the field of view completely.
    samples
        Samples of an arm, at least 2; by default two for each cycle of its length, at least twice
        the pixels of the longer axis.

    Returns
    -------
    Tensor
        float64, cycles per field of view, as `NonCartesianMRI` takes them.

    Raises
    ------
    InputError
        If a number is too small.

    Examples
    --------
    >>> from molrecon import spiral_trajectory
    >>> trajectory = spiral_trajectory((64, 64), arms=4)
    >>> trajectory.shape, bool(trajectory[:, 0].abs().max() == 0)
    (torch.Size([4, 403, 2]), True)
    """
    lengths = _plane(shape)
    _require("arms", arms, 1)
    turns = max(shape) / (8 * arms) if turns is None else turns
    require_positive("turns", turns)
    along_arm = math.pi * turns * max(shape) / 2
    count = max(2 * max(shape), math.ceil(2 * along_arm)) if samples is None else samples
    _require("samples", count, 2)
    part = torch.arange(count, dtype=torch.float64) / count
    angles = 2 * math.pi * (turns * part + torch.arange(arms)[:, None] / arms)
    return torch.stack([angles.sin(), angles.cos()], -1) * (part[:, None] * lengths / 2)


def _plane(shape: Sequence[int]) -> Tensor:
    if len(shape) != 2 or min(shape) < 2:
        raise InputError(
            f"shape is {tuple(shape)}, expected the pixels (y, x) of an image, at least 2 each; "
            "correct it."
        )
    return torch.tensor(list(shape), dtype=torch.float64)


def _require(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}, expected at least {least}; correct it.")
