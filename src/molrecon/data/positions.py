"""Positions of samples in k-space: their unit found from their range, and the matrix of the image.

Programs store trajectories in several units: radians per pixel (finufft, MATLAB's NUFFT toolboxes),
cycles per pixel (ISMRMRD, ±0.5), cycles per field of view (sigpy and BART, ±n/2), cycles per metre
(sequence definitions). Their ranges tell them apart, but the matrix of the image follows from the
third one only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.data.arrays import Array
from molrecon.errors import InputError, shape_text
from molrecon.operators.non_cartesian_mri import BEYOND

UNITS = {
    "radians": "radians per pixel (±π)",
    "cycles": "cycles per pixel (±0.5)",
    "fov": "cycles per field of view (±n/2)",
    "metres": "cycles per metre",
}
"""Units of a trajectory, by the names that choose them."""
NARROWEST = 0.5
"""Part of the range of a unit that a trajectory fills at least where the range is to tell it."""
FEWEST_PIXELS = 16
FEWEST_OUTER = 0.02
"""Share of the samples beyond half of the reach along an axis: of spokes a quarter, of spirals
that are dense at the centre a sixth; where one line of fifty is far outside, a hundredth."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Where samples lie.

    Attributes
    ----------
    trajectory
        float64 ``(*samples, axes)``, cycles per field of view in the order of the spatial axes.
    shape
        Pixels of the image along these axes.
    notes
        What was decided, one readable clause each.
    """

    trajectory: Tensor
    shape: tuple[int, ...]
    notes: tuple[str, ...]


def settle_positions(
    stored: Array | Tensor,
    source: str,
    *,
    matrix: Sequence[int] | None = None,
    unit: str | None = None,
    field_of_view: float | None = None,
) -> Positions:
    """Return positions in cycles per field of view, and the matrix of the image.

    Parameters
    ----------
    stored
        Real ``(*samples, axes)`` of two or three axes, in any of `UNITS`; a third axis of zeros is
        dropped.
    source
        Where they came from, for messages.
    matrix
        Pixels of the image along the axes; by default what positions in cycles per field of view
        reach, which others do not tell.
    unit
        A key of `UNITS`; by default found from the range.
    field_of_view
        Its size in mm, which cycles per metre need, and no others.

    Raises
    ------
    InputError
        If values are not finite, all zero or beyond the matrix, or unit, matrix or field of view
        are missing, out of range or do not fit.

    Examples
    --------
    >>> from molrecon import radial_trajectory
    >>> spokes = radial_trajectory((64, 64), 8)
    >>> found = settle_positions(spokes / 64, "a scan", matrix=(64, 64))
    >>> bool(torch.allclose(found.trajectory, spokes)), found.notes
    (True, ('the trajectory is in cycles per pixel (±0.5), by its range',))
    """
    positions = _checked(stored, source)
    if unit is not None and unit not in UNITS:
        raise InputError(f"unit is {unit!r}, expected one of {', '.join(UNITS)}; choose one.")
    require_positive("field_of_view", field_of_view)
    axes = positions.shape[-1]
    if matrix is not None and (len(matrix) != axes or min(matrix) < 2):
        raise InputError(
            f"matrix is {shape_text(matrix)}, expected the pixels along the {axes} axes of the "
            f"trajectory of {source}; correct it."
        )
    if matrix is None or unit is None:
        _require_spread(positions, source)
    how = "as given" if unit else "by its range"
    unit = unit or _found(positions, matrix, source)
    notes = [f"the trajectory is in {UNITS[unit]}, {how}"]
    if field_of_view is not None and unit != "metres":
        raise InputError(
            f"field_of_view is {field_of_view:g} mm, which positions in cycles per metre need, but "
            f"those of {source} are in {UNITS[unit]}, {how}; leave it out, or say that they are "
            "in cycles per metre (unit)."
        )
    if unit == "metres":
        if field_of_view is None:
            raise InputError(
                f"The trajectory of {source} is in cycles per metre, from which no image follows "
                "without its field of view; give its size in mm (field_of_view)."
            )
        positions = positions * (field_of_view / 1000)
    per_pixel = {"radians": 1 / (2 * math.pi), "cycles": 1.0}
    if unit in per_pixel:
        if matrix is None:
            raise InputError(
                f"The trajectory of {source} is in {UNITS[unit]}, which does not tell how many "
                "pixels the field of view has; give them (matrix)."
            )
        positions = positions * per_pixel[unit] * torch.tensor(matrix, dtype=torch.float64)
    reach = positions.abs().flatten(0, -2).amax(0)
    if matrix is None:
        _require_plausible(float(reach.max()), positions[..., 0].numel(), source)
        matrix = [max(FEWEST_PIXELS, 2 * math.ceil(float(one) / BEYOND - 1e-9)) for one in reach]
        notes.append(f"the matrix is {shape_text(matrix)}, as far as the trajectory reaches")
    _require_inside(reach, matrix, source)
    return Positions(positions, tuple(matrix), tuple(notes))


def _checked(stored: Array | Tensor, source: str) -> Tensor:
    positions = torch.from_numpy(stored) if isinstance(stored, np.ndarray) else stored
    if positions.is_complex() and bool((positions.imag == 0).all()):
        positions = positions.real
    shape = tuple(positions.shape)
    if positions.is_complex() or len(shape) < 2 or shape[-1] not in (2, 3) or 0 in shape:
        raise InputError(
            f"The trajectory of {source} is {positions.dtype} of shape {shape}, expected real "
            "positions (*samples, axes) of two or three axes; give the trajectory of the scan."
        )
    positions = positions.to(torch.float64)
    if not bool(torch.isfinite(positions).all()):
        raise InputError(
            f"The trajectory of {source} holds NaN or infinite values, expected positions in "
            "k-space; correct it."
        )
    if shape[-1] == 3:
        # BART and ISMRMRD store a third coordinate of slices, too.
        flat = [axis for axis in range(3) if not bool(positions[..., axis].any())]
        if len(flat) == 1:
            positions = positions[..., [axis for axis in range(3) if axis not in flat]]
    if not bool(positions.flatten(0, -2).any(0).all()):
        raise InputError(
            f"The trajectory of {source} is zero along an axis, expected samples that lie in all "
            "directions; give the trajectory of the scan."
        )
    return positions.contiguous()


def _found(positions: Tensor, matrix: Sequence[int] | None, source: str) -> str:
    """Return the unit whose range the positions fill."""
    largest = float(positions.abs().max())
    half = None if matrix is None else max(matrix) / 2
    ranges = {"cycles": 0.5, "radians": math.pi, "fov": half or max(largest, FEWEST_PIXELS / 2)}
    fitting = [name for name, edge in ranges.items() if NARROWEST * edge < largest <= BEYOND * edge]
    if len(fitting) == 1:
        return fitting[0]
    if half is not None and largest > BEYOND * half:
        return "fov"
    known = ", ".join(f"{name} for {text}" for name, text in UNITS.items())
    size = "" if matrix is None else f" of a matrix of {shape_text(matrix)}"
    raise InputError(
        f"The trajectory of {source} reaches {largest:.4g}{size}, from which its unit cannot be "
        f"told; give it (unit): {known}."
    )


def _require_spread(positions: Tensor, source: str) -> None:
    """Refuse positions of which a few lie far outside: range and matrix would be theirs alone."""
    for axis, along in enumerate(positions.abs().flatten(0, -2).unbind(-1)):
        far = float(along.max())
        outer = float((along > far / 2).double().mean())
        if outer < FEWEST_OUTER:
            raise InputError(
                f"The trajectory of {source} reaches {far:.4g} along axis {axis}, but only "
                f"{outer:.2g} of its samples lie beyond half of that, expected at least "
                f"{FEWEST_OUTER:g}; correct the positions far outside, or give the unit "
                "(unit) and the pixels of the image (matrix) if they are right."
            )


def _require_plausible(far: float, samples: int, source: str) -> None:
    """Refuse a matrix that no scan has: fewer samples in all than pixels along one axis."""
    if 2 * far > max(samples, FEWEST_PIXELS):
        raise InputError(
            f"The trajectory of {source} reaches {far:.4g}, which would be an image of more pixels "
            f"along an axis than the scan has samples ({samples}); give the trajectory of the "
            "scan, its unit (unit) or the pixels of the image (matrix)."
        )


def _require_inside(reach: Tensor, matrix: Sequence[int], source: str) -> None:
    for axis, (far, pixels) in enumerate(zip(reach.tolist(), matrix, strict=True)):
        if far > BEYOND * pixels / 2:
            raise InputError(
                f"The trajectory of {source} reaches {far:.4g} cycles per field of view along axis "
                f"{axis}, beyond the {pixels / 2:g} that {pixels} pixels hold; give a larger "
                "matrix (matrix), or its unit (unit)."
            )
