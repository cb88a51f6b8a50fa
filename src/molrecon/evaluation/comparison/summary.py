"""From results to the figures of a table: means, standard deviations, paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from molrecon.evaluation.bootstrap import Interval, paired_interval
from molrecon.evaluation.comparison.config import BootstrapConfig
from molrecon.evaluation.comparison.store import Record
from molrecon.evaluation.metrics import METRICS, Metric

CONVERGED = "converged"


@dataclass(frozen=True)
class Moments:
    """Mean and sample standard deviation; NaN where there are too few values.

    Values that are missing do not count; an infinite one makes the mean infinite.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Moments:
        """Compute the moments of values, of which None stands for a missing one."""
        known = [value for value in values if value is not None]
        if not known:
            return cls(math.nan, math.nan)
        if not all(map(math.isfinite, known)):
            return cls(sum(known) / len(known), math.nan)
        mean = math.fsum(known) / len(known)
        if len(known) < 2:
            return cls(mean, math.nan)
        squares = math.fsum((value - mean) ** 2 for value in known)
        return cls(mean, math.sqrt(squares / (len(known) - 1)))


@dataclass(frozen=True)
class Row:
    """A method over the images of one condition."""

    method: str
    images: int  # number of images it has results on
    failed: int  # number of those it has none on
    unconverged: int  # results whose solve did not reach its tolerance; counted all the same
    figures: dict[str, Moments]  # by metric and by name of `COSTS`


@dataclass(frozen=True)
class Difference:
    """A metric of one method less that of another, on the images both have results on."""

    metric: str
    method: str
    other: str
    interval: Interval


@dataclass(frozen=True)
class Section:
    """The results on the images of one set measured under one condition."""

    image_set: str
    condition: str
    rows: tuple[Row, ...]  # the methods, in the order of the settings
    differences: tuple[Difference, ...]  # of every pair of methods and every metric

    def facts(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return {
            "image_set": self.image_set,
            "condition": self.condition,
            "methods": [
                {
                    "method": row.method,
                    "images": row.images,
                    "failed": row.failed,
                    "unconverged": row.unconverged,
                    **{
                        name: {"mean": figure.mean, "standard_deviation": figure.deviation}
                        for name, figure in row.figures.items()
                    },
                }
                for row in self.rows
            ],
            "differences": [
                {"metric": one.metric, "method": one.method, "other": one.other}
                | vars(one.interval)
                for one in self.differences
            ],
        }


@dataclass(frozen=True)
class Overview:
    """One metric on an image set under all its conditions."""

    image_set: str
    metric: Metric
    conditions: tuple[str, ...]
    figures: dict[str, tuple[Moments, ...]]  # by method, mean and deviation under each condition
    # By method, the least favourable difference to the baseline on any image: the smallest where
    # higher is better, else the largest; empty without a baseline.
    margin: dict[str, float]


def score(record: Record, convention: str, metric: str) -> float | None:
    """Return a figure of merit under a convention; None if there is none."""
    return record.scores.get(convention, {}).get(metric)


def _solve(name: str) -> Callable[[Record], float | None]:
    return lambda record: record.solve.get(name)


COSTS: dict[str, Callable[[Record], float | None]] = {
    "seconds_per_slice": lambda record: record.seconds_per_slice,
    "iterations": _solve("iterations"),
    "network_evaluations": _solve("network_evaluations"),
    "normal_evaluations": _solve("normal_evaluations"),
    "peak_memory": lambda record: record.peak_memory,
    "recovery": _solve("recovery"),
}
"""What a reconstruction took, and what it keeps of small features, by name."""


def summarise(
    records: Sequence[Record], methods: Sequence[str], convention: str, bootstrap: BootstrapConfig
) -> list[Section]:
    """Summarise results, one section per image set and condition, in the order they come.

    Rows are in the order of the labels ``methods``.
    """
    parts: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        parts.setdefault((record.image_set, record.condition), []).append(record)
    sections = []
    for (image_set, condition), part in parts.items():
        of_method = {name: [one for one in part if one.method == name] for name in methods}
        rows = tuple(_row(name, of_method[name], convention) for name in methods)
        differences = tuple(
            difference
            for other, name in combinations(methods, 2)
            for metric in METRICS
            if (
                difference := _difference(
                    of_method[name], of_method[other], metric, convention, bootstrap
                )
            )
        )
        sections.append(Section(image_set, condition, rows, differences))
    return sections


def _row(method: str, records: Sequence[Record], convention: str) -> Row:
    done = [record for record in records if not record.failure]
    figures = {
        metric: Moments.of(score(record, convention, metric) for record in done)
        for metric in METRICS
    }
    figures |= {name: Moments.of(cost(record) for record in done) for name, cost in COSTS.items()}
    unconverged = sum(record.solve.get("status") != CONVERGED for record in done)
    return Row(method, len(done), len(records) - len(done), unconverged, figures)


def _difference(
    records: Sequence[Record],
    others: Sequence[Record],
    metric: str,
    convention: str,
    bootstrap: BootstrapConfig,
) -> Difference | None:
    theirs = {record.image: score(record, convention, metric) for record in others}
    values, groups = [], []
    for record in records:
        a, b = score(record, convention, metric), theirs.get(record.image)
        if a is not None and b is not None and math.isfinite(a - b):
            values.append(a - b)
            groups.append(record.group)
    if not values:
        return None
    interval = paired_interval(values, groups, **bootstrap.model_dump())
    return Difference(metric, records[0].method, others[0].method, interval)


def overviews(
    sections: Sequence[Section], records: Sequence[Record], convention: str, baseline: str | None
) -> list[Overview]:
    """Put the sections of every set that has several side by side, in every metric.

    ``baseline`` is the label of the method the others are compared with; None for no comparison.
    """
    found = []
    for image_set in dict.fromkeys(section.image_set for section in sections):
        parts = [section for section in sections if section.image_set == image_set]
        if len(parts) < 2:
            continue
        methods = [row.method for row in parts[0].rows]
        conditions = tuple(part.condition for part in parts)
        of_set = [record for record in records if record.image_set == image_set]
        for metric in METRICS.values():
            figures = [
                {row.method: row.figures[metric.name] for row in part.rows} for part in parts
            ]
            margins = {} if baseline is None else _margins(of_set, convention, baseline, metric)
            found.append(
                Overview(
                    image_set,
                    metric,
                    conditions,
                    {name: tuple(figure[name] for figure in figures) for name in methods},
                    {name: margins[name] for name in methods if name in margins},
                )
            )
    return found


def _margins(
    records: Sequence[Record], convention: str, baseline: str, metric: Metric
) -> dict[str, float]:
    worse = min if metric.higher_is_better else max
    theirs = {
        record.image: score(record, convention, metric.name)
        for record in records
        if record.method == baseline
    }
    margins: dict[str, float] = {}
    for record in records:
        a, b = score(record, convention, metric.name), theirs.get(record.image)
        if record.method != baseline and a is not None and b is not None:
            margins[record.method] = worse(margins.get(record.method, a - b), a - b)
    return margins
