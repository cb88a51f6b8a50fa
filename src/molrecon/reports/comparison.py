"""The report of a comparison: the images that its figures show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from molrecon.equilibrium.bound_text import bound_text, share_text
from molrecon.evaluation.comparison import Comparison, Plan
from molrecon.evaluation.comparison.store import Record, Store
from molrecon.evaluation.comparison.tables import columns, summary_table
from molrecon.evaluation.conventions import CONVENTIONS
from molrecon.evaluation.image_sets.base import Case
from molrecon.evaluation.metrics import caption
from molrecon.reports.content import Panel, Report, Section, Table
from molrecon.reports.verdict import Verdict


def comparison_report(plan: Plan, found: Comparison, *, convention: str = "molrecon") -> Report:
    """Return the images that are shown of a comparison, a section each, and its tables.

    Parameters
    ----------
    plan
        What was compared.
    found
        What came out.
    convention
        How the figures were scored.
    """
    store = Store(plan.folder)
    sections = []
    for case, _ in plan.figures:
        names = (case.image_set, case.name)
        records = [one for one in found.records if (one.image_set, one.image) == names]
        if any(store.read_image(one) is not None for one in records if not one.failure):
            sections.append(_section(case, records, store, convention))
    note = CONVENTIONS[convention].summary
    tables = []
    for section in found.sections:
        title = f"{section.image_set}: {section.condition}"
        tables.append(Table(title, *_known(*summary_table(section, columns())), note))
    return Report(plan.config.name, tuple(sections), tuple(tables))


def _known(
    names: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return a table without the columns in which nothing is known of any method."""
    kept = [place for place in range(len(names)) if any(row[place] != "–" for row in rows)]
    return tuple(names[place] for place in kept), [[row[place] for place in kept] for row in rows]


def _section(case: Case, records: Sequence[Record], store: Store, convention: str) -> Section:
    panels = tuple(_panel(one, store, convention) for one in records)
    truth = Panel("reference", case.problem().reference.cpu())
    return Section(f"{case.image_set}: {case.name}", panels, truth)


def _panel(record: Record, store: Store, convention: str) -> Panel:
    panel = Panel(
        record.method,
        None if record.failure else store.read_image(record),
        _verdict(record),
        [_fact(name, value) for name, value in record.solve.items()],
        caption(record.scores.get(convention, {})),
    )
    return (
        panel if panel.image is not None else replace(panel, failure=record.failure or "not kept")
    )


def _fact(name: str, value: object) -> tuple[str, str]:
    """Return a fact of a solve as a person reads it, bounds rounded up."""
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float):
        text = bound_text(value) if name == "error_bound" else f"{value:.3g}"
    else:
        text = "none" if value is None else str(value)
    return name.replace("_", " ").capitalize(), text


def _verdict(record: Record) -> Verdict:
    bound = record.solve.get("error_bound")
    if bound is None:
        return Verdict("none", "The method bounds no distance, or there is no image.")
    said = "called proved" if record.solve.get("certified") else "conditional"
    return Verdict(
        "conditional",
        f"Within {share_text(bound)} of the exact solution, {said} when it was computed; that is "
        "read from a file, and neither weights nor data are checked here.",
    )
