"""``molrecon reconstruct`` of a folder or a list of scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from molrecon.cli import output
from molrecon.cli.reading import Along
from molrecon.errors import InputError, printable

if TYPE_CHECKING:
    from molrecon.pipeline.cohort import Outcome, Work

INCOMPLETE = 4
"""Exit code where scans have failed."""
_ROWS = 50
"""Scans up to which the table lists all of them, and not the failures alone."""
_COLUMNS = ("scan", "image", "status", "reason", "seconds")

Parts = tuple[str | None, str | None, str | None, float | None, Along]


@dataclass(frozen=True)
class Spread:
    """How a cohort is gone through."""

    ending: str  # extension of the images
    processes: int
    cluster: str | None  # address of the scheduler of a Dask cluster
    retry: bool  # whether scans that failed before are tried again


def reconstruct_cohort(
    source: str,
    folder: str,
    parts: Parts,
    settings: dict[str, Any],
    spread: Spread,
    *,
    json: bool,
) -> None:
    """Reconstruct the scans of a folder or list; ``parts`` are those of `read_any`."""
    from molrecon.data.atomic import check_folder, make_folder, write_text
    from molrecon.data.formats.registry import writer
    from molrecon.data.plain import csv_text
    from molrecon.pipeline.cluster import run_on_cluster
    from molrecon.pipeline.cohort_files import find_scans, image_paths
    from molrecon.pipeline.spread import run_cohort

    if spread.processes < 1:
        raise InputError(f"processes is {spread.processes}, expected at least 1; correct it.")
    scans, others = find_scans(source, folder)
    check_folder(folder)
    images = image_paths(scans, folder, spread.ending)
    work = _work(parts, settings, spread.retry)
    writer(Path(f"image{spread.ending}"), lambda one: one.write_image, "an image")
    make_folder(folder)
    if others:
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        output.print_note(f"Left out, as of no format with raw data: {len(others)} ({shown}).")
    pairs = list(zip(scans, images, strict=True))
    try:
        with _progress(len(scans)) as told:
            if spread.cluster is None:
                found = run_cohort(work, pairs, processes=spread.processes, report=told)
            else:
                found = run_on_cluster(work, pairs, spread.cluster, report=told)
    except KeyboardInterrupt:
        output.print_note("To go on: the same command; what is done is skipped.")
        raise
    rows = [[getattr(one, name) for name in _COLUMNS] for one in found]
    table = write_text(Path(folder) / "cohort.csv", csv_text(_COLUMNS, rows))
    counts = Counter(str(one.status) for one in found)
    if json:
        facts = {name: counts[name] for name in ("done", "skipped", "failed")}
        output.print_json({**facts, "table": str(table), "scans": [asdict(one) for one in found]})
    else:
        _print(found, counts, table)
    if counts["failed"]:
        raise typer.Exit(INCOMPLETE)


def _work(parts: Parts, settings: dict[str, Any], retry: bool) -> Work:
    """Return what is done with every scan; what is wrong with it whatever the scan is refused."""
    from molrecon.arguments import require_positive, resolve_device
    from molrecon.pipeline.cohort import Work
    from molrecon.pipeline.provenance import plain_settings
    from molrecon.reconstructors.methods import build_method

    for name in ("sigma", "tol", "max_memory", "robust"):
        require_positive(name, settings[name])
    resolve_device(settings["device"])
    chosen = build_method(settings["method"], model=settings["model"])
    plain = plain_settings(
        settings | {"along": asdict(parts[4])},
        method=chosen.name,
        model=chosen.model,
        parts=(*parts[:3], parts[4].trajectory),
    )
    made_by = output.command_line()
    return Work(partial(_reconstruct, parts, settings, made_by), plain, made_by, retry)


def _reconstruct(
    parts: Parts, settings: dict[str, Any], made_by: str, scan: str, image: str
) -> dict[str, Any]:
    from molrecon import pipeline
    from molrecon.cli.reading import read_any

    found = pipeline.reconstruct(read_any(scan, *parts), output=image, made_by=made_by, **settings)
    return found.facts()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Show how far a cohort is, and the time left; but on a terminal, a line for every scan."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(TextColumn("scans"), *columns, console=console, transient=True)
    number = 0

    def told(outcome: Outcome) -> None:
        nonlocal number
        number += 1
        bar.update(task, completed=number)
        if outcome.status == "failed" or not console.is_terminal:
            why = f": {outcome.reason}" if outcome.reason else f" in {outcome.seconds:.1f} s"
            line = f"{number} of {total}, {outcome.scan} {outcome.status}{why}"
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)

    with bar:
        task = bar.add_task("", total=total)
        yield told


def _print(found: Sequence[Outcome], counts: Counter[str], table: Path) -> None:
    listed = found if len(found) <= _ROWS else [one for one in found if one.status == "failed"]
    rows = [
        (one.scan, one.status, one.reason, f"{one.seconds:.1f}" if one.seconds else "")
        for one in listed
    ]
    told = ", ".join(f"{counts[name]} {name}" for name in ("done", "skipped", "failed"))
    output.print_table(
        f"{len(found)} scans: {told}",
        ("scan", "what happened", "why", "seconds"),
        rows,
        words=3,
        note=f"All of it: {table}",
    )
