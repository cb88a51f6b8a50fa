"""Figures of an attack: gain against size beside the proved bound, and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from torch import Tensor

from molrecon.equilibrium.bound_text import bound_text
from molrecon.evaluation.attack.attacked import Attacked
from molrecon.evaluation.figure import error_scale
from molrecon.operators.base import LinearOperator

Array = npt.NDArray[Any]

_WHITE_PERCENTILE = 99.5
_DIFFERENCE_PERCENTILE = 99.5
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Told apart with any colour vision (Okabe and Ito)."""


def gain_figure(attacked: Sequence[Attacked], *, title: str = "") -> Figure:
    """Draw ``‖Δx‖ / ‖Δy‖`` against ``‖Δy‖ / ‖y‖``, both axes logarithmic.

    Filled markers are worst cases found, open ones means of Gaussian perturbations, horizontal
    lines the bounds: dashed if certified, dotted if conditional.
    """
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axis = figure.subplots()
    for number, one in enumerate(attacked):
        colour = _COLOURS[number % len(_COLOURS)]
        sizes = [point.epsilon for point in one.points]
        # Side by side, where methods share their sizes.
        places = [size * 1.02 ** (number - (len(attacked) - 1) / 2) for size in sizes]
        worst = [np.nan if p.worst is None else p.worst.gain for p in one.points]
        if not all(np.isnan(worst)):
            label = f"{one.name}: worst case found"
            axis.plot(places, worst, "o-", color=colour, label=label)
        noise = [p.gaussian.gain for p in one.points]
        axis.plot(
            places, noise, "o:", color=colour, mfc="white", lw=0.8, label=f"{one.name}: Gaussian"
        )
        if one.bound is not None:
            basis = "certified" if one.certified else "conditional"
            axis.axhline(
                one.bound,
                color=colour,
                ls=(0, (7, 2)) if one.certified else (0, (1, 1.5)),
                lw=1.6 if one.certified else 1.2,
                label=f"{one.name}: {basis} bound {bound_text(one.bound)}",
            )
    axis.set_xscale("log")
    axis.set_yscale("log")
    marked = sorted({point.epsilon for one in attacked for point in one.points})
    axis.set_xticks(marked, [f"{100 * one:g} %" for one in marked])
    axis.xaxis.set_minor_locator(NullLocator())
    _plain_ticks(axis)
    axis.set_xlabel("size of the perturbation, ‖Δy‖ / ‖y‖")
    axis.set_ylabel("gain, ‖Δx‖ / ‖Δy‖")
    axis.grid(which="major", lw=0.4, alpha=0.6)
    axis.set_title(title, fontsize=10)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def robust_figure(attacked: Sequence[Attacked], *, title: str = "") -> Figure:
    """Draw PSNR against the proved gain, of a model and of the same with its gain limited.

    Filled markers are the unperturbed images, open ones those under the worst perturbation found.
    """
    figure = Figure(figsize=(6.5, 4.4), layout="constrained")
    axis = figure.subplots()
    limited = [one.model or one.method for one in attacked if one.most_gain is not None]
    for number, name in enumerate(dict.fromkeys(limited)):
        known = [(one.bound, one) for one in attacked if (one.model or one.method) == name]
        curve = sorted(((b, one) for b, one in known if b is not None), key=lambda pair: pair[0])
        bounds = [bound for bound, _ in curve]
        colour = _COLOURS[number % len(_COLOURS)]
        clean = [np.nan if one.psnr is None else one.psnr for _, one in curve]
        axis.plot(bounds, clean, "o-", color=colour, label=f"{name}: unperturbed")
        for place, point in enumerate(curve[0][1].points):
            worst = [one.points[place].worst for _, one in curve]
            values = [np.nan if effect is None else effect.psnr for effect in worst]
            label = f"{name}: ‖Δy‖ = {100 * point.epsilon:g} % of ‖y‖"
            style = ("--", ":", "-.")[place % 3]
            axis.plot(bounds, values, f"o{style}", color=colour, mfc="white", label=label)
    axis.set_xscale("log")
    axis.set_xlabel("proved gain, ‖Δx‖ / ‖Δy‖")
    axis.set_ylabel("PSNR, dB")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(which="major", lw=0.4, alpha=0.6)
    axis.set_title(title, fontsize=10)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _plain_ticks(axis: Axes) -> None:
    low, high = axis.get_ylim()
    steps = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
    shown = [step for step in steps if low <= step <= high]
    axis.set_yticks(shown, [f"{step:g}" for step in shown])
    axis.yaxis.set_minor_formatter(NullFormatter())


def attack_pictures(
    attacked: Sequence[Attacked], A: LinearOperator, number: int, *, title: str = ""
) -> Figure:
    """Draw, for every method that has a worst case, what it does at the size of this ``number``.

    The columns are the image, the image under attack, their difference, and the perturbation alone
    reconstructed by zero filling. All images share a grey window; all differences share a colour
    scale, in percent of the image's maximum. The perturbations are usually much fainter than what
    they do: they are shown times a factor, that of the title, which all share. Volumes show their
    middle slice.
    """
    shown = [one for one in attacked if one.points[number].image is not None]
    rows = [_row(one, A, number) for one in shown]
    white = max(float(np.percentile(row[0], _WHITE_PERCENTILE)) for row in rows)
    peak = max(float(row[0].max()) for row in rows)
    limit, strength = (
        max(float(np.percentile(100 * row[n] / peak, _DIFFERENCE_PERCENTILE)) for row in rows)
        for n in (2, 3)
    )
    factor = _round_factor(limit / strength) if min(limit, strength) > 0 else 1.0
    height, width = rows[0][0].shape
    figure = Figure(figsize=(9.2, len(rows) * 2.2 * height / width + 1.3), layout="constrained")
    axes = figure.subplots(len(rows), 4, squeeze=False)
    headings = (
        *("image", "under attack", "|difference|"),
        f"perturbation, zero-filled, × {factor:g}",
    )
    drawn = None
    for one, row, line in zip(shown, rows, axes, strict=True):
        captions = _captions(one, number)
        for column, (axis, part) in enumerate(zip(line, row, strict=True)):
            axis.set_xticks([])
            axis.set_yticks([])
            if column < 2:
                axis.imshow(part, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
            else:
                percent = (100 if column == 2 else 100 * factor) * part / peak
                drawn = axis.imshow(
                    percent, cmap="inferno", vmin=0, vmax=limit, interpolation="nearest"
                )
            axis.set_title(f"{headings[column]}\n{captions[column]}".rstrip(), fontsize=8)
        line[0].set_ylabel(one.name, fontsize=9)
    assert drawn is not None
    error_scale(figure, drawn, axes, "% of the image's maximum")
    figure.suptitle(title, fontsize=10)
    return figure


def _round_factor(ratio: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most ``ratio``."""
    power = 10.0 ** math.floor(math.log10(ratio))
    return max((step * power for step in (1, 2, 5) if step * power <= ratio), default=power)


def _captions(one: Attacked, number: int) -> tuple[str, ...]:
    effect = one.points[number].worst
    assert effect is not None
    return (
        "" if one.psnr is None else f"{one.psnr:.1f} dB",
        f"{effect.psnr:.1f} dB",
        f"{100 * effect.change:.1f} % of ‖x‖, gain {effect.gain:.3g}",
        "",
    )


@torch.no_grad()
def _row(one: Attacked, A: LinearOperator, number: int) -> tuple[Array, ...]:
    point = one.points[number]
    assert point.image is not None
    assert point.delta is not None
    effect = A.H(point.delta.to(A.device))
    images = (one.image, point.image, point.image - one.image, effect)
    return tuple(map(_plane, images))


def _plane(image: Tensor) -> Array:
    """Magnitude of the slice shown."""
    plane = image.detach().cpu()[0, 0]
    if plane.ndim == 3:
        plane = plane[plane.shape[0] // 2]
    magnitude: Array = plane.abs().numpy()
    return magnitude
