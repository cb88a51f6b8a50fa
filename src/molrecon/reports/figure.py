"""`molrecon.figure`: images side by side as a figure for print."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.data.arrays import Array
from molrecon.data.atomic import check_writable
from molrecon.data.formats.reading import PathLike
from molrecon.errors import InputError
from molrecon.evaluation.figure import (
    Zoom,
    checked_zoom,
    error_limit,
    most_detailed,
    save_figure,
    white_level,
)
from molrecon.pipeline.reconstruction import Reconstruction
from molrecon.reports.content import Panel, Section
from molrecon.reports.pixels import planes_of
from molrecon.reports.sources import Shown, section_of

ROWS = ("image", "zoom", "error")
KINDS = (".png", ".pdf", ".svg")
MM = 1 / 25.4
LARGEST = 2000.0
"""Width and height of a figure in mm, at most."""
_SETTINGS: Any = {
    "font.size": 7.0,
    "axes.linewidth": 0.5,
    # Text stays text, and the same figure is the same file.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "molrecon",
}
_GAP = 0.8
"""Space between panels, in mm."""
_LINE, _BAR, _EDGE = 3.1, 12.0, 1.0
"""Height of a line of a title, width of the colour bars with their labels, and margin, in mm."""
_TALL = 36.0
"""Height of a row in mm from which the label of its colour bar has room for all of it."""
_ACCENT = "#ffb000"


def figure(
    shown: Shown | Sequence[Shown | Panel],
    output: PathLike,
    *,
    reference: Reconstruction | PathLike | Tensor | None = None,
    titles: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    zoom: Zoom | None = None,
    plane: int | None = None,
    window: tuple[float, float] | None = None,
    unit: str = "a.u.",
    width: float = 180.0,
    dots_per_inch: int = 600,
) -> Path:
    """Write images side by side as a figure for print: a column for each, with the reference first.

    Rows are the images on one grey scale, a part of them, and their errors on one scale. Each has a
    colour bar with its unit; a scale bar stands in the first column, in mm if the first image tells
    the size of its pixels.

    Parameters
    ----------
    shown
        What `reconstruct` returned, or the path of an image file (see `read_image`), or several of
        them, of one shape.
    output
        The file, ``.png``, ``.pdf`` or ``.svg``; it is replaced as a whole or not at all.
    reference
        The right image, of the same shape and in the same unit; an image ``(batch, 1, *spatial)``
        or a file. With it come PSNR and SSIM, and the row of errors.
    titles
        Headings of the columns, that of the reference first if there is one; by default methods
        and names of files.
    rows
        Some of ``"image"``, ``"zoom"`` and ``"error"``, from top to bottom; by default all that
        there are.
    zoom
        First and last row (not included), first and last column of the part that is enlarged, in
        pixels; by default where the reference, or the first image, is most detailed.
    plane
        Number of the slice or frame, from 0; by default the middle slice, or the first frame.
    window
        Values shown as black and white, in the unit of the images; by default 0 and the 99th
        percentile of the first image, or more where the part that is enlarged needs it.
    unit
        Unit of the images, for the label of their colour bar.
    width
        Width of the figure in mm: 180 is that of a page of most journals, 85 that of a column.
    dots_per_inch
        Resolution of a PNG, and of the images in a PDF.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the shapes differ, there is nothing to show, an argument is out of range, or the file
        cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile, torch
    >>> from molrecon import figure
    >>> image = torch.hann_window(32)[:, None] * torch.hann_window(32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/image.npy", 0.9 * image.numpy())
    ...     file = figure(f"{folder}/image.npy", f"{folder}/figure.png",
    ...                   reference=image[None, None], width=85, dots_per_inch=72)
    ...     file.stat().st_size > 1000
    True
    """
    target = check_figure(output)
    require_positive("width", width, most=LARGEST)
    items = [shown] if isinstance(shown, str | os.PathLike | Reconstruction) else shown
    section = section_of(items, reference)
    made = _content(section, plane, titles, rows, zoom, window)
    with matplotlib.rc_context(_SETTINGS):
        save_figure(_drawn(made, width, unit), target, dots_per_inch=dots_per_inch)
    return target


def check_figure(output: PathLike) -> Path:
    """Refuse a figure that could not be written, before any work is done for it."""
    target = check_writable(output)
    if target.suffix.lower() not in KINDS:
        raise InputError(
            f"The figure {target} ends in {target.suffix or 'nothing'}, expected .png, .pdf or "
            ".svg; rename it."
        )
    return target


@dataclass(frozen=True, eq=False)
class _Column:
    title: str
    image: Array
    error: Array | None  # in percent of the reference's maximum; None of the reference itself


@dataclass(frozen=True, eq=False)
class _Content:
    """What a figure shows."""

    columns: list[_Column]
    rows: tuple[str, ...]
    part: Zoom
    window: tuple[float, float]
    limit: float  # end of the scale of errors
    spacing: tuple[float, float] | None  # mm along (y, x)


def _content(
    section: Section,
    plane: int | None,
    titles: Sequence[str] | None,
    rows: Sequence[str] | None,
    zoom: Zoom | None,
    window: tuple[float, float] | None,
) -> _Content:
    panels = [one for one in section.shown if one.image is not None]
    images = [_plane(one, section, plane) for one in panels]
    names = [f"{one.title}\n{one.caption}".strip() for one in panels]
    if titles is not None:
        if len(titles) != len(names):
            raise InputError(f"titles are {len(titles)}, expected {len(names)}; give one a column.")
        names = [f"{t}\n{one.caption}".strip() for t, one in zip(titles, panels, strict=True)]
    truth = images[0] if section.reference is not None else None
    errors = [None if truth is None or one is truth else _error(one, truth) for one in images]
    part = checked_zoom(zoom, images[0].shape) if zoom else most_detailed(_tensor(images[0]))
    window = window or (0.0, white_level(images[0], part) or 1.0)
    if not window[0] < window[1]:
        raise InputError(f"window is {window}, expected black below white; correct it.")
    found = zip(names, images, errors, strict=True)
    return _Content(
        [_Column(*one) for one in found],
        _rows(rows, truth is not None),
        part,
        window,
        1.0 if truth is None else error_limit([one for one in errors if one is not None]),
        section.spacing,
    )


def _plane(panel: Panel, section: Section, number: int | None) -> Array:
    assert panel.image is not None
    count = len(section.planes)
    if number is None:
        number = count // 2 if section.plane == "slice" else 0
    if not 0 <= number < count:
        raise InputError(
            f"{section.plane} is {number}, but there are {count}, counted from 0; choose one."
        )
    shape = panel.image.shape[-2:]
    # A view: no other plane is read of an image that is mapped from disk.
    flat = panel.image.reshape(-1, 1, *shape)
    return next(planes_of(flat[number : number + 1]))


def _tensor(image: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))


def _error(image: Array, truth: Array) -> Array:
    error: Array = 100 * np.abs(image - truth) / (float(truth.max()) or 1.0)
    return error


def _rows(rows: Sequence[str] | None, known: bool) -> tuple[str, ...]:
    there = ROWS if known else ROWS[:2]
    if rows is None:
        return there
    for one in rows:
        if one not in there:
            why = " without a reference" if one in ROWS else ""
            raise InputError(f"rows holds {one!r}{why}, expected some of {', '.join(there)}.")
    if not rows:
        raise InputError(f"rows is empty, expected some of {', '.join(there)}.")
    return tuple(rows)


def _drawn(content: _Content, width: float, unit: str) -> Figure:
    """Return the figure, every panel at its place in mm."""
    ratio = 1.0 if content.spacing is None else content.spacing[0] / content.spacing[1]
    count = len(content.columns)
    side = (width - _BAR - 2 * _EDGE - (count - 1) * _GAP) / count
    if side < 5:
        raise InputError(f"width is {width:g} mm, too little for {count} columns; enlarge it.")
    top, bottom, left, right = content.part
    rows, columns = content.columns[0].image.shape
    whole = side * ratio * rows / columns
    heights = [
        side * ratio * (bottom - top) / (right - left) if one == "zoom" else whole
        for one in content.rows
    ]
    titles = [_wrapped(one.title, side) for one in content.columns]
    above = _LINE * max(1 + one.count("\n") for one in titles) + _EDGE
    height = above + sum(heights) + (len(heights) - 1) * _GAP + _EDGE
    if height > LARGEST:
        raise InputError(
            f"The figure would be {height:.0f} mm high, expected at most {LARGEST:g}: images of "
            f"{rows} × {columns} are narrow for a width of {width:g} mm; give a smaller width or "
            "fewer rows."
        )
    drawn = Figure(figsize=(width * MM, height * MM))
    place = height - above
    for kind, tall in zip(content.rows, heights, strict=True):
        place -= tall
        shown: Any = None
        for number, column in enumerate(content.columns):
            at = _EDGE + number * (side + _GAP)
            box = (at / width, place / height, side / width, tall / height)
            axis = drawn.add_axes(box)
            shown = _panel(axis, kind, column, content, ratio) or shown
            if kind == content.rows[0]:
                axis.set_title(titles[number], fontsize=7, pad=2)
            if number == 0 and kind != "error":
                _scale_bar(axis, content.spacing)
        at = _EDGE + count * (side + _GAP)
        # A part has the scale of the images, whose bar is above.
        if kind != "zoom" or "image" not in content.rows:
            box = (at / width, (place + 0.08 * tall) / height, 2 / width, 0.84 * tall / height)
            share = "|error| / % of maximum" if tall > _TALL else "|error| / %"
            _colour_bar(drawn, shown, box, share if kind == "error" else f"magnitude / {unit}")
        place -= _GAP
    return drawn


def _wrapped(title: str, side: float) -> str:
    """Return a title whose figures stand below each other where a column is narrow, in mm."""
    return title.replace(", SSIM", "\nSSIM") if side < 38 else title


def _panel(axis: Axes, kind: str, column: _Column, content: _Content, ratio: float) -> Any:
    """Draw one panel; return what its colour bar is of, None for what has no error."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    top, bottom, left, right = content.part
    values = column.error if kind == "error" else column.image
    low, high = (0.0, content.limit) if kind == "error" else content.window
    if values is None:
        return None
    if kind == "zoom":
        values = values[top:bottom, left:right]
    shown = axis.imshow(
        values,
        cmap="inferno" if kind == "error" else "gray",
        vmin=low,
        vmax=high,
        aspect=ratio,
        interpolation="nearest",
    )
    if kind == "image" and "zoom" in content.rows:
        corner = (left - 0.5, top - 0.5)
        sides = (right - left, bottom - top)
        axis.add_patch(Rectangle(corner, *sides, fill=False, ec=_ACCENT, lw=0.6))
    return shown


def _colour_bar(drawn: Figure, shown: Any, box: Any, label: str) -> None:
    bar = drawn.colorbar(shown, cax=drawn.add_axes(box), extend="max", extendfrac=0.03)
    bar.set_label(label, labelpad=1, fontsize=6.5)
    bar.ax.tick_params(length=1.5, width=0.5, pad=1, labelsize=6)
    bar.outline.set_linewidth(0.4)


def nice_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-12))


def _scale_bar(axis: Axes, spacing: tuple[float, float] | None) -> None:
    """Draw a bar of a round length, at most a third of the width, with its length."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    per_pixel, unit = (1.0, "pixels") if spacing is None else (spacing[1], "mm")
    length = nice_length(per_pixel * (right - left) / 3)
    start, level = left + 0.05 * (right - left), low + 0.05 * (high - low)
    # Black around it shows it on bright tissue.
    around = [withStroke(linewidth=2.5, foreground="black")]
    axis.plot(
        [start, start + length / per_pixel], [level, level], color="white", lw=1.5,
        solid_capstyle="butt", scalex=False, scaley=False, path_effects=around,
    )  # fmt: skip
    axis.annotate(
        f"{length:g} {unit}", (start, level), (0, 2.5), textcoords="offset points",
        color="white", va="bottom", fontsize=6,
        path_effects=[withStroke(linewidth=1, foreground="black")],
    )  # fmt: skip
