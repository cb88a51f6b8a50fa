"""How close an image is to its reference: PSNR, SSIM, NMSE, and how to add another.

Every figure is the mean over units: over 2D slices by default, or over whole volumes. It comes as
a `Score`, with the range of values and the averaging that it rests on. `METRICS` holds all there
is: whatever is put into it stands in every table, figure and command.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.evaluation.ssim import WindowName, structural_similarity
from molrecon.operators.checks import check_tensor

Unit = Literal["slice", "volume"]
DataRange = Unit | float


@dataclass(frozen=True)
class Score:
    """A figure of merit with what it rests on.

    Attributes
    ----------
    value
        Mean over the units, in the metric's own unit; infinite for the PSNR of equal images.
    each
        The figure of every unit.
    data_range
        The range of values used for every unit, in the units of the reference; empty for metrics
        that need none.
    range_rule
        Where the range comes from, in words.
    averaging
        What the value is a mean of, in words.
    values
        What was compared: ``"magnitude"`` or ``"complex"``.

    Examples
    --------
    >>> reference = torch.ones(2, 1, 8, 8)
    >>> score = psnr(0.9 * reference, reference)
    >>> round(score.value, 3), score.data_range, score.averaging
    (20.0, (1.0, 1.0), 'mean over 2 slices')
    """

    value: float
    each: tuple[float, ...]
    data_range: tuple[float, ...]
    range_rule: str
    averaging: str
    values: str = "magnitude"

    @property
    def span(self) -> float | tuple[float, ...] | None:
        """The one range of all units, or the range of each; None where none is needed."""
        return self.data_range[0] if len(set(self.data_range)) == 1 else self.data_range or None

    @property
    def basis(self) -> str:
        """What the figure rests on, in words."""
        if not self.data_range:
            return f"no range needed; {self.averaging}; {self.values}"
        low, high = min(self.data_range), max(self.data_range)
        span = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        return f"range {span}: {self.range_rule}; {self.averaging}; {self.values}"


@dataclass(frozen=True)
class Metric:
    """A figure of merit: how it is computed, and how tables show it.

    Attributes
    ----------
    name
        Its key in `METRICS` and in files, as ``"psnr"``.
    function
        From images and references, real or complex ``(unit, *spatial)`` in double precision, and
        the range of values of every unit, real ``(unit,)``, to real ``(unit,)``. NaN where there is
        no figure.
    digits
        Decimal places in tables.
    unit
        Unit of the figure, as ``"dB"``; empty for a number without one.
    higher_is_better
        Whether larger figures are those of better images.
    needs_range
        Whether the function uses the range of values.
    magnitude_only
        Whether complex values cannot be compared.
    on_screen
        Whether it also stands where room is short: in tables on a screen and below pictures.

    Examples
    --------
    >>> def mean_error(image, reference, data_range):
    ...     return (image - reference).abs().flatten(1).mean(1)
    >>> error = Metric("mae", mean_error, digits=3, higher_is_better=False, needs_range=False)
    >>> error(torch.full((1, 1, 8, 8), 0.75), torch.ones(1, 1, 8, 8)).value
    0.25
    >>> error.title, error.text(0.25)
    ('MAE', '0.250')
    """

    name: str
    function: Callable[[Tensor, Tensor, Tensor], Tensor]
    digits: int
    unit: str = ""
    higher_is_better: bool = True
    needs_range: bool = True
    magnitude_only: bool = False
    on_screen: bool = True

    @property
    def title(self) -> str:
        """The name as it stands in a sentence."""
        return self.name.upper()

    @property
    def heading(self) -> str:
        """The name with its unit, as it stands above a column."""
        return f"{self.title} / {self.unit}" if self.unit else self.title

    def text(self, value: float) -> str:
        """Return a figure with its digits and unit."""
        return f"{value:.{self.digits}f} {self.unit}".rstrip()

    def __call__(
        self,
        image: Tensor,
        reference: Tensor,
        *,
        over: Unit = "slice",
        data_range: DataRange | None = None,
        complex_values: bool = False,
    ) -> Score:
        """Compare an image with its reference.

        Parameters
        ----------
        image, reference
            Real or complex ``(batch, 1, y, x)`` or ``(batch, 1, z, y, x)``, in the same units.
        over
            ``"slice"``: the mean of the figures of all 2D slices; ``"volume"``: the mean of those
            of all items of the batch.
        data_range
            ``"slice"`` or ``"volume"``: the maximum of the reference's magnitude in each slice or
            each item; or a positive number. By default that of the units in ``over``. Without
            effect on a metric that needs no range.
        complex_values
            Compare complex values in place of magnitudes, if the metric can.

        Images of other shapes, with values that are not finite, or without a figure are refused.
        """
        _check(image, reference, over)
        complex_values = complex_values and not self.magnitude_only
        axes = 2 if over == "slice" else reference.ndim - 2
        x, truth = (_units(one, axes, complex_values) for one in (image, reference))
        span, rule = truth.new_ones(len(truth)).abs(), "none needed"
        if self.needs_range:
            span, rule = _range(reference, truth, over, data_range)
        each = tuple(float(value) for value in self.function(x, truth, span))
        if any(map(math.isnan, each)):
            raise InputError(
                f"The {self.title} of {over} {next(n for n, v in enumerate(each) if math.isnan(v))}"
                " does not exist, most likely because the reference is zero throughout; leave that "
                "part out or average over whole volumes."
            )
        return Score(
            value=math.fsum(each) / len(each) if all(map(math.isfinite, each)) else math.inf,
            each=each,
            data_range=tuple(span.tolist()) if self.needs_range else (),
            range_rule=rule,
            averaging=f"mean over {len(each)} {over}s" if len(each) > 1 else f"one {over}",
            values="complex" if complex_values else "magnitude",
        )


def _peak_signal_to_noise(image: Tensor, reference: Tensor, data_range: Tensor) -> Tensor:
    error = (image - reference).abs().square().flatten(1).mean(1)
    return 10 * torch.log10(data_range.square() / error)


def _normalised_squared_error(image: Tensor, reference: Tensor, data_range: Tensor) -> Tensor:
    error = (image - reference).abs().square().flatten(1).sum(1)
    power = reference.abs().square().flatten(1).sum(1)
    return torch.where(power > 0, error / power, math.nan)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", _peak_signal_to_noise, digits=2, unit="dB"),
        Metric("ssim", structural_similarity, digits=4, magnitude_only=True),
        Metric(
            "nmse",
            _normalised_squared_error,
            digits=5,
            higher_is_better=False,
            needs_range=False,
            on_screen=False,
        ),
    )
}
"""All metrics by name, in the order of tables. Tables, summaries, figures and commands read them
here: ``METRICS[metric.name] = metric`` adds one."""


def scores(
    image: Tensor,
    reference: Tensor,
    *,
    over: Unit = "slice",
    data_range: DataRange | None = None,
    complex_values: bool = False,
) -> dict[str, Score]:
    """Return the score in every metric, by name; the arguments are those of `Metric`."""
    return {
        name: metric(
            image, reference, over=over, data_range=data_range, complex_values=complex_values
        )
        for name, metric in METRICS.items()
    }


def caption(values: Mapping[str, float | None]) -> str:
    """Return figures, by metric, as one line for below a picture; empty if there are none."""
    shown = [(metric, values.get(name)) for name, metric in METRICS.items() if metric.on_screen]
    return ", ".join(f"{one.title} {one.text(value)}" for one, value in shown if value is not None)


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
        Compare complex values in place of magnitudes.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, or the range is not positive.

    Examples
    --------
    >>> reference = torch.ones(1, 1, 8, 8)
    >>> round(psnr(0.9 * reference, reference).value, 3)
    20.0
    """
    metric = METRICS["psnr"]
    return metric(image, reference, over=over, data_range=data_range, complex_values=complex_values)


def nmse(
    image: Tensor, reference: Tensor, *, over: Unit = "slice", complex_values: bool = False
) -> Score:
    """Normalised mean squared error, ``‖image − reference‖² / ‖reference‖²``.

    Parameters
    ----------
    image, reference
        Real or complex ``(batch, 1, y, x)`` or ``(batch, 1, z, y, x)``, in the same units.
    over
        ``"slice"``: the mean of the figures of all 2D slices; ``"volume"``: the mean of those of
        all items of the batch.
    complex_values
        Compare complex values in place of magnitudes.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, or a unit of the reference is zero throughout.

    Examples
    --------
    >>> reference = torch.ones(1, 1, 8, 8)
    >>> nmse(0.5 * reference, reference).value
    0.25
    """
    return METRICS["nmse"](image, reference, over=over, complex_values=complex_values)


def ssim(
    image: Tensor,
    reference: Tensor,
    *,
    over: Unit = "slice",
    data_range: DataRange | None = None,
    window: WindowName = "uniform",
) -> Score:
    """Structural similarity of the magnitudes, see `structural_similarity`.

    Parameters
    ----------
    image, reference
        Real or complex ``(batch, 1, y, x)`` or ``(batch, 1, z, y, x)``, in the same units; at least
        as many pixels along each axis as the window has.
    over
        ``"slice"``: the mean of the figures of all 2D slices; ``"volume"``: the mean of those of
        all items of the batch, with windows in three dimensions.
    data_range
        ``"slice"`` or ``"volume"``: the maximum of the reference's magnitude in each slice or
        each item; or a positive number. By default that of the units in ``over``.
    window
        ``"uniform"``, 7 pixels wide, or ``"gaussian"``, of standard deviation 1.5 pixels and 11
        pixels wide.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, the range is not positive, or an axis is
        shorter than the window.

    Examples
    --------
    >>> reference = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    >>> ssim(reference, reference).value
    1.0
    """
    metric = replace(METRICS["ssim"], function=partial(structural_similarity, window=window))
    return metric(image, reference, over=over, data_range=data_range)


def _units(x: Tensor, axes: int, complex_values: bool) -> Tensor:
    """Return the units to be compared, ``(unit, *spatial)``."""
    x = x.detach()
    values = x.to(torch.complex128) if complex_values else x.abs().double()
    return values.reshape(-1, *x.shape[-axes:])


def _range(
    reference: Tensor, units: Tensor, over: Unit, data_range: DataRange | None
) -> tuple[Tensor, str]:
    """Return the range of values of every unit ``(unit,)``, and where it comes from."""
    rule = over if data_range is None else data_range
    if not isinstance(rule, str):
        span, words = units.abs().new_full((len(units),), rule), "given"
    elif rule not in ("slice", "volume") or (rule == "slice" and over == "volume"):
        raise InputError(
            f"data range: found {rule!r} for figures over each {over}, expected a number, "
            "'volume', or 'slice' for figures over slices."
        )
    else:
        parts = units if rule == over else reference.detach().abs().double()
        span = parts.abs().flatten(1).amax(1).repeat_interleave(len(units) // len(parts))
        words = f"maximum of the reference's magnitude in each {rule}"
    if not bool((torch.isfinite(span) & (span > 0)).all()):
        raise InputError(
            "data range: found a value that is not positive (the reference may be zero in a "
            "whole slice), but a range of values was expected; give a positive number or use "
            "the range of the volume."
        )
    return span, words


def _check(image: Tensor, reference: Tensor, over: str) -> None:
    if over not in ("slice", "volume"):
        raise InputError(f"over: found {over!r}, expected 'slice' or 'volume'.")
    check_tensor("image", image)
    check_tensor("reference", reference)
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
