"""What the checks of a scan look at, computed once for all of them."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from molrecon.data.calibration import crop_calibration, windowed
from molrecon.data.check.coils import coil_noise
from molrecon.data.check.spikes import find_spikes
from molrecon.data.espirit import map_eigenvalues
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.operators.fourier import ifft_centred

FLAT, PEAKED = 0.35, 0.12
"""Mean over maximum of the power along an axis: above, coils or slices; below, frequencies."""
KERNEL, WIDEST, THRESHOLD, MOST_COLUMNS = 4, 16, 0.02, 400
"""Width of the kernels and of the calibration region, and singular value over the largest, by which
coils are told from slices, and samples of all coils in a kernel, at most, of which more are left
out: neighbours tell as much."""
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
    def quiet(self) -> Tensor:
        """The magnitude with noise of all coils alike."""
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

    def second_object(self, axis: int = 1) -> float | None:
        """Return how much coils see besides one object through smooth maps, from 0 to about 1.

        The axis of the coils is 1, or 0 where some items next to each other are taken for coils.

        It is the second eigenvalue of ESPIRiT, weighted by the energy of the pixels: of coils
        below 0.7, unless noise is strong, and of slices, which show another object each, above
        0.78. None without a calibration region, and without calibration data of its own.
        """
        scan = self.scan
        # The noise of a loud coil would count as an object of its own.
        kspace, mask = (self.strongest_item / self._noise)[None], scan.calibration_mask
        if scan.calibration is not None:
            kspace = scan.calibration[:1]
            mask = torch.ones_like(kspace[:, :1], dtype=torch.bool)
        if axis == 0:
            coil = int(self.magnitude.flatten(2).square().sum((0, 2)).argmax())
            kspace = self._neighbours[:, coil][None]
        if scan.axes.time:
            times = (kspace != 0).any(1).sum(1).clamp_min(1)
            kspace = kspace.sum(2) / times
        ndim = scan.axes.fourier
        most = max(3, MOST_COLUMNS // KERNEL**ndim)
        start = max(0, (kspace.shape[1] - most) // 2)
        kspace = kspace[:, start : start + most]
        try:
            calibration = crop_calibration(kspace, mask[:1], WIDEST)[0].to(torch.complex128)
        except InputError:
            return None
        kernel = [max(1, min(KERNEL, n // 2)) for n in calibration.shape[1:]]
        second = map_eigenvalues(calibration, kernel=kernel, threshold=THRESHOLD)[..., -2]
        # Without a window what rings would count as an object.
        energy = ifft_centred(windowed(calibration, ndim), ndim).abs().square().sum(0)
        return float((second * energy).sum() / energy.sum().clamp_min(1e-300))

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
        profile = self.quiet.amax(others).double().square()
        profile = profile * (profile > 0.25 * profile.max())
        angle = 2 * math.pi / len(profile) * torch.arange(len(profile), dtype=torch.float64)
        moment = (profile * torch.polar(torch.ones_like(angle), angle)).sum()
        return float(moment.angle()) % (2 * math.pi) * len(profile) / (2 * math.pi)

    @cached_property
    def strongest(self) -> int:
        """Number of the item with most energy."""
        return int(self.magnitude.flatten(1).square().sum(1).argmax())

    @property
    def strongest_item(self) -> Tensor:
        """K-space of the item with most energy, ``(coil, *spatial)``."""
        return self.scan.kspace[self.strongest]
