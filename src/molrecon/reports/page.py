"""The page of a report: its texts as HTML, its images as data for the script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from string import Template
from typing import Any

from molrecon.data.check import Finding
from molrecon.errors import InputError
from molrecon.reports.chart import chart
from molrecon.reports.content import Panel, Report, Section
from molrecon.reports.images import section_data
from molrecon.reports.markup import Element, element, facts, markup, table
from molrecon.reports.pixels import REDUCTIONS, Reduction

MEGABYTES = 15.0
"""Largest size of a report."""

_SEVERITY = {"refused": "contradiction", "warning": "doubt", "note": "note"}


def page(report: Report, *, megabytes: float = MEGABYTES) -> str:
    """Return the report as HTML that needs no other file.

    Parameters
    ----------
    report
        What to show.
    megabytes
        Size that the page may have, in units of 10⁶ bytes. Grey values are kept in 16 bits if that
        leaves room, else in fewer, and at last not of every plane.
    """
    assets = {name: _asset(f"report.{name}") for name in ("css", "js")}
    data, reduction = _data(report, megabytes)
    body = "".join(markup(one) for one in _body(report, reduction))
    return Template(_asset("page.html")).substitute(
        title=markup(element("title", report.title)),
        heading=markup(element("h1", report.title)),
        style=assets["css"],
        body=body,
        data=data,
        script=assets["js"],
        # No other script runs, whatever a name in the data holds.
        hash=base64.b64encode(hashlib.sha256(assets["js"].encode()).digest()).decode(),
    )


def _asset(name: str) -> str:
    return (files("molrecon.reports") / "assets" / name).read_text(encoding="utf-8")


def _data(report: Report, megabytes: float) -> tuple[str, Reduction]:
    """Return the data of all images as JSON, reduced as little as the size allows."""
    for reduction in REDUCTIONS:
        data = _within(report, reduction, 1e6 * megabytes)
        if data is not None:
            # Of the text of a script element only its end tag and a comment are obeyed.
            return json.dumps(data, ensure_ascii=True).replace("<", "\\u003c"), reduction
    raise InputError(
        f"The images of the report take more than {megabytes:g} MB even in 8 bits, expected fewer "
        "or smaller ones; show a part of them."
    )


def _within(report: Report, reduction: Reduction, most: float) -> list[Any] | None:
    """Return the data of all sections, None as soon as they are too large."""
    size, found = 0.0, []
    for section in report.sections:
        data = section_data(section, reduction, most - size)
        if data is None:
            return None
        size += data.size
        found.append(data.values)
    return found


def _body(report: Report, reduction: Reduction) -> Iterator[Element]:
    for number, section in enumerate(report.sections):
        yield _section(section, number, reduction, alone=len(report.sections) == 1)
    for one in report.tables:
        found = [element("h2", one.title), table(one.columns, one.rows, caption=one.title)]
        note = [element("p", one.note, class_="note")] if one.note else []
        yield element("section", *found, *note, class_="card")


def _section(section: Section, number: int, reduction: Reduction, *, alone: bool) -> Element:
    remarks = [*section.remarks, reduction.text(section.plane)]
    parts = [
        *([] if alone else [element("h2", section.title)]),
        *_verdicts(section),
        element("div", class_="viewer", data_section=str(number)),
        *(element("p", text, class_="note") for text in remarks if text),
        *_check(section),
        *_traces(section),
        *_provenance(section),
    ]
    return element("section", *parts, aria_label=section.title)


def _verdicts(section: Section) -> list[Element]:
    found = [one for one in section.shown if one.verdict is not None]
    if not found:
        return []
    said = dict.fromkeys(
        one.verdict.scope for one in found if one.verdict and one.verdict.kind != "none"
    )
    scope = [element("p", text, class_="note") for text in said]
    cards = element("div", *map(_verdict, found), class_="verdicts")
    return [element("h2", "What is guaranteed"), cards, *scope]


def _verdict(panel: Panel) -> Element:
    assert panel.verdict is not None
    more = [element("p", text) for text in panel.verdict.details]
    return element(
        "article",
        element("h3", panel.title, " ", element("strong", panel.verdict.word, class_="word")),
        element("p", panel.verdict.text),
        *([element("details", element("summary", "More"), *more)] if more else []),
        class_=f"card verdict {panel.verdict.kind}",
    )


def _check(section: Section) -> list[Element]:
    if section.check is None:
        return []
    summary = section.check.summary
    found: list[Element] = [element("p", f"{summary[0].upper()}{summary[1:]}.")]
    if section.check.findings:
        rows = [
            (f"{one.name} ({_severity(one)})", one.seen, one.meaning, one.settle)
            for one in section.check.findings
        ]
        columns = ("what", "what was seen", "what it means", "what settles it")
        found.append(table(columns, rows, caption="What the data check found"))
    return [element("section", element("h2", "Data check"), *found, class_="card")]


def _severity(finding: Finding) -> str:
    return _SEVERITY[finding.severity] + (", mended" if finding.mended else "")


def _traces(section: Section) -> list[Element]:
    drawn = [chart(one.trace, one.title) for one in section.panels if one.trace is not None]
    if not drawn:
        return []
    charts = element("div", *drawn, class_="charts")
    return [element("section", element("h2", "Iterations"), charts, class_="card")]


def _provenance(section: Section) -> list[Element]:
    known = [one for one in section.shown if one.rows]
    if not known:
        return []
    parts = [
        element(
            "details",
            element("summary", one.title),
            facts(one.rows),
            **({"open": ""} if one is section.panels[0] else {}),
        )
        for one in known
    ]
    heading = element("h2", "Settings and provenance")
    return [element("section", heading, *parts, class_="card")]
