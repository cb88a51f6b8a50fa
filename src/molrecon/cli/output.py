"""What commands print: tables for people, or one JSON object."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from molrecon.data.plain import finite
from molrecon.errors import printable


def command_line() -> str:
    """Return the command that is running, as a shell takes it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON cannot hold become null."""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    text = json.dumps(finite(values), ensure_ascii=not encoding.lower().startswith("utf"))
    typer.echo("".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text))


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Print named facts, one per line."""
    table = Table(
        title=_shown(title), title_justify="left", show_header=False, box=None, pad_edge=False
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _shown(value))
    Console().print(table)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: int = 1,
    note: str = "",
) -> None:
    """Print a table whose first columns, ``words`` of them, hold words and whose others figures."""
    table = Table(title=_shown(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.caption, table.caption_justify = _shown(note) if note else None, "left"
    for number, column in enumerate(columns):
        # On a narrow screen words are wrapped, and figures stay whole.
        figures = number >= words
        table.add_column(column, justify="right" if figures else "left", no_wrap=figures)
    for row in rows:
        table.add_row(*map(_shown, row))
    Console().print(table)


def print_note(text: str) -> None:
    """Print a remark on standard error; it is not wrapped, so that paths in it stay whole."""
    Console(stderr=True).print(_shown(text), style="yellow", soft_wrap=True)


def with_options(text: str) -> str:
    """Write the arguments that a text of the library names in brackets as options."""
    names = "mask|centre|despike|intensity|force|fit_scale"
    names += "|trajectory|matrix|unit|field_of_view|coil_maps"
    return re.sub(rf"\(({names})\)", lambda one: f"(--{one[1].replace('_', '-')})", text)


def _shown(text: str) -> Text:
    return Text(printable(text))


class Show(Protocol):
    """What `progress` yields: called with a text, and how far the work is, or by how much more."""

    def __call__(
        self, text: str, done: int | None = None, total: int | None = None, *, advance: int = 0
    ) -> None:
        """Show it."""


@contextmanager
def progress(total: int | None = None) -> Iterator[Show]:
    """Show progress on standard error; the display disappears when it is done."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)

        def show(
            text: str, done: int | None = None, total: int | None = None, *, advance: int = 0
        ) -> None:
            bar.update(task, description=text, total=total, completed=done)
            bar.advance(task, advance)

        yield show
