"""A scan brought to the axes that a method reconstructs, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.scan import Scan
from molrecon.defaults import SERIES_MODEL
from molrecon.errors import InputError
from molrecon.pipeline.preparation import Step
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.learned import LearnedReconstructor


@dataclass(frozen=True, eq=False)
class Matched:
    """One item of a scan as a method will take it.

    Attributes
    ----------
    scan
        The item; whether its third axis from the end is time is settled as far as it can be.
    split
        Number of the spatial axis along which the volume or series is taken apart into slices
        or frames (`stack_of`); None if it is reconstructed as a whole.
    assumed
        A sentence that says what was decided; None if there was nothing to decide.
    steps
        How the item was prepared.
    restore
        What gives the image of the item the intensity that is wanted; None for nothing.
    copied
        Whether preparing it made another k-space.
    """

    scan: Scan
    split: int | None = None
    assumed: str | None = None
    steps: tuple[Step, ...] = ()
    restore: Callable[[Tensor], Tensor] | None = None
    copied: bool = False

    @property
    def count(self) -> int:
        """Number of solves, at most: planes without signal need none."""
        batch: int = self.scan.kspace.shape[0]
        return batch if self.split is None else batch * self.scan.kspace.shape[2 + self.split]


def match_axes(scan: Scan, axes: Axes | None, model: str | None) -> Matched:
    """Bring a scan to the axes of a method.

    A model of slices takes a volume apart along an axis that is fully sampled, and a series into
    its frames. Where the file does not tell time from z, the model does.

    Parameters
    ----------
    scan
        The scan.
    axes
        The axes the method is made for; None for any.
    model
        What the method is called in messages.

    Raises
    ------
    InputError
        If the axes do not fit.
    """
    if axes is None:
        return Matched(scan, assumed=_taken_for_a_volume(scan))
    if axes.ndim < scan.ndim:
        return _taken_apart(scan, axes, model)
    assumed = None
    if axes.time and not scan.axes.settled:
        scan = replace(scan, axes=axes)
        assumed = (
            f"The third axis from the end of {scan.source} is taken for time: {model} reconstructs "
            f"{axes.items}."
        )
    if scan.axes != axes:
        raise _other_axes(scan, axes, model, "give a")
    if axes.ndim == 3 and scan.kspace.shape[2] == 1:
        raise InputError(
            f"The scan {scan.source} has one {axes.plane}, but the model {model} reconstructs "
            f"{axes.items}; use a model of slices."
        )
    return Matched(scan, assumed=assumed)


def require_mri(method: Reconstructor) -> None:
    """Refuse a method whose model is one of real pictures."""
    if isinstance(method, LearnedReconstructor):
        require_complex(method.network.channels, method.model)


def require_complex(channels: int, model: str | None) -> None:
    """Refuse a model of real pictures, by the real channels of its network: MRI is complex."""
    if channels != 2:
        raise InputError(
            f"The model {model} reconstructs pictures of {channels} real channels, but images of "
            "MRI are complex; give a model of MRI."
        )


def match_whole(scan: Scan, axes: Axes | None, model: str | None) -> Scan:
    """Return a scan as `match_axes` does; one that would have to be taken apart is refused.

    Parameters
    ----------
    scan, axes, model
        The scan, the axes of the method (None for any) and its name in messages.

    Raises
    ------
    InputError
        If the axes do not fit.
    """
    matched = match_axes(scan, axes, model)
    if axes is not None and matched.split is not None:
        raise _other_axes(scan, axes, model, "give a")
    return matched.scan


def _taken_apart(scan: Scan, axes: Axes, model: str | None) -> Matched:
    if scan.axes.time:
        sentence = (
            f"{model} is a model of slices: every frame is reconstructed by itself; {SERIES_MODEL} "
            "reconstructs one period of a motion as a whole."
        )
        return Matched(scan, 0, sentence)
    if scan.readout_axis is None:
        raise _other_axes(scan, axes, model, "it is undersampled along all of them; give a")
    sentence = (
        f"{model} is a model of slices: the volume is taken apart along "
        f"{scan.axes.letters[scan.readout_axis]}, where it is fully sampled, and reconstructed "
        "slice by slice."
    )
    volume = _taken_for_a_volume(scan)
    return Matched(scan, scan.readout_axis, sentence if volume is None else f"{sentence} {volume}")


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
