"""What a file of samples along spokes, spirals or any other lines holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from molrecon.data.arrays import check_values
from molrecon.data.axes import Axes
from molrecon.errors import InputError, shape_text
from molrecon.operators.checks import check_tensor
from molrecon.operators.non_cartesian_mri import NonCartesianMRI

FLAT = 1e-6
"""Squared extent of a frame across its longest direction, relative to that along it, up to which
its samples lie on one straight line, in single precision."""


@dataclass(frozen=True, eq=False)
class NonCartesianScan:
    """Samples anywhere in k-space, where they lie, and what else is known about them.

    `reconstruct` takes it as it takes a `Scan`; a file of one is made by `write_samples` and read
    by `read_samples`.

    Parameters
    ----------
    kspace
        complex64 ``(batch, coil, *samples)``; the slices of a batch share their trajectory. The
        last axis runs along the readout, as ``(spokes, samples)`` do.
    trajectory
        Positions of the samples, real ``(*samples, axes)`` in cycles per field of view, in the
        order of the spatial axes; along n pixels they lie within ``±n/2``.
    shape
        Pixels of the image along the spatial axes; of a series of frames ``(t, y, x)``, the first
        axis of the samples then being that of the frames.
    coil_maps
        complex64 ``(batch or 1, coil, *shape)``, of frames ``(batch or 1, coil, 1, y, x)``;
        estimated from the centre of k-space if None.
    sigma
        Standard deviation ``sqrt(E|n|²)`` of the noise of a complex sample, in the units of
        ``kspace``; measured in the samples if None.
    noise
        complex64 ``(coil, samples)``, samples without signal, of the noise level of ``kspace``.
    reference
        complex64 ``(batch, 1, *shape)``, the image to compare with.
    source
        Where it came from; names the scan in error messages.
    notes
        What the reader decided, one readable clause each.
    unframed
        Lines of the scan that are in no frame of the series, of which nothing else is kept.

    Raises
    ------
    InputError
        If a shape or type does not fit, a value is NaN or infinite, or a sample lies outside
        k-space.

    Examples
    --------
    >>> import torch
    >>> from molrecon import NonCartesianScan, radial_trajectory
    >>> spokes = radial_trajectory((32, 32), 12)
    >>> NonCartesianScan(torch.ones(1, 4, 12, 64, dtype=torch.complex64), spokes, (32, 32))
    NonCartesianScan(1 of 4 coils, 12 lines of 64 samples, 32 × 32 (y, x))
    """

    kspace: Tensor
    trajectory: Tensor
    shape: tuple[int, ...]
    coil_maps: Tensor | None = None
    sigma: float | None = None
    noise: Tensor | None = None
    reference: Tensor | None = None
    source: str = "the scan"
    notes: tuple[str, ...] = field(default=())
    unframed: int = 0

    def __post_init__(self) -> None:
        check_tensor(f"The samples of {self.source}", self.kspace)
        check_tensor(f"The trajectory of {self.source}", self.trajectory)
        samples = tuple(self.trajectory.shape[:-1])
        if self.kspace.dtype != torch.complex64 or self.kspace.ndim < 3:
            raise InputError(
                f"The samples of {self.source} are {self.kspace.dtype} of shape "
                f"{tuple(self.kspace.shape)}, expected complex64 (batch, coil, *samples); convert "
                "them."
            )
        if tuple(self.kspace.shape[2:]) != samples:
            raise InputError(
                f"The trajectory of {self.source} has {shape_text(samples)} positions, but "
                f"{shape_text(self.kspace.shape[2:])} samples of each coil were measured; give "
                "the trajectory of the same scan (trajectory)."
            )
        frames = len(self.shape) - self.trajectory.shape[-1]
        if frames not in (0, 1) or (frames and samples[0] != self.shape[0]):
            raise InputError(
                f"The image of {self.source} is to have the shape {self.shape}, expected a length "
                f"along each of the {self.trajectory.shape[-1]} axes of the trajectory, or the "
                "number of its frames in front; correct the matrix (matrix)."
            )
        check_values(f"The samples of {self.source}", self.kspace)
        if frames:
            self._require_images()
        batch, coils = self.kspace.shape[:2]
        plane = (1, *self.shape[1:]) if frames else tuple(self.shape)
        self._require("coil maps", self.coil_maps, (1, batch), (coils, *plane))
        self._require("reference", self.reference, (batch,), (1, *self.shape))
        if self.noise is not None:
            self._require("noise samples", self.noise[None], (1,), (coils, *self.noise.shape[1:2]))
        if self.sigma is not None and not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise InputError(
                f"The noise level sigma of {self.source} is {self.sigma}, expected a positive "
                "number; correct it or leave it out to have it estimated."
            )
        # The operator refuses positions outside k-space.
        NonCartesianMRI(torch.ones(1, 1, *plane, dtype=torch.complex64), self.trajectory)

    def _require_images(self) -> None:
        """Refuse frames of one straight line, which show a projection and no image."""
        axes = self.trajectory.shape[-1]
        places = self.trajectory.detach().double().reshape(len(self.trajectory), -1, axes)
        # Of moments: a line has extent along one direction alone, wherever it lies.
        extent = torch.linalg.eigvalsh(places.mT @ places)
        straight = extent[:, -2] <= FLAT * extent[:, -1]
        if bool(straight.any()):
            number = int(straight.nonzero()[0])
            raise InputError(
                f"Frame {number} of {self.source} holds one straight line through the centre of "
                "k-space, which shows no image, expected at least two; make frames of more lines "
                "(frames), or, if the file calls its lines frames (dynamic), leave that out."
            )

    def _require(
        self, name: str, value: Tensor | None, batches: tuple[int, ...], rest: tuple[int, ...]
    ) -> None:
        if value is None:
            return
        found = tuple(value.shape)
        if value.dtype != torch.complex64 or found[0] not in batches or found[1:] != rest:
            raise InputError(
                f"The {name} of {self.source}: found {value.dtype} of shape {found}, expected "
                f"complex64 of {(batches[-1], *rest)}; give those of the same scan."
            )
        check_values(f"The {name} of {self.source}", value)

    def __repr__(self) -> str:
        batch, coils = self.kspace.shape[:2]
        letters = self.axes.names
        return (
            f"NonCartesianScan({batch} of {coils} {'coil' if coils == 1 else 'coils'}, "
            f"{self.lines_text}, {shape_text(self.shape)} ({letters}))"
        )

    @property
    def axes(self) -> Axes:
        """The spatial axes."""
        if len(self.shape) > self.trajectory.shape[-1]:
            return Axes("tyx")
        return Axes("zyx"[-len(self.shape) :])

    @property
    def lines_text(self) -> str:
        """How many lines of how many samples, in words."""
        *lines, samples = self.trajectory.shape[:-1]
        if self.axes.time and len(lines) > 1:
            of_each = f"{lines[0]} frames of {math.prod(lines[1:])} lines of {samples} samples"
            verb = "line is" if self.unframed == 1 else "lines are"
            rest = f" ({self.unframed} {verb} in no frame)" if self.unframed else ""
            return of_each + rest
        count = math.prod(lines)
        return f"{count} lines of {samples} samples" if count > 1 else f"{samples} samples"

    @cached_property
    def share(self) -> float:
        """Share of the points of the grid of k-space that have a sample nearest to them."""
        axes = self.trajectory.shape[-1]
        frames = self.trajectory if self.axes.time else self.trajectory[None]
        cells = [len(_cells(one.reshape(-1, axes))) for one in frames]
        return min(1.0, sum(cells) / len(cells) / math.prod(self.shape[-axes:]))

    def item(self, number: int) -> NonCartesianScan:
        """Return one item of the batch.

        Parameters
        ----------
        number
            Which, from 0.
        """
        return replace(
            self,
            kspace=self.kspace[number : number + 1],
            coil_maps=self._of_batch(self.coil_maps, number),
            reference=self._of_batch(self.reference, number),
        )

    @staticmethod
    def _of_batch(value: Tensor | None, number: int) -> Tensor | None:
        return value if value is None or len(value) == 1 else value[number : number + 1]

    def frame(self, number: int) -> NonCartesianScan:
        """Return one frame of a series as a slice of its own.

        Parameters
        ----------
        number
            Which, from 0.
        """
        reference = self.reference
        return replace(
            self,
            kspace=self.kspace[:, :, number],
            trajectory=self.trajectory[number],
            shape=self.shape[1:],
            unframed=0,
            coil_maps=None if self.coil_maps is None else self.coil_maps[:, :, 0],
            reference=None if reference is None else reference[:, :, number],
        )

    def in_frames(self, lines: int, step: int | None = None) -> NonCartesianScan:
        """Return the scan as a series of frames of so many consecutive lines.

        Parameters
        ----------
        lines
            Lines of a frame, at least 1.
        step
            Lines from one frame to the next, at most as many as a frame has, which is the default.
            Fewer make sliding windows. Lines that fill no frame are left out at the end, and
            ``unframed`` says how many.

        Raises
        ------
        InputError
            If it is a series already, has fewer lines, lines between frames would be left out, or
            a frame would be one straight line.
        """
        step = lines if step is None else step
        if self.axes.letters != "yx" or self.trajectory.ndim != 3:
            raise InputError(
                f"{self.source} is no slice of lines (lines, samples), expected one to make frames "
                "of; leave frames out."
            )
        total = len(self.trajectory)
        if not 1 <= lines <= total:
            raise InputError(
                f"frames of {lines} lines were asked for, but {self.source} has {total} lines, "
                "expected from 1 to so many in a frame; correct the number (frames)."
            )
        if not 1 <= step <= lines:
            raise InputError(
                f"frames of {lines} lines, each {step} lines after the one before, were asked for, "
                f"expected from 1 to {lines} lines from one frame to the next, so that none is "
                "left out between them; correct the step (frames)."
            )
        starts = range(0, total - lines + 1, step)
        maps = self.coil_maps
        return replace(
            self,
            kspace=torch.stack([self.kspace[:, :, s : s + lines] for s in starts], 2),
            trajectory=torch.stack([self.trajectory[s : s + lines] for s in starts]),
            shape=(len(starts), *self.shape),
            coil_maps=None if maps is None else maps.unsqueeze(2),
            reference=None,
            unframed=total - (starts[-1] + lines),
        )

    def operator(self) -> NonCartesianMRI:
        """Return the forward operator of a scan with coil maps."""
        assert self.coil_maps is not None
        return NonCartesianMRI(self.coil_maps, self.trajectory)


def _cells(positions: Tensor) -> Tensor:
    """Return the points of the grid that have a position nearest to them."""
    return torch.unique(positions.round(), dim=0)  # type: ignore[no-any-return]
