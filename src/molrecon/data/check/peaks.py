"""Where on their lines samples are strongest: a delay, told from a phase of the object."""

from __future__ import annotations

import torch
from torch import Tensor

OFF_CENTRE = 1.5
"""Cycles per field of view, at least, by which a delay moves the peaks of lines."""
THROUGH = 1.0
"""Cycles per field of view from the centre within which a line has to pass."""
LINES = 2
"""Lines for each number that is fitted, at least."""
ROUNDS = 20
"""Rounds of least squares whose weights make these the least absolute differences."""


def delay_of_peaks(power: Tensor, trajectory: Tensor) -> float | None:
    """Return by how many samples the peaks of the lines lie late; None if that is not seen.

    A linear phase of the object moves the peak of k-space by one vector, and that of a line by its
    part along the line. A delay moves the peaks of all lines by as many samples, whichever way
    they run. Both are fitted, and what is left over is to be smaller than the delay.

    Parameters
    ----------
    power
        Power of the samples, ``(lines, samples)``.
    trajectory
        Real ``(lines, samples, axes)``, cycles per field of view.
    """
    _, samples, axes = trajectory.shape
    radius = trajectory.norm(dim=-1)
    through = radius.amin(1) < THROUGH
    power, trajectory, radius = power[through], trajectory[through].double(), radius[through]
    if len(power) < LINES * (axes + 1) or samples < 2:
        return None
    centres = radius.argmin(1)
    first = centres.clamp(max=samples - 2)
    lines = torch.arange(len(power))
    steps = trajectory[lines, first + 1] - trajectory[lines, first]
    lengths = steps.norm(dim=1)
    if not bool((lengths > 0).all()):
        return None
    ways = steps / lengths.square()[:, None]
    late = (power.argmax(1) - centres).double()
    unknowns = torch.cat([ways, torch.ones(len(ways), 1, dtype=torch.float64)], 1)
    if int(torch.linalg.matrix_rank(unknowns, rtol=0.1)) <= axes:
        return None
    weights = torch.ones_like(late)
    for _ in range(ROUNDS):
        root = weights.sqrt()
        fit = torch.linalg.lstsq(unknowns * root[:, None], (late * root)[:, None]).solution[:, 0]
        left = (late - unknowns @ fit).abs()
        weights = 1 / left.clamp_min(0.1)
    delay = float(fit[-1])
    if abs(delay) * float(lengths.median()) <= OFF_CENTRE or left.median() > abs(delay) / 2:
        return None
    return delay
