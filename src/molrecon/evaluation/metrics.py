"""How close an image is to its reference, with the range and averaging that each number rests on.

All numbers are means over units: over 2D slices by default, or over whole volumes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.evaluation.ssim import WindowName, structural_similarity

Unit = Literal["slice", "volume"]
DataRange = Unit | float


@dataclass(frozen=True)
class Score:
    """A metric with what it rests on.

    Attributes
    ----------
    value
        Mean over the units. PSNR in dB; infinite for equal images.
    each
        The metric of every unit.
    data_range
        The range of values used for every unit, in the units of the reference; empty for metrics
        that need none.
    range_rule
        Where the range comes from, in words.
    averaging
        What the value is a mean of, in words.
    """

    value: float
    each: tuple[float, ...]
    data_range: tuple[float, ...]
    range_rule: str
    averaging: str


def psnr(
    image: Tensor,
    reference: Tensor,
    *,
    over: Unit = "slice",
    data_range: DataRange | None = None,
    complex_values: bool = False,
) -> Score:
    """Peak signal-to-noise ratio, ``10 log10(range² / mean|image − reference|²)`` in dB.

    Parameters
    ----------
    image, reference
        Real or complex ``(batch, 1, y, x)`` or ``(batch, 1, z, y, x)``, in the same units.
    over
        ``"slice"``: the mean of the figures of all 2D slices; ``"volume"``: the mean of those of
        all items of the batch.
    data_range
        ``"slice"`` or ``"volume"``: the maximum of the reference's magnitude in each slice or
        each item; or a positive number. By default that of the units in ``over``.
    complex_values
        Compare complex values instead of magnitudes.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, or the range is not positive.

    Examples
    --------
    >>> reference = torch.ones(1, 1, 8, 8)
    >>> round(psnr(reference + 0.1, reference).value, 3)
    20.0
    """
    units = _Units(image, reference, over, data_range, complex_values)
    error = (units.image - units.reference).abs().square().flatten(1).mean(1)
    values = 10 * torch.log10(units.range.square() / error)
    return units.score(values)


def nmse(
    image: Tensor, reference: Tensor, *, over: Unit = "slice", complex_values: bool = False
) -> Score:
    """Normalised mean squared error, ``‖image − reference‖² / ‖reference‖²``.

    Parameters and exceptions are those of `psnr`; no range is needed.
    """
    units = _Units(image, reference, over, 1.0, complex_values)
    power = units.reference.abs().square().flatten(1).sum(1)
    empty = torch.nonzero(power == 0).flatten().tolist()
    if empty:
        raise InputError(
            f"NMSE: the reference is zero throughout {over} {empty[0]}, and a relative error "
            "needs a signal; leave that part out or average over whole volumes."
        )
    error = (units.image - units.reference).abs().square().flatten(1).sum(1)
    score = units.score(error / power)
    return Score(score.value, score.each, (), "none needed", score.averaging)


def ssim(
    image: Tensor,
    reference: Tensor,
    *,
    over: Unit = "slice",
    data_range: DataRange | None = None,
    window: WindowName = "uniform",
) -> Score:
    """Structural similarity of the magnitudes, see `structural_similarity`.

    Parameters and exceptions are those of `psnr`; over volumes the windows are cubes.
    """
    units = _Units(image, reference, over, data_range, False)
    return units.score(
        structural_similarity(units.image, units.reference, units.range, window=window)
    )


class _Units:
    """Image and reference cut into the units to be measured, ``(unit, *spatial)``."""

    def __init__(
        self,
        image: Tensor,
        reference: Tensor,
        over: Unit,
        data_range: DataRange | None,
        complex_values: bool,
    ) -> None:
        _check(image, reference, over)
        axes = 2 if over == "slice" else reference.ndim - 2
        whole = reference.abs().double().flatten(1)
        self.reference = _values(reference, axes, complex_values)
        self.image = _values(image, axes, complex_values)
        self.over = over
        count = self.reference.shape[0]
        rule = over if data_range is None else data_range
        if isinstance(rule, str):
            if rule not in ("slice", "volume") or (rule == "slice" and over == "volume"):
                raise InputError(
                    f"data range: found {rule!r} for figures over each {over}, expected a number, "
                    "'volume', or 'slice' for figures over slices."
                )
            per_volume = whole.amax(1).repeat_interleave(count // whole.shape[0])
            per_unit = self.reference.abs().flatten(1).amax(1)
            self.range = per_unit if rule == over else per_volume
            self.rule = f"maximum of the reference's magnitude in each {rule}"
        else:
            self.range = self.reference.abs().new_full((count,), rule)
            self.rule = "given"
        if not bool((torch.isfinite(self.range) & (self.range > 0)).all()):
            raise InputError(
                "data range: found a value that is not positive (the reference may be zero in a "
                "whole slice), but a range of values was expected; give a positive number or use "
                "the range of the volume."
            )

    def score(self, values: Tensor) -> Score:
        each = tuple(float(value) for value in values)
        many = f"mean over {len(each)} {self.over}s"
        return Score(
            value=math.fsum(each) / len(each) if all(map(math.isfinite, each)) else math.inf,
            each=each,
            data_range=tuple(float(value) for value in self.range),
            range_rule=self.rule,
            averaging=many if len(each) > 1 else f"one {self.over}",
        )


def _values(x: Tensor, axes: int, complex_values: bool) -> Tensor:
    x = x.detach()
    values = x.to(torch.complex128) if complex_values else x.abs().double()
    return values.reshape(-1, *x.shape[-axes:])


def _check(image: Tensor, reference: Tensor, over: str) -> None:
    if over not in ("slice", "volume"):
        raise InputError(f"over: found {over!r}, expected 'slice' or 'volume'.")
    if image.shape != reference.shape:
        raise InputError(
            f"metrics: the image has shape {tuple(image.shape)}, but the reference has "
            f"{tuple(reference.shape)}; compare images of the same shape."
        )
    if reference.ndim not in (4, 5) or reference.shape[1] != 1 or reference.numel() == 0:
        raise InputError(
            f"metrics: found shape {tuple(reference.shape)}, expected (batch, 1, y, x) or "
            "(batch, 1, z, y, x)."
        )
    for name, value in (("image", image), ("reference", reference)):
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"metrics: the {name} holds NaN or infinite values; check it.")
