"""How well the lines of a scan agree near the centre of k-space, where they lie close together.

An object that fits into the field of view has a smooth k-space: what lies within less than a cycle
of other samples follows from these. So every line is predicted from all others, by a least-squares
fit of a small image, and compared with what was measured there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.data.check.registry import evenly
from molrecon.errors import InputError
from molrecon.operators.line_noise import estimate_lines_noise

REACH, BEYOND = {2: 4.1, 3: 2.1}, {2: 4, 3: 3}
"""Cycles per field of view up to which samples are compared, by the number of axes, and by which
the k-space of the fit reaches beyond them. Samples lie at whole and half cycles: a little more than
these, so that rounding does not decide."""
MOST_LINES, MOST_SAMPLES, MOST_NOISY = 512, 24, 64
"""Lines, and samples of a line, that are fitted at most, and lines that noise is read from."""
CLOSE = 0.1
"""Variance of a prediction, relative to that of what is predicted, up to which a sample counts."""
FEWEST_LINES, FEWEST_SAMPLES = 4, 2
"""Lines, and samples of a line in the mean, with which anything can be told."""
FLOOR = 1e-3
"""Share of the energy by which predictions may be wrong beside noise: those at the edge of what is
close, and of an object that reaches a little beyond the field of view."""
LEAST_NOISE, MOST_NOISE = 1e-4, 1.0
"""Variance of the noise of the fit, relative to the samples: below, it follows rounding."""
DRAWS = 16
"""Draws of white noise that tell how far it leads predictions astray."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Squared distances of lines, each summed over samples, coils and slices.

    Parameters
    ----------
    own
        Of every line from what the others predict for it, ``(lines,)``.
    other
        Of the other lines from that prediction, the mean.
    chance
        What noise and the floor make of either.
    numbers
        Which lines of the scan these are.
    """

    own: Tensor
    other: Tensor
    chance: Tensor
    numbers: Tensor

    def told(self, least: float) -> bool:
        """Whether lines differ by so many times more than chance."""
        return float(self.other.sum()) > (1 + least) * float(self.chance.sum())

    @property
    def unexplained(self) -> float:
        """Share of the difference between lines that the other lines leave unexplained.

        0 where every line is what the others predict, 1 where it is no more so than any other line.
        """
        own, other, chance = (float(one.sum()) for one in (self.own, self.other, self.chance))
        return (own - chance) / (other - chance) if other > chance else 0.0

    def contradicted(self, share: float) -> Tensor:
        """Return of which lines more than a share is unexplained, ``(lines,)``."""
        return self.own - self.chance > share * (self.other - self.chance)

    def apart(self, share: float, least: float) -> list[int]:
        """Return the lines of which more than a share is unexplained, and that differ enough."""
        told = self.other > (1 + least) * self.chance
        return [int(number) for number in self.numbers[told & self.contradicted(share)]]

    def of_lines(self, which: Tensor) -> Agreement:
        """Return that of some lines, boolean ``(lines,)``."""
        return Agreement(*(one[which] for one in vars(self).values()))

    @classmethod
    def joined(cls, parts: list[Agreement]) -> Agreement:
        """Return the agreement of the lines of several frames, each compared within its frame."""
        return cls(*map(torch.cat, zip(*(vars(one).values() for one in parts), strict=True)))


@dataclass(frozen=True, eq=False)
class CloseLines:
    """What was measured near the centre of k-space, where lines are compared.

    Parameters
    ----------
    places
        Positions of the samples, ``(lines, samples, axes)``, cycles per field of view.
    values
        Samples in units of their noise, ``(lines, samples, batch · coil)``.
    numbers
        Which lines of the scan these are.
    """

    places: Tensor
    values: Tensor
    numbers: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, kspace: Tensor, trajectory: Tensor) -> CloseLines | None:
        """Return the samples near the centre; None if these are too few or show no noise.

        Lines without any signal are left out, as nothing was measured there.

        Parameters
        ----------
        kspace
            Complex ``(batch, coil, lines, samples)``.
        trajectory
            Real ``(lines, samples, axes)``, cycles per field of view.
        """
        axes = trajectory.shape[-1]
        filled = (~empty_lines(kspace)).nonzero().flatten().cpu()
        chosen = filled[evenly(len(filled), MOST_LINES)]
        trajectory, kspace = trajectory[chosen].double().cpu(), kspace[:, :, chosen].cpu()
        if len(chosen) < FEWEST_LINES:
            return None
        values = _in_units_of_noise(kspace, trajectory)
        near = (trajectory.norm(dim=-1).median(0).values <= REACH[axes]).nonzero().flatten()
        if len(near) < FEWEST_SAMPLES or values is None:
            return None
        near = near[evenly(len(near), MOST_SAMPLES)]
        return cls(trajectory[:, near], values[:, near], chosen)

    @torch.no_grad()
    def agreement(self, left_out: Tensor | None = None) -> Agreement | None:
        """Return how well lines agree; None if too few samples lie close together.

        Parameters
        ----------
        left_out
            Boolean ``(lines,)``, lines that predict no others. They are themselves predicted.
        """
        lines = len(self.places)
        kept = torch.ones(lines, dtype=torch.bool) if left_out is None else ~left_out
        power = self.values.abs().square().mean()
        fit = _LeftOut(self.places, float((1 / power).clamp(LEAST_NOISE, MOST_NOISE)), kept)
        used = fit.variances < CLOSE
        if int(kept.sum()) < FEWEST_LINES or float(used[kept].double().sum(1).mean()) < (
            FEWEST_SAMPLES
        ):
            return None
        errors = fit.errors(self.values)
        own = _summed(errors, used)
        other = torch.empty_like(own)
        for line, predicted in enumerate(self.values - errors):
            distance = ((self.values - predicted).abs().square().sum(-1) * used[line]).sum(-1)
            other[line] = (distance.sum() - distance[line]) / (lines - 1)
        generator = torch.Generator().manual_seed(0)
        shape = (*self.places.shape[:2], DRAWS)
        white = torch.randn(shape, dtype=torch.complex128, generator=generator)
        chance = _summed(fit.errors(white), used) / DRAWS * self.values.shape[-1]
        chance = chance + FLOOR * _summed(self.values, used)
        return Agreement(own, other, chance, self.numbers)


def empty_lines(kspace: Tensor) -> Tensor:
    """Return which lines hold zeros alone in a slice in which others do not, ``(lines,)``.

    Parameters
    ----------
    kspace
        Complex ``(batch, coil, lines, samples)``.
    """
    measured = (kspace != 0).any(-1).any(1)
    found: Tensor = (~measured & measured.any(1, keepdim=True)).any(0)
    return found


class _LeftOut:
    """Predictions of every line from all others, by ridge regression of an image of point sources.

    The image is white: predictions are those of a random function of the correlation that a field
    of view has, and noise of a given variance, relative to that of the function. Lines that are
    not kept are predicted, too, but predict none.
    """

    def __init__(self, places: Tensor, noise: float, kept: Tensor | None = None) -> None:
        lines, samples, axes = places.shape
        self.kept = torch.ones(lines, dtype=torch.bool) if kept is None else kept
        width = 2 * math.floor(REACH[axes] + BEYOND[axes])
        grid = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / width
        pixels = torch.cartesian_prod(*[grid] * axes)
        angles = -2 * math.pi * (places @ pixels.T)
        waves = torch.polar(torch.full_like(angles, width ** (-axes / 2)), angles)
        known = waves[self.kept].flatten(0, 1)
        normal = known.mH @ known + noise * torch.eye(len(pixels), dtype=waves.dtype)
        root = torch.linalg.cholesky(normal)
        # The hat matrix is R Rᴴ; its blocks of single lines give what leaving these out changes.
        self.roots = torch.linalg.solve_triangular(root, waves.flatten(0, 1).mH, upper=False).mH
        blocks = self.roots.reshape(lines, samples, -1)
        hats, one = blocks @ blocks.mH, torch.eye(samples, dtype=waves.dtype)
        self.inverse = one.repeat(lines, 1, 1)
        self.inverse[self.kept] = torch.linalg.inv(one - hats[self.kept])
        # What is not kept has no part in the fit, and its variance is that of the fit.
        grown = torch.where(self.kept[:, None, None], self.inverse - one, hats)
        self.variances = noise * grown.diagonal(dim1=-2, dim2=-1).real

    def errors(self, values: Tensor) -> Tensor:
        """Return ``(lines, samples, …)`` less what the other lines predict for each."""
        flat = (values * self.kept[:, None, None]).flatten(0, 1)
        fitted = (self.roots @ (self.roots.mH @ flat)).reshape(values.shape)
        found: Tensor = self.inverse @ (values - fitted)
        return found


def _in_units_of_noise(kspace: Tensor, trajectory: Tensor) -> Tensor | None:
    """Return ``(lines, samples, batch · coil)``, each coil over its noise; None if none shows it.

    Coils are taken by themselves, so that a loud one does not hide what the others show.
    """
    some = evenly(len(trajectory), MOST_NOISY)
    radius = trajectory[some].norm(dim=-1)
    rows = kspace.flatten(0, 1)
    found = []
    for row in rows[rows.flatten(1).any(1)]:
        try:
            level = estimate_lines_noise(row[None, None, some], radius).sigma
        except InputError:
            continue
        least = torch.finfo(torch.float32).eps * float(row.abs().max())
        found.append(row.to(torch.complex128) / max(float(level), least))
    return torch.stack(found, -1) if found else None


def _summed(values: Tensor, used: Tensor) -> Tensor:
    return (values.abs().square().sum(-1) * used).sum(1)
