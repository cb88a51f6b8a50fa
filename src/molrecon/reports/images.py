"""The images of a section as the script of the page takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.data.arrays import Array
from molrecon.errors import printable
from molrecon.evaluation.figure import error_limit
from molrecon.reports.content import Section
from molrecon.reports.pixels import Reduction, grey_png, largest, map_png, planes_of

WHITE_PERCENTILE = 99.8
"""Of the reference, or the first image: the white end of the grey window at the start."""


@dataclass(frozen=True)
class SectionData:
    """The data of a section as plain values, and how many bytes its pictures take."""

    values: dict[str, Any]
    size: int


def section_data(section: Section, reduction: Reduction, most: float) -> SectionData | None:
    """Return the data of a section; None if its pictures take more than ``most`` bytes."""
    images = [one.image for one in section.shown if one.image is not None]
    top = largest(images)
    shown, size = [], 0
    for panel in section.shown:
        pictures = []
        for plane in [] if panel.image is None else _kept(panel.image, reduction):
            pictures.append(grey_png(plane, top, reduction.bits))
            size += len(pictures[-1])
            if size > most:
                return None
        shown.append(
            {
                "title": printable(panel.title),
                "caption": printable(panel.caption),
                "failure": printable(panel.failure),
                "planes": pictures,
            }
        )
    overlays = _overlays(section, reduction)
    size += sum(len(one) for each in overlays for maps in each["planes"].values() for one in maps)
    if size > most:
        return None
    truth = section.reference.image if section.reference is not None else None
    height, width = section.shape[-2:]
    first = truth if truth is not None else images[0]
    values = {
        **{"title": printable(section.title), "plane": section.plane, "top": top or 1.0},
        **{"names": section.planes[:: reduction.step], "bits": reduction.bits},
        **{"height": height, "width": width, "panels": shown, "overlays": overlays},
        "pixel": None if section.spacing is None else section.spacing[1],
        "aspect": 1.0 if section.spacing is None else section.spacing[0] / section.spacing[1],
        "start": len(section.planes[:: reduction.step]) // 2 if section.plane == "slice" else 0,
        "white": _white(first) or top or 1.0,
        "overlay": 0 if section.mapped and overlays else -1,
        "reference": truth is not None,
        "peak": largest([first]) or 1.0,
        "limit": 0.0 if truth is None else _limit(section, truth),
    }
    return SectionData(values, size)


def _kept(image: Tensor, reduction: Reduction) -> list[Array]:
    return list(planes_of(image))[:: reduction.step]


def _white(image: Tensor) -> float:
    return float(np.percentile(np.stack(list(planes_of(image))), WHITE_PERCENTILE))


def _limit(section: Section, truth: Tensor) -> float:
    """Return the end of the scale of all error maps, in the unit of the images."""
    errors = [
        np.abs(
            np.stack([a - b for a, b in zip(planes_of(one.image), planes_of(truth), strict=True)])
        )
        for one in section.panels
        if one.image is not None
    ]
    return error_limit(errors)


def _overlays(section: Section, reduction: Reduction) -> list[dict[str, Any]]:
    """Return every map by its name, with the panels that have it, on one scale."""
    named: dict[str, list[tuple[int, Any]]] = {}
    for number, panel in enumerate(section.shown):
        for one in panel.overlays:
            named.setdefault(one.name, []).append((number, one))
    found = []
    for name, each in named.items():
        first = each[0][1]
        span = first.span or _span([one.values for _, one in each])
        maps = {
            str(number): [map_png(plane, span) for plane in _kept(one.values, reduction)]
            for number, one in each
        }
        found.append(
            {
                **{"name": printable(name), "unit": printable(first.unit)},
                **{"meaning": printable(first.meaning), "low": span[0], "high": span[1]},
                "planes": maps,
            }
        )
    return found


def _span(maps: list[Tensor]) -> tuple[float, float]:
    """Return the ends of the scale of maps: zero, and where all but a hundredth of them end."""
    values = torch.cat([one[one.isfinite()].flatten().float() for one in maps]).numpy()
    return 0.0, float(np.percentile(values, 99)) if values.size else 1.0
