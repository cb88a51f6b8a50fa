"""What a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.check import DataCheck
from molrecon.errors import InputError, shape_text
from molrecon.reports.verdict import Verdict

Rows = Sequence[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Overlay:
    """A map of every pixel, drawn in colour over an image.

    Maps of one name share a scale, which the report states; NaN is transparent.
    """

    name: str
    values: Tensor  # real, of the shape of the image
    unit: str = ""  # empty for a share or a number without one
    meaning: str = ""  # one sentence
    span: tuple[float, float] | None = None  # ends of the scale; None for those of the values


@dataclass(frozen=True, eq=False)
class Trace:
    """How a solve went on: figures of every iteration."""

    place: str  # of what part it is, in words
    residuals: tuple[float, ...]  # ‖x − T(x)‖ / ‖x‖
    bounds: tuple[float, ...]  # on ‖x − x*‖ / ‖x‖, before rounding


@dataclass(frozen=True, eq=False)
class Panel:
    """One image of a report, with what is known of it."""

    title: str
    image: Tensor | None  # (batch, 1, *spatial), real or complex; None where there is none
    verdict: Verdict | None = None  # None for a reference
    rows: Rows = ()  # settings and provenance: subjects and sentences
    caption: str = ""  # printed below the title
    overlays: tuple[Overlay, ...] = ()
    trace: Trace | None = None
    failure: str = ""  # why there is no image


@dataclass(frozen=True, eq=False)
class Section:
    """Images of one shape and unit, looked at together."""

    title: str
    panels: tuple[Panel, ...]
    reference: Panel | None = None
    axes: Axes | None = None
    spacing: tuple[float, float] | None = None  # of pixels along (y, x) in mm; None if unknown
    check: DataCheck | None = None  # None where the data were not checked
    remarks: tuple[str, ...] = ()
    mapped: bool = False  # whether the first map lies over the images at the start

    def __post_init__(self) -> None:
        shapes = {one.title: tuple(one.image.shape) for one in self.shown if one.image is not None}
        if not shapes:
            raise InputError(f"{self.title} has no image to show; give at least one.")
        first, expected = next(iter(shapes.items()))
        for title, shape in shapes.items():
            if len(shape) not in (4, 5) or shape != expected:
                raise InputError(
                    f"{title} has the shape {shape_text(shape)}, expected {shape_text(expected)} "
                    f"as {first}; show images of the same shape."
                )

    @property
    def shown(self) -> tuple[Panel, ...]:
        """The reference, if there is one, and the other panels."""
        return (*(() if self.reference is None else (self.reference,)), *self.panels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the images."""
        return next(tuple(one.image.shape) for one in self.shown if one.image is not None)

    @property
    def plane(self) -> str:
        """What one plane is called: slice or frame."""
        return "slice" if self.axes is None else self.axes.plane

    @property
    def planes(self) -> tuple[str, ...]:
        """What every plane is called."""
        batch, _, *spatial = self.shape
        count = 1 if len(spatial) == 2 else spatial[0]
        names = [f"{self.plane} {number}" for number in range(count)]
        if count == 1:
            return tuple(f"slice {item}" for item in range(batch))
        item = "item" if self.axes is None else self.axes.item
        before = [f"{item} {one}, " if batch > 1 else "" for one in range(batch)]
        return tuple(place + name for place in before for name in names)


@dataclass(frozen=True, eq=False)
class Table:
    """A table of figures, its first column names."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """All that stands in one file."""

    title: str
    sections: tuple[Section, ...]
    tables: tuple[Table, ...] = ()
