"""Figures that compare reconstructions, each with a magnified inset, and their errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from torch import Tensor

from molrecon.data.atomic import atomic_path
from molrecon.data.slices import SIGNAL
from molrecon.errors import InputError

Array = npt.NDArray[Any]
Zoom = tuple[int, int, int, int]

_WHITE_PERCENTILE = 99.0
_HEADROOM = 1.1
_ERROR_PERCENTILE = 99.5
_INSET = 0.38
"""Side of the inset, relative to the image."""
_ACCENT = "#ffb000"
_MOST_COLUMNS = 6
_SIDE = 2.3
"""Width of a column in inches."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A method in a figure."""

    title: str  # its label
    # real or complex ``(y, x)`` in the units of the reference; None if it failed
    image: Tensor | None
    caption: str = ""  # printed below the title


def methods_figure(
    reference: Tensor,
    shown: Sequence[Shown],
    *,
    zoom: Zoom | None = None,
    mask: Tensor | None = None,
    title: str = "",
) -> Figure:
    """Draw the reference and every method: magnitudes with an inset, and error images below.

    All magnitudes share one grey window, which the figure states: from 0 to the 99th percentile of
    the reference, or to a tenth above the maximum of the inset if that is more, so that noise does
    not saturate there, but at most to the maximum. Error images show the difference of magnitudes
    in percent of the reference's maximum, on one scale that ends at the 99.5th percentile of the
    second-worst of them.

    Parameters
    ----------
    reference
        Real or complex ``(y, x)``.
    shown
        The methods; more than five go on in further rows.
    zoom
        First and last row (not included), first and last column of the inset; by default where
        the reference is most detailed.
    mask
        ``(y, x)``, shown below the reference.
    title
        Heading.
    """
    truth = _magnitude(reference)
    panels = [_Panel("Reference", "", truth, None)]
    panels += [_panel(one, truth) for one in shown]
    part = checked_zoom(zoom, truth.shape) if zoom else most_detailed(reference)
    white = white_level(truth, part)
    figure, axes = _grid(len(panels), truth.shape)
    window = f"0 to {white / float(truth.max()):.0%} of the reference's maximum"
    figure.suptitle(f"{title}\ngrey window of all images: {window}".strip(), fontsize=10)
    limit = error_limit([one.error for one in panels if one.error is not None])
    corner, drawn = _emptiest_corner(truth, part), None
    for number, panel in enumerate(panels):
        block, column = divmod(number, axes.shape[1])
        pair = axes[2 * block, column], axes[2 * block + 1, column]
        drawn = _draw(panel, pair, part, corner, white, limit) or drawn
    if mask is not None:
        axes[1, 0].imshow(mask.detach().cpu().numpy(), cmap="gray", interpolation="nearest")
        axes[1, 0].set_title("sampled k-space", fontsize=8)
    if drawn is not None:
        label = "|error|, % of the reference's maximum"
        error_scale(figure, drawn, axes, label, fraction=0.02, pad=0.01)
    return figure


@dataclass(frozen=True, eq=False)
class _Panel:
    """What stands in a column of the figure; no image if it failed, no error if it is the truth."""

    title: str
    caption: str
    image: Array | None
    error: Array | None


def _panel(one: Shown, truth: Array) -> _Panel:
    """Return a method's image and its error, in percent of the reference's maximum."""
    if one.image is None:
        return _Panel(one.title, one.caption, None, None)
    image = _magnitude(one.image)
    if image.shape != truth.shape:
        raise InputError(
            f"figure: {one.title} has the shape {image.shape}, but the reference has "
            f"{truth.shape}; show images of the same shape."
        )
    error = 100 * np.abs(image - truth) / float(truth.max())
    return _Panel(one.title, one.caption, image, error)


def _draw(
    panel: _Panel,
    axes: tuple[Axes, Axes],
    part: Zoom,
    corner: tuple[bool, bool],
    white: float,
    limit: float,
) -> Any:
    """Draw an image with its inset, and its error below; return the error drawn, None if none."""
    above, below = axes
    above.set_title(f"{panel.title}\n{panel.caption}", fontsize=9)
    if panel.image is None:
        above.text(0.5, 0.5, "failed", ha="center", va="center", transform=above.transAxes)
        return None
    above.imshow(panel.image, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    _inset(above, panel.image, part, corner, white)
    if panel.error is None:
        return None
    return below.imshow(panel.error, cmap="inferno", vmin=0, vmax=limit, interpolation="nearest")


def white_level(truth: Array, part: Zoom) -> float:
    """Return the value shown as white: noise must not saturate in the inset."""
    top, bottom, left, right = part
    peak = float(truth.max())
    inside = min(_HEADROOM * float(truth[top:bottom, left:right].max()), peak)
    return max(float(np.percentile(truth, _WHITE_PERCENTILE)), inside) or peak


def _grid(panels: int, shape: tuple[int, ...]) -> tuple[Figure, Any]:
    """Return a figure and its axes: blocks of two rows, that of images and that of errors."""
    height, width = shape
    blocks = -(-panels // _MOST_COLUMNS)
    columns = -(-panels // blocks)
    figure = Figure(
        figsize=(_SIDE * columns, blocks * (2 * _SIDE * height / width + 0.55) + 1.2),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01),
    )
    axes = figure.subplots(2 * blocks, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def error_scale(figure: Figure, drawn: Any, axes: Any, label: str, **place: Any) -> None:
    """Draw the scale of error images below all axes."""
    bar = figure.colorbar(
        drawn,
        ax=axes.ravel().tolist(),
        location="bottom",
        aspect=40,
        shrink=0.5,
        extend="max",
        **place,
    )
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dots_per_inch: int = 150) -> None:
    """Write a figure as a whole or not at all; the extension of the path decides the format."""
    with atomic_path(path) as part:
        figure.savefig(part, dpi=dots_per_inch)


def most_detailed(reference: Tensor) -> Zoom:
    """Return the window, a quarter of each side, that holds the most detail.

    It is given by first and last row (not included), first and last column. It depends on the
    reference alone, so that no method is favoured.
    """
    magnitude = reference.detach().cpu().abs().double()
    rows, columns = magnitude.shape
    window = max(4, rows // 4), max(4, columns // 4)
    if rows <= window[0] or columns <= window[1]:
        return 0, rows, 0, columns
    slope = torch.zeros_like(magnitude)
    slope[:-1] += magnitude.diff(dim=0).abs()
    slope[:, :-1] += magnitude.diff(dim=1).abs()
    # Capped, so that fine structure counts for more than one bright edge, as of the skin.
    signal = magnitude > SIGNAL * np.percentile(magnitude, _WHITE_PERCENTILE)
    cap = float(slope[signal].mean()) if bool(signal.any()) else 1.0
    detail = slope.clamp_max(1.5 * cap) * signal
    means = torch.nn.functional.avg_pool2d(detail[None], window, stride=1)[0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    return row, row + window[0], column, column + window[1]


def _emptiest_corner(truth: Array, part: Zoom) -> tuple[bool, bool]:
    """Return (bottom, right) of the corner where an inset hides least, away from the part."""
    height, width = truth.shape
    rows, columns = int(_INSET * height), int(_INSET * width)
    top, bottom, left, right = part

    total = float(truth.sum())

    def hidden(corner: tuple[bool, bool]) -> float:
        y, x = (height - rows) * corner[0], (width - columns) * corner[1]
        covers = y < bottom and top < y + rows and x < right and left < x + columns
        return float(truth[y : y + rows, x : x + columns].sum()) + (total if covers else 0.0)

    return min(((False, True), (True, True), (True, False), (False, False)), key=hidden)


def _inset(axis: Axes, image: Array, part: Zoom, corner: tuple[bool, bool], white: float) -> None:
    """Magnify a part in a corner, (bottom, right), and frame it where it is."""
    top, bottom, left, right = part
    axis.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, ec=_ACCENT, lw=0.8
        )
    )
    low, right_side = corner
    x, y = (1 - _INSET) * right_side, (1 - _INSET) * (not low)
    inset = axis.inset_axes((x, y, _INSET, _INSET))
    inset.imshow(
        image[top:bottom, left:right], cmap="gray", vmin=0, vmax=white, interpolation="nearest"
    )
    # Its pixels stay square: where that leaves room, it still sits in the corner.
    inset.set_anchor(("N" if y else "S") + ("E" if x else "W"))
    inset.set_xticks([])
    inset.set_yticks([])
    for spine in inset.spines.values():
        spine.set_color(_ACCENT)
        spine.set_linewidth(1.0)


def error_limit(errors: Sequence[Array]) -> float:
    """Return the end of the scale of error images: it fits the second-worst of them.

    The worst would leave the others black.
    """
    limits = sorted(float(np.percentile(error, _ERROR_PERCENTILE)) for error in errors)
    return (limits[-2:] or [1.0])[0] or 1.0


def checked_zoom(zoom: Zoom, shape: tuple[int, ...]) -> Zoom:
    """Return the part of an image, refused if it is none."""
    top, bottom, left, right = zoom
    if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
        raise InputError(
            f"figure: the zoom {zoom} is no part of an image of {shape[0]} × {shape[1]} pixels; "
            "give first row, last row, first column, last column."
        )
    return zoom


def _magnitude(image: Tensor) -> Array:
    magnitude: Array = image.detach().cpu().abs().numpy()
    return magnitude
