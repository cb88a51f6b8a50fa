"""Scans and models of the same axes, or refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.data.scan import Scan

WHAT = {"yx": "slices", "zyx": "volumes", "tyx": "series of frames"}


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


def match_axes(scan: Scan, axes: str | None, model: str | None) -> Matched:
    """Bring a scan to the axes of a method; what does not fit is refused.

    A model of slices takes a volume apart whose readout is fully sampled, and a series into its
    frames. Where the file does not tell time from z, the model does.

    Parameters
    ----------
    scan
        The scan.
    axes
        Those of the method, by their letters; None is any.
    model
        Its name.

    Raises
    ------
    InputError
        If they do not fit.
    """
    from molrecon.data.stack import readout_axis

    if axes is None:
        return Matched(scan, note=_taken_for_a_volume(scan))
    if axes == "yx" and scan.axes != "yx":
        if scan.dynamic:
            return Matched(
                scan, True, f"{model} is a model of slices: every frame is reconstructed by itself."
            )
        axis = readout_axis(scan.sampling_mask())
        if axis is None:
            raise _other_axes(scan, axes, model, "it is undersampled along all of them; give a")
        taken = _taken_for_a_volume(scan)
        apart = (
            f"{model} is a model of slices: the volume is taken apart along {scan.axes[axis]}, "
            "where it is fully sampled, and reconstructed slice by slice."
        )
        return Matched(scan, True, apart if taken is None else f"{apart} {taken}")
    note = None
    if axes == "tyx" and scan.ndim == 3 and scan.dynamic is None:
        scan = replace(scan, dynamic=True)
        note = (
            f"The third axis from the end of {scan.source} is taken for time: {model} reconstructs "
            "series of frames."
        )
    if scan.axes != axes:
        raise _other_axes(scan, axes, model, "give a")
    if len(axes) == 3 and scan.kspace.shape[2] == 1:
        one = "frame" if axes == "tyx" else "slice"
        raise InputError(
            f"The scan {scan.source} has one {one}, but the model {model} reconstructs "
            f"{WHAT[axes]}; use a model of slices."
        )
    return Matched(scan, note=note)


def check_axes(scan: Scan, axes: str | None, model: str | None) -> Scan:
    """Return a scan as `match_axes` does, and refuse one that would have to be taken apart.

    Raises
    ------
    InputError
        If it would, or does not fit.
    """
    matched = match_axes(scan, axes, model)
    if matched.apart:
        raise _other_axes(scan, "yx", model, "give a")
    return matched.scan


def _other_axes(scan: Scan, axes: str, model: str | None, what: str) -> InputError:
    found, wanted = ", ".join(scan.axes), ", ".join(axes)
    if scan.ndim == 2 and len(axes) == 3:
        what = f"store its k-space as (batch, coil, {wanted}) if it is one, or {what}"
    return InputError(
        f"The scan {scan.source} has {scan.ndim} spatial axes ({found}), but the model {model} "
        f"reconstructs {WHAT[axes]} ({wanted}); {what} scan or a model of the same axes."
    )


def _taken_for_a_volume(scan: Scan) -> str | None:
    if scan.ndim != 3 or scan.dynamic is not None:
        return None
    return (
        f"{scan.source} is taken for a volume; if its third axis from the end is time, append "
        "'::frames' to the path."
    )
