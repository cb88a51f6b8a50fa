"""Scans and models of the same axes, or refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from molrecon.data.axes import Axes
from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.data.scan import Scan


@dataclass(frozen=True, eq=False)
class Matched:
    """A scan as a method will take it.

    Attributes
    ----------
    scan
        The scan; its third axis from the end is settled.
    apart
        Whether it is taken apart into slices or frames, see `stack_of`.
    note
        A sentence for the user about what was decided, if there is one.
    """

    scan: Scan
    apart: bool = False
    note: str | None = None


def match_axes(scan: Scan, axes: Axes | None, model: str | None) -> Matched:
    """Bring a scan to the axes of a method; what does not fit is refused.

    A model of slices takes a volume apart whose readout is fully sampled, and a series into its
    frames. Where the file does not tell time from z, the model does.

    Parameters
    ----------
    scan
        The scan.
    axes
        Those of the method; None is any.
    model
        Its name.

    Raises
    ------
    InputError
        If they do not fit.
    """
    if axes is None:
        return Matched(scan, note=_taken_for_a_volume(scan))
    if axes.ndim < scan.ndim:
        if scan.axes.time:
            return Matched(
                scan, True, f"{model} is a model of slices: every frame is reconstructed by itself."
            )
        axis = scan.readout_axis
        if axis is None:
            raise _other_axes(scan, axes, model, "it is undersampled along all of them; give a")
        taken = _taken_for_a_volume(scan)
        apart = (
            f"{model} is a model of slices: the volume is taken apart along "
            f"{scan.axes.letters[axis]}, where it is fully sampled, and reconstructed slice by "
            "slice."
        )
        return Matched(scan, True, apart if taken is None else f"{apart} {taken}")
    note = None
    if axes.time and not scan.axes.settled:
        scan = replace(scan, axes=axes)
        note = (
            f"The third axis from the end of {scan.source} is taken for time: {model} reconstructs "
            "series of frames."
        )
    if scan.axes != axes:
        raise _other_axes(scan, axes, model, "give a")
    if axes.ndim == 3 and scan.kspace.shape[2] == 1:
        raise InputError(
            f"The scan {scan.source} has one {axes.plane}, but the model {model} reconstructs "
            f"{axes.items}; use a model of slices."
        )
    return Matched(scan, note=note)


def check_axes(scan: Scan, axes: Axes | None, model: str | None) -> Scan:
    """Return a scan as `match_axes` does, and refuse one that would have to be taken apart.

    Raises
    ------
    InputError
        If it would, or does not fit.
    """
    matched = match_axes(scan, axes, model)
    if matched.apart:
        raise _other_axes(scan, Axes("yx"), model, "give a")
    return matched.scan


def _other_axes(scan: Scan, axes: Axes, model: str | None, what: str) -> InputError:
    found, wanted = scan.axes.names, axes.names
    if scan.ndim < axes.ndim:
        what = f"store its k-space as (batch, coil, {wanted}) if it is one, or {what}"
    return InputError(
        f"The scan {scan.source} has {scan.ndim} spatial axes ({found}), but the model {model} "
        f"reconstructs {axes.items} ({wanted}); {what} scan or a model of the same axes."
    )


def _taken_for_a_volume(scan: Scan) -> str | None:
    if scan.axes.settled:
        return None
    return (
        f"{scan.source} is taken for a volume; if its third axis from the end is time, append "
        "'::frames' to the path."
    )
