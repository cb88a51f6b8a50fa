"""What the checks of a scan look at, computed once for all of them."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from molrecon.data.check.coils import coil_noise
from molrecon.data.check.spikes import find_spikes
from molrecon.data.scan import Scan

FLAT, PEAKED = 0.35, 0.12
"""Mean over maximum of the power along an axis: above, coils or slices; below, frequencies."""
LEAST = 16
"""Shortest axis that is judged to be one of frequencies."""


class Evidence:
    """A scan with the sizes, peaks and profiles of its k-space.

    Parameters
    ----------
    scan
        The scan, or some items of it.
    neighbours
        K-space of some items that are next to each other; by default that of the scan.
    """

    def __init__(self, scan: Scan, neighbours: Tensor | None = None) -> None:
        self.scan = scan
        self._neighbours = scan.kspace if neighbours is None else neighbours

    @cached_property
    def spikes(self) -> Tensor:
        """Samples that stand out of their neighbours, bool ``(batch, 1, *spatial)``."""
        return find_spikes(self._raw, self.scan.axes.fourier)

    @cached_property
    def _raw(self) -> Tensor:
        return self.scan.kspace.abs()

    @cached_property
    def magnitude(self) -> Tensor:
        """Magnitude of k-space without spikes, ``(batch, coil, *spatial)``."""
        return self._raw * ~self.spikes if bool(self.spikes.any()) else self._raw

    @cached_property
    def _noise(self) -> Tensor:
        """Relative noise of the coils, ``(coil, 1, …)``: that of one may exceed the peak."""
        return coil_noise(self.scan).reshape(-1, *[1] * self.scan.ndim)

    @cached_property
    def _quiet(self) -> Tensor:
        """Return the magnitude with noise of all coils alike."""
        return self.magnitude / self._noise

    @property
    def quiet_kspace(self) -> Tensor:
        """K-space with noise of all coils alike."""
        return self.scan.kspace / self._noise

    def profile(self, axis: int) -> Tensor:
        """Return the largest power at each index of an axis, of all axes from 0, double.

        Unlike the sum it hardly depends on noise: a coil with thirty times the noise of the others
        has the same peak.
        """
        others = [other for other in range(self.magnitude.ndim) if other != axis]
        return self.magnitude.amax(others).double().square()

    def concentration(self, axis: int) -> float:
        """Return mean over maximum of the profile of an axis, where it is not zero."""
        profile = self.profile(axis)
        profile = profile[profile > 0]
        return float(profile.mean() / profile.max()) if len(profile) else 1.0

    def is_flat(self, axis: int) -> bool:
        """Whether an axis looks like one of coils, slices or frames."""
        return self.magnitude.shape[axis] > 1 and self.concentration(axis) > FLAT

    def is_peaked(self, axis: int) -> bool:
        """Whether an axis looks like one of frequencies: some indices hold most of the power."""
        return self.magnitude.shape[axis] >= LEAST and self.concentration(axis) < PEAKED

    def rises_in_the_middle(self, axis: int) -> bool:
        """Whether an axis has its peak at n // 2 and falls off to both ends, as k-space does."""
        profile = self.profile(axis)
        n, place = len(profile), int(profile.argmax())
        outer = torch.cat([profile[: n // 4], profile[-(n // 4) :]])
        beside = profile[[max(0, place - 1), min(n - 1, place + 1)]]
        return (
            self.is_peaked(axis)
            and abs(place - n // 2) <= 1
            and bool(outer.max() < 0.1 * profile.max())
            and bool(beside.max() > 4 * outer.mean())
        )

    def likeness(self, axis: int) -> float:
        """Return the mean correlation of neighbours along the axis of items or of coils."""
        ordered = self._neighbours.movedim(axis, 0).flatten(1)
        size = torch.linalg.vector_norm(ordered, dim=1, keepdim=True)
        ordered = ordered / size.where(size > 0, 1)
        return float((ordered[1:].conj() * ordered[:-1]).sum(1).abs().mean())

    @property
    def fourier_axes(self) -> list[int]:
        """The Fourier axes of k-space, counted among all of its axes."""
        ndim = self.scan.kspace.ndim
        return list(range(ndim - self.scan.axes.fourier, ndim))

    def place(self, axis: int) -> float:
        """Return where the energy lies along a Fourier axis, in samples from index 0.

        It is the circular centroid of the strongest quarter of the profile, to parts of a sample.
        """
        others = [other for other in range(self.magnitude.ndim) if other != axis]
        profile = self._quiet.amax(others).double().square()
        profile = profile * (profile > 0.25 * profile.max())
        angle = 2 * math.pi / len(profile) * torch.arange(len(profile), dtype=torch.float64)
        moment = (profile * torch.polar(torch.ones_like(angle), angle)).sum()
        return float(moment.angle()) % (2 * math.pi) * len(profile) / (2 * math.pi)

    @cached_property
    def strongest_item(self) -> Tensor:
        """K-space of the item with most energy, ``(coil, *spatial)``."""
        energy = self.magnitude.flatten(1).square().sum(1)
        return self.scan.kspace[int(energy.argmax())]
