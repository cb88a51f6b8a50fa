"""Panels of a report from reconstructions and image files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.check import DataCheck
from molrecon.data.formats import read_image
from molrecon.data.formats.reading import PathLike
from molrecon.data.oversampling import crop_image
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError, shape_text
from molrecon.evaluation.conventions import standard_scores
from molrecon.evaluation.files import UNLIKE, closest_scale
from molrecon.evaluation.metrics import caption
from molrecon.pipeline.reconstruction import Reconstruction
from molrecon.reports.content import Overlay, Panel, Section, Trace
from molrecon.reports.verdict import UNKNOWN, verdict_of

Shown = Reconstruction | PathLike


@dataclass(frozen=True, eq=False)
class _Source:
    """A panel, and what its section takes from it."""

    panel: Panel
    name: str
    axes: Axes | None = None
    spacing: tuple[float, float] | None = None
    check: DataCheck | None = None


def section_of(
    shown: Sequence[Shown | Panel],
    reference: Reconstruction | PathLike | Tensor | None = None,
    *,
    title: str | None = None,
) -> Section:
    """Return images side by side, with their figures against the reference.

    Parameters
    ----------
    shown
        Reconstructions, paths of image files, or panels.
    reference
        The right image, in the same unit; None if there is none.
    title
        Its heading; by default the name of the first scan or file.
    """
    if not shown:
        raise InputError("shown is empty, expected at least one reconstruction or file; give one.")
    sources = [_source(one) for one in shown]
    first = sources[0]
    shape = first.panel.image.shape if first.panel.image is not None else None
    truth = None if reference is None else _reference(reference)
    panels = _distinct([_shaped(one.panel, shape) for one in sources])
    remarks: list[str] = []
    if truth is not None:
        truth = _shaped(truth, shape)
        remarks = [text for one in panels for text in _unlike(one, truth)]
        panels = [_scored(one, truth) for one in panels]
    return Section(
        title or first.name,
        tuple(panels),
        reference=truth,
        axes=first.axes,
        spacing=first.spacing,
        check=first.check,
        remarks=tuple(remarks),
    )


def _source(one: Shown | Panel) -> _Source:
    if isinstance(one, Panel):
        return _Source(one, one.title)
    if isinstance(one, Reconstruction):
        spacing = None if one.geometry is None else one.geometry.spacing[1:]
        return _Source(panel_of(one), one.source, one.axes, spacing, one.check)
    if not isinstance(one, str | os.PathLike):
        raise InputError(
            f"shown holds a value of type {type(one).__name__}, expected what reconstruct returns, "
            "or the path of an image; correct it."
        )
    read = read_image(one)
    axes = None if read.ndim == 2 else Axes("zyx")
    spacing = None if read.spacing is None else (read.spacing[-2], read.spacing[-1])
    rows = [("File", os.fspath(one)), *(("Read", note) for note in read.notes)]
    panel = Panel(Path(one).name, read.tensor(), UNKNOWN, rows)
    return _Source(panel, Path(one).name, axes, spacing)


def panel_of(found: Reconstruction) -> Panel:
    """Return a reconstruction as a panel; the figures are those of its worst part."""
    return Panel(
        title=found.method if found.model is None else f"{found.method}, {Path(found.model).stem}",
        image=crop_image(found.image, found.image_shape)[0],
        verdict=verdict_of(found.guarantee, found.check),
        rows=found.sentences(),
        overlays=_overlays(found),
        trace=trace_of(found.solutions[found.worst], found.places[found.worst]),
    )


def _overlays(found: Reconstruction) -> tuple[Overlay, ...]:
    """Return the maps of a reconstruction, that of the noise first."""
    draws = f"from {found.noise_draws} draws{', linearised' if found.linearised else ''}"
    meanings = {
        "noise": (
            found.noise_map,
            "in the unit of the image",
            f"Standard deviation of the magnitude under the noise of the scan, {draws}.",
        ),
        "SNR": (found.snr_map, "", f"Magnitude over the standard deviation of its noise, {draws}."),
        "g-factor": (
            found.g_factor_map,
            "",
            "Noise over √R times that of a full scan, R the acceleration: 1 where nothing but time "
            "was lost, below 1 where the method removes noise.",
        ),
    }
    overlays = [
        Overlay(name, crop_image(pixels, found.image_shape)[0], unit, meaning)
        for name, (pixels, unit, meaning) in meanings.items()
        if pixels is not None
    ]
    if found.share_map is not None:
        overlays.append(share_overlay(crop_image(found.share_map, found.image_shape)[0]))
    return tuple(overlays)


def share_overlay(pixels: Tensor) -> Overlay:
    """Return the share of the data in every pixel as a map over an image."""
    meaning = "1: measured; 0: inferred, what the method expects whatever the truth."
    return Overlay("share of the data", pixels, "", meaning, (0.0, 1.0))


def trace_of(solution: Solution, place: str) -> Trace | None:
    """Return the figures of the iterations of the first image of a solution, if there are any."""
    if solution.trace is None:
        return None
    count = int(solution.iterations[0])
    residuals, bounds = (tuple(row[:count, 0].tolist()) for row in solution.trace)
    return Trace(place, residuals, bounds)


def _reference(reference: Reconstruction | PathLike | Tensor) -> Panel:
    if isinstance(reference, Tensor):
        return Panel("reference", reference)
    return replace(_source(reference).panel, title="reference", verdict=None, trace=None)


def _shaped(panel: Panel, shape: Sequence[int] | None) -> Panel:
    """Return a panel with its image in a shape; not every file tells slices from a volume."""
    image = panel.image
    if image is None or shape is None or image.shape == tuple(shape):
        return panel
    same_planes = image.shape[-2:] == tuple(shape[-2:]) and image.numel() == _count(shape)
    if not same_planes:
        raise InputError(
            f"{panel.title} has the shape {shape_text(image.shape)}, expected {shape_text(shape)} "
            "as the first image; show images of the same shape."
        )
    maps = tuple(replace(one, values=one.values.reshape(shape)) for one in panel.overlays)
    return replace(panel, image=image.reshape(shape), overlays=maps)


def _count(shape: Sequence[int]) -> int:
    count = 1
    for one in shape:
        count *= one
    return count


def _distinct(panels: Sequence[Panel]) -> list[Panel]:
    """Return panels whose titles tell them apart."""
    seen: dict[str, int] = {}
    found = []
    for one in panels:
        seen[one.title] = number = seen.get(one.title, 0) + 1
        found.append(one if number == 1 else replace(one, title=f"{one.title} ({number})"))
    return found


def _scored(panel: Panel, truth: Panel) -> Panel:
    if panel.image is None or truth.image is None:
        return panel
    scores = standard_scores(panel.image.abs(), truth.image.abs())
    return replace(panel, caption=caption({name: one.value for name, one in scores.items()}))


def _unlike(panel: Panel, truth: Panel) -> list[str]:
    """Say where an image seems to be in another unit than the reference."""
    if panel.image is None or truth.image is None:
        return []
    scale = abs(closest_scale(panel.image, truth.image, complex_values=False))
    if 1 / UNLIKE < scale < UNLIKE:
        return []
    return [
        f"{panel.title} is closest to the reference when it is multiplied by {scale:.4g}: they "
        "seem to be in different units, and its error map compares these."
    ]
