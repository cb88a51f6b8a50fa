"""The tables of a comparison: CSV of every result, Markdown and LaTeX of the summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from molrecon.data.plain import csv_text
from molrecon.evaluation.comparison.store import Record
from molrecon.evaluation.comparison.summary import (
    COSTS,
    Difference,
    Moments,
    Overview,
    Row,
    Section,
    overviews,
    score,
)
from molrecon.evaluation.conventions import CONVENTIONS
from molrecon.evaluation.metrics import METRICS

_DASH = "–"


@dataclass(frozen=True)
class Heading:
    """What stands above the tables."""

    name: str
    description: str
    convention: str  # one of `CONVENTIONS`
    machine: str  # hardware and threads in one sentence
    date: str  # of the run
    baseline: str | None = None  # the method the others are compared with; None for all pairs


@dataclass(frozen=True)
class Column:
    """A column of the summary."""

    title: str
    text: Callable[[Row], str]  # from the results of a method to what stands in it
    on_screen: bool = False  # whether it is shown where room is short


def _with_deviation(name: str, digits: int) -> Callable[[Row], str]:
    return lambda row: moments_text(row.figures[name], digits)


def _mean(name: str, digits: int, unit: float = 1.0) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        mean = row.figures[name].mean / unit
        return _DASH if math.isnan(mean) else f"{mean:.{digits}f}"

    return text


def columns() -> list[Column]:
    """Return the columns of the summary, one for every metric among them."""
    return [
        Column("Method", lambda row: row.method, on_screen=True),
        Column(
            "Images", lambda row: f"{row.images}" + (" †" if row.failed else ""), on_screen=True
        ),
        *(
            Column(one.heading, _with_deviation(one.name, one.digits), one.on_screen)
            for one in METRICS.values()
        ),
        Column("Time / (s/slice)", _mean("seconds_per_slice", 3), on_screen=True),
        Column("Iterations", _mean("iterations", 1)),
        Column("Network evaluations", _mean("network_evaluations", 1)),
        Column("Peak memory / MB", _mean("peak_memory", 1, 1e6)),
        Column("Contrast kept / %", _mean("recovery", 1, 0.01)),
    ]


def moments_text(moments: Moments, digits: int) -> str:
    """Write mean ± standard deviation, or what is known of them; a dash for nothing."""
    if math.isnan(moments.mean):
        return _DASH
    mean = f"{moments.mean:.{digits}f}"
    known = math.isfinite(moments.deviation)
    return f"{mean} ± {moments.deviation:.{digits}f}" if known else mean


def summary_table(section: Section, shown: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    """Return the titles and rows of a section's table, of some of `columns`."""
    rows = [[column.text(row) for column in shown] for row in section.rows]
    return [column.title for column in shown], rows


def results_csv(records: Sequence[Record], convention: str) -> str:
    """Write one line per image and method, numbers in full."""
    head = ["image_set", "condition", "image", "group", "method", "status", "failure"]
    head += [*METRICS, "convention", *COSTS, "error_bound", "certified"]
    rows = [
        [
            *(record.image_set, record.condition, record.image, record.group, record.method),
            "failed" if record.failure else record.solve.get("status", ""),
            record.failure,
            *(_number(score(record, convention, metric)) for metric in METRICS),
            convention,
            *(_number(cost(record)) for cost in COSTS.values()),
            _number(record.solve.get("error_bound")),
            record.solve.get("certified", ""),
        ]
        for record in records
    ]
    return csv_text(head, rows)


def differences_csv(sections: Sequence[Section]) -> str:
    """Write one line per pair of methods, metric and condition, numbers in full."""
    head = ["image_set", "condition", "metric", "method", "other", "mean_difference", "low"]
    head += ["high", "confidence", "images", "units", "unit", "resamples"]
    rows = [
        [
            *(section.image_set, section.condition),
            *(one.metric, one.method, one.other, repr(one.interval.mean)),
            *(_number(one.interval.low), _number(one.interval.high), one.interval.confidence),
            *(one.interval.images, one.interval.units, one.interval.unit),
            one.interval.resamples,
        ]
        for section in sections
        for one in section.differences
    ]
    return csv_text(head, rows)


def markdown(heading: Heading, sections: Sequence[Section], records: Sequence[Record]) -> str:
    """Write the summary as Markdown."""
    lines = [f"# {heading.name}", ""]
    if heading.description:
        lines += [heading.description, ""]
    lines += [*_notes(heading, sections), ""]
    for overview in overviews(sections, records, heading.convention, heading.baseline):
        lines += [f"## {_overview_heading(overview)}", ""]
        lines += [*_markdown_table(*_overview_table(overview, heading.baseline)), ""]
    for section in sections:
        lines += [f"## {section.image_set}: {section.condition}", ""]
        lines += _markdown_table(*summary_table(section, columns()))
        lines += [*_remarks(section), ""]
        shown = _shown(section, heading.baseline)
        if shown:
            lines += [f"{_interval_note(shown)}", ""]
            lines += _markdown_table(*_difference_table(shown))
            lines += [""]
    failures = failure_lines(records)
    if failures:
        lines += ["## What failed", "", *(f"* {line}" for line in failures), ""]
    return "\n".join(lines)


def latex(heading: Heading, sections: Sequence[Section], records: Sequence[Record]) -> str:
    """Write the summary as LaTeX tables, which need the package booktabs."""
    lines = [r"% Needs \usepackage{booktabs}."]
    for overview in overviews(sections, records, heading.convention, heading.baseline):
        caption = f"{heading.name}. {_overview_heading(overview)}."
        lines += _latex_table(caption, *_overview_table(overview, heading.baseline))
    for section in sections:
        caption = " ".join(
            [
                f"{heading.name}. {section.image_set}: {section.condition}.",
                *_notes(heading, sections),
                *(line for line in _remarks(section) if line),
            ]
        )
        lines += _latex_table(caption, *summary_table(section, columns()))
        shown = _shown(section, heading.baseline)
        if shown:
            where = f"{section.image_set}: {section.condition}."
            lines += _latex_table(f"{where} {_interval_note(shown)}", *_difference_table(shown))
    lines += [f"% Failed: {line}" for line in failure_lines(records)]
    return "\n".join(lines) + "\n"


def _latex_table(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, titles)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_tex, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]


def failure_lines(records: Sequence[Record]) -> list[str]:
    """Say what failed and why, one line per method and reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record.failure:
            reasons.setdefault((record.method, record.failure), []).append(
                f"{record.image_set}: {record.image}"
            )
    return [
        f"{method} on {images[0]}"
        + (f" and {len(images) - 1} other images" if len(images) > 1 else "")
        + f": {reason}"
        for (method, reason), images in reasons.items()
    ]


def _notes(heading: Heading, sections: Sequence[Section]) -> list[str]:
    return [
        CONVENTIONS[heading.convention].summary,
        _metrics_note(),
        "Time, iterations, network evaluations and peak memory are means.",
        "Time is that of the reconstruction alone, without coil maps; peak memory is what it "
        "needed beyond what was held before.",
        f"{heading.machine} {heading.date}.",
    ]


def _metrics_note() -> str:
    """Say what the figures of merit are, and which of them are to be small."""
    low = [one.title for one in METRICS.values() if not one.higher_is_better]
    note = f"{_list(one.title for one in METRICS.values())}: mean ± standard deviation over images"
    return f"{note}; lower is better for {_list(low)}." if low else f"{note}."


def _list(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _remarks(section: Section) -> list[str]:
    remarks = []
    for row in section.rows:
        if row.failed:
            remarks.append(f"† {row.method} failed on {row.failed} images, which do not count.")
        if row.unconverged:
            remarks.append(
                f"{row.method} did not reach its tolerance on {row.unconverged} images, which "
                "count as they are."
            )
    return ["", *remarks] if remarks else []


def _shown(section: Section, baseline: str | None) -> list[Difference]:
    if baseline is None:
        return list(section.differences)
    return [one for one in section.differences if baseline in (one.method, one.other)]


def _interval_note(differences: Sequence[Difference]) -> str:
    interval = differences[0].interval
    start = "Paired differences (first less second method; mean over images)"
    if math.isnan(interval.low):
        return f"{start}; there is one image only, hence no interval."
    drawn = {
        "group": f"the {interval.units} scans or subjects as wholes",
        "image": f"the {interval.units} images, all of one scan or subject: the intervals say "
        "nothing about others",
    }[interval.unit]
    return (
        f"{start} with {interval.confidence:.0%} bootstrap intervals from {interval.resamples} "
        f"resamples of {drawn}."
    )


def _overview_heading(overview: Overview) -> str:
    return f"{overview.image_set}: {overview.metric.heading} under all conditions"


def _overview_table(overview: Overview, baseline: str | None) -> tuple[list[str], list[list[str]]]:
    titles = ["Method", *overview.conditions]
    digits = overview.metric.digits
    rows = [
        [method, *(moments_text(replace(one, deviation=math.nan), digits) for one in figures)]
        for method, figures in overview.figures.items()
    ]
    if overview.margin:
        extreme = "Smallest" if overview.metric.higher_is_better else "Largest"
        titles.append(f"{extreme} difference to {baseline}")
        for row in rows:
            margin = overview.margin.get(row[0])
            row.append(_DASH if margin is None else f"{margin:+.{digits}f}")
    return titles, rows


def _difference_table(differences: Sequence[Difference]) -> tuple[list[str], list[list[str]]]:
    pairs: dict[tuple[str, str], dict[str, Difference]] = {}
    for one in differences:
        pairs.setdefault((one.method, one.other), {})[one.metric] = one
    titles = ["Methods", *(metric.heading for metric in METRICS.values())]
    rows = [
        [
            f"{method} − {other}",
            *(
                _interval_text(found[name], metric.digits) if name in found else _DASH
                for name, metric in METRICS.items()
            ),
        ]
        for (method, other), found in pairs.items()
    ]
    return titles, rows


def _interval_text(difference: Difference, digits: int) -> str:
    interval = difference.interval
    mean = f"{interval.mean:+.{digits}f}"
    if math.isnan(interval.low):
        return mean
    return f"{mean} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


def _markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---", *(["---:"] * (len(titles) - 1))]
    return [line(titles), line(rule), *map(line, rows)]


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(value)


_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "σ": r"$\sigma$",
    "λ": r"$\lambda$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "†": r"$\dagger$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
