"""Pictures that compare reconstructions with their reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from molrecon.data.atomic import atomic_path
from molrecon.errors import InputError

Array = npt.NDArray[Any]
Zoom = tuple[slice, slice]

_WHITE_PERCENTILE = 99.8
_ERROR_PERCENTILE = 99.5
_ACCENT = "#ffb000"
_STYLE: dict[str, Any] = {"fontsize": 11, "color": "white"}


@dataclass(frozen=True, eq=False)
class Panel:
    """One reconstruction in a figure.

    Attributes
    ----------
    title
        Name of the method.
    image
        Real or complex ``(y, x)``, in the units of the reference.
    caption
        Figures to print below the title.
    """

    title: str
    image: Tensor
    caption: str = ""


def comparison_figure(
    reference: Tensor,
    panels: Sequence[Panel],
    *,
    mask: Tensor | None = None,
    zoom: Zoom | None = None,
    title: str = "",
) -> Figure:
    """Draw the reference and reconstructions: magnitudes, a magnified part, and error maps.

    All images share one grey scale, from 0 to the 99.8th percentile of the reference, which the
    figure states. Error maps
    show the difference of magnitudes, on one colour scale in percent of the reference's maximum.

    Parameters
    ----------
    reference
        Real or complex ``(y, x)``.
    panels
        The reconstructions, one column each.
    mask
        Sampling mask ``(y, x)``, shown below the reference.
    zoom
        Rows and columns of the part to magnify; by default the central third.
    title
        Heading of the figure.

    Returns
    -------
    Figure
        See `save_figure`.

    Raises
    ------
    InputError
        If there is no panel or a shape differs from that of the reference.
    """
    truth = _magnitude(reference)
    images = [_magnitude(panel.image) for panel in panels]
    if not images or truth.ndim != 2 or any(image.shape != truth.shape for image in images):
        found = ", ".join(str(image.shape) for image in images) or "none"
        raise InputError(
            f"figure: found images of shapes {found} for a reference of shape {truth.shape}, "
            "expected at least one image (y, x) and equal shapes."
        )
    zoom = zoom or _central_third(truth.shape)
    peak = float(truth.max())
    errors = [100 * np.abs(image - truth) / peak for image in images]
    # The scale fits the second-worst image: the worst would leave the others black.
    limits = sorted(float(np.percentile(error, _ERROR_PERCENTILE)) for error in errors)
    limit = limits[-2] if len(limits) > 1 else limits[0]

    height, width = truth.shape
    columns = len(panels) + 1
    figure = Figure(
        figsize=(3.0 * columns + 0.7, 3.0 * (1 + 2 * height / width) + 1.0),
        facecolor="black",
        layout="constrained",
    )
    axes = figure.subplots(3, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=14, color="white")
    white = float(np.percentile(truth, _WHITE_PERCENTILE)) or peak
    _label_rows(
        axes[:2, 0].tolist(), (f"window 0 to {white / peak:.0%} of the maximum", "framed part")
    )
    headings = [("Reference", ""), *((panel.title, panel.caption) for panel in panels)]
    for column, (image, (name, caption)) in enumerate(zip([truth, *images], headings, strict=True)):
        axes[0, column].set_title(f"{name}\n{caption}", **_STYLE)
        axes[0, column].imshow(image, cmap="gray", vmin=0, vmax=white)
        axes[0, column].add_patch(_frame(zoom))
        axes[1, column].imshow(image[zoom], cmap="gray", vmin=0, vmax=white)
    for column, error in enumerate(errors, start=1):
        shown = axes[2, column].imshow(error, cmap="inferno", vmin=0, vmax=limit or 1.0)
    bar = figure.colorbar(shown, ax=axes[2, :].tolist(), fraction=0.03, pad=0.01, extend="max")
    bar.set_label("|error|, % of the maximum", **_STYLE)
    bar.ax.tick_params(colors="white")
    if mask is not None:
        axes[2, 0].imshow(mask.detach().cpu().numpy(), cmap="gray")
        axes[2, 0].set_title("sampled k-space", **_STYLE)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dots_per_inch: int = 110) -> None:
    """Write a figure in the format of the path's extension, as a whole or not at all.

    Raises
    ------
    InputError
        If the folder cannot be written to.
    """
    with atomic_path(path) as part:
        figure.savefig(part, dpi=dots_per_inch, facecolor=figure.get_facecolor())


def _magnitude(image: Tensor) -> Array:
    magnitude: Array = image.detach().cpu().abs().numpy()
    return magnitude


def _frame(zoom: Zoom) -> Rectangle:
    rows, columns = zoom
    corner = columns.start - 0.5, rows.start - 0.5
    size = columns.stop - columns.start, rows.stop - rows.start
    return Rectangle(corner, *size, fill=False, ec=_ACCENT, lw=1.0)


def _label_rows(axes: Sequence[Axes], labels: Sequence[str]) -> None:
    for axis, label in zip(axes, labels, strict=True):
        place = axis.transAxes
        axis.text(
            -0.03, 0.5, label, transform=place, rotation=90, ha="right", va="center", **_STYLE
        )


def _central_third(shape: tuple[int, ...]) -> Zoom:
    rows, columns = (slice(n // 3, n - n // 3) for n in shape)
    return rows, columns
