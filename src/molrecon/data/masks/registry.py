"""The kinds of mask by name, and the one function that draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molrecon.data.masks.frames import (
    frames_golden_step,
    frames_lattice,
    frames_variable_density,
)
from molrecon.data.masks.geometry import BoolArray, centre_block
from molrecon.data.masks.lines import equispaced, random
from molrecon.data.masks.poisson_disc import poisson_disc
from molrecon.data.masks.variable_density import variable_density
from molrecon.errors import InputError


@dataclass(frozen=True)
class MaskKind:
    """One kind of sampling.

    Attributes
    ----------
    draw
        Draws the pattern on the undersampled axes: (calibration block, number of samples, random
        generator) to a boolean array with exactly that number of True values.
    axes
        Axes undersampled by default; None for all of them.
    frames
        Whether the first undersampled axis is time: all frames have the same number of samples and
        the calibration region.

    Examples
    --------
    >>> def lowest(centre, count, generator):
    ...     order = np.argsort(np.abs(np.arange(centre.size) - centre.size // 2), kind="stable")
    ...     return np.isin(np.arange(centre.size), order[:count])
    >>> MASK_KINDS["lowest"] = MaskKind(lowest, axes=(-1,))
    >>> make_mask("lowest", (1, 8), 2, calibration=2).int()
    tensor([[0, 0, 1, 1, 1, 1, 0, 0]], dtype=torch.int32)
    >>> del MASK_KINDS["lowest"]
    """

    draw: Callable[[BoolArray, int, np.random.Generator], BoolArray]
    axes: tuple[int, ...] | None = None
    frames: bool = False

    def encoded(self, sizes: Sequence[int]) -> Sequence[int]:
        """Return the sizes of those undersampled axes that are axes of k-space."""
        return sizes[1:] if self.frames else sizes


MASK_KINDS: dict[str, MaskKind] = {
    "variable-density": MaskKind(variable_density),
    "poisson-disc": MaskKind(poisson_disc),
    "equispaced": MaskKind(equispaced, axes=(-1,)),
    "random": MaskKind(random, axes=(-1,)),
    "frames-variable-density": MaskKind(frames_variable_density, axes=(0, 1), frames=True),
    "frames-golden-step": MaskKind(frames_golden_step, axes=(0, 1), frames=True),
    "frames-lattice": MaskKind(frames_lattice, axes=(0, 1), frames=True),
}


def make_mask(
    kind: str,
    shape: Sequence[int],
    acceleration: float,
    *,
    calibration: int = 24,
    seed: int = 0,
    axes: Sequence[int] | None = None,
) -> Tensor:
    """Draw a Cartesian sampling mask with an exact acceleration and a fully sampled centre.

    Parameters
    ----------
    kind
        ``"variable-density"`` (random points, density ``(1 - r)**2``), ``"poisson-disc"``
        (variable-density Poisson-disc points), ``"equispaced"`` or ``"random"`` (lines); for
        series of frames ``(t, y, x)``, lines along x that differ from frame to frame,
        ``"frames-variable-density"``, ``"frames-golden-step"`` or ``"frames-lattice"``.
    shape
        Shape of k-space, zero frequency at ``n // 2``: ``(y, x)``, or any number of axes.
    acceleration
        At least 1. Of the ``n`` positions on the undersampled axes exactly
        ``round(n / acceleration)`` are sampled, those of the calibration region included; of
        frames, in each of them.
    calibration
        Width of the centred, fully sampled region on every undersampled axis (points for the
        first two kinds, lines for the others); an axis shorter than it is fully covered.
    seed
        At least 0. The same arguments and seed give the same mask; no global state is used.
    axes
        The undersampled axes; the others are fully sampled. By default all of them for the first
        two kinds and the last one, ``(-1,)``, for lines (the readout is then the rest). A volume
        with its readout along x takes ``axes=(0, 1)``.

    Returns
    -------
    Tensor
        Boolean, of shape ``shape``; True where sampled.

    Raises
    ------
    InputError
        If the kind is unknown, an argument is out of its range, or the calibration region alone
        holds more samples than the acceleration leaves.

    Examples
    --------
    >>> mask = make_mask("variable-density", (64, 64), 4, calibration=16, seed=0)
    >>> mask.sum().item(), mask[24:40, 24:40].all().item()
    (1024, True)
    """
    _check_arguments(kind, shape, acceleration, calibration, seed)
    known = MASK_KINDS[kind]
    chosen = _resolve_axes(known.axes if axes is None else axes, len(shape))
    if known.frames and (len(shape) != 3 or chosen != [0, 1]):
        raise InputError(
            f"mask kind: {kind!r} is for series of frames (t, y, x) and undersamples y, found the "
            f"shape {tuple(shape)} and the axes {tuple(chosen)}; choose another kind."
        )
    sizes = [shape[axis] for axis in chosen]
    encoded = known.encoded(sizes)
    count = _budget(encoded, acceleration, calibration)
    centre = np.broadcast_to(centre_block(encoded, calibration), sizes)
    pattern = known.draw(
        centre, count * math.prod(sizes) // math.prod(encoded), np.random.default_rng(seed)
    )
    fully_sampled = [axis for axis in range(len(shape)) if axis not in chosen]
    full = np.broadcast_to(np.expand_dims(pattern, fully_sampled), tuple(shape))
    return torch.from_numpy(full.copy())


def _check_arguments(
    kind: str, shape: Sequence[int], acceleration: float, calibration: int, seed: int
) -> None:
    if kind not in MASK_KINDS:
        raise InputError(
            f"mask kind: found {kind!r}, expected one of {', '.join(sorted(MASK_KINDS))}."
        )
    if len(shape) == 0 or any(n < 1 for n in shape):
        raise InputError(f"mask shape: found {tuple(shape)}, expected positive sizes.")
    if not (math.isfinite(acceleration) and acceleration >= 1):
        raise InputError(f"acceleration: found {acceleration}, expected a number of at least 1.")
    if calibration < 0:
        raise InputError(f"calibration: found {calibration}, expected a width of at least 0.")
    if seed < 0:
        raise InputError(f"seed: found {seed}, expected an integer of at least 0.")


def _resolve_axes(axes: Sequence[int] | None, ndim: int) -> list[int]:
    """Return the undersampled axes as sorted non-negative numbers."""
    if axes is None:
        return list(range(ndim))
    if len(axes) == 0 or any(not -ndim <= axis < ndim for axis in axes):
        raise InputError(
            f"axes: found {tuple(axes)}, expected numbers from {-ndim} to {ndim - 1} "
            f"for a mask of {ndim} axes."
        )
    return sorted({axis % ndim for axis in axes})


def _budget(sizes: Sequence[int], acceleration: float, calibration: int) -> int:
    """Return the number of samples, or refuse a calibration region that exceeds it."""
    total = math.prod(sizes)
    count = round(total / acceleration)
    if count < 1:
        raise InputError(
            f"acceleration: {acceleration} leaves none of the {total} positions sampled; "
            f"use at most {total}."
        )
    held = math.prod(min(calibration, n) for n in sizes)
    if held > count:
        largest = max(
            width
            for width in range(calibration)
            if math.prod(min(width, n) for n in sizes) <= count
        )
        fastest = math.floor(100 * total / held) / 100
        raise InputError(
            f"calibration: a region of width {calibration} holds {held} of the {total} positions, "
            f"but acceleration {acceleration:g} samples only {count}; use a calibration of at "
            f"most {largest} or an acceleration of at most {fastest:g}."
        )
    return count
