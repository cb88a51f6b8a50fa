"""``molrecon compare``: methods side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.interrupts import keep_interrupts
from molrecon.cli.options import AsPublished, Device, Folder, Json, Report
from molrecon.errors import ConvergenceError, InputError

if TYPE_CHECKING:
    from molrecon.evaluation.comparison import Comparison


def compare(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="Comparison, YAML.")],
    folder: Folder,
    as_published: AsPublished = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes to compute with, one thread each; as many as there are cores by "
            "default.",
            metavar="N",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute again what is in the folder already.")
    ] = False,
    report: Report = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Run methods on test images and write tables and figures that compare them.

    The folder receives table.csv (every image), table.md and table.tex (means, deviations, paired
    differences with confidence intervals), differences.csv, a figure of every image set, the
    settings used, and every single result as soon as it is there: after an interruption the same
    command goes on where it stopped. What fails is said in the tables and costs no other result.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}, but a number of at least 1 was expected.")
    with keep_interrupts():
        from molrecon.arguments import resolve_device
        from molrecon.cli.reading import check_report
        from molrecon.evaluation.comparison import compare as run
        from molrecon.evaluation.comparison import prepare, read_config
        from molrecon.reports.comparison import comparison_report
        from molrecon.reports.report import write_report

        check_report(report, config)
        plan = prepare(read_config(config), folder, device=resolve_device(device))
    convention = "published" if as_published else "molrecon"
    try:
        with output.progress(sum(map(len, plan.tasks))) as show:
            result = run(
                plan,
                convention=convention,
                workers=workers,
                fresh=fresh,
                report=lambda text, done: show(text, advance=done),
            )
    except KeyboardInterrupt:
        output.print_note("To go on: the same command; it takes up the results at hand.")
        raise
    if len(result.failures) == len(result.records):
        raise ConvergenceError(
            f"No method gave a result on any image; {result.files['table.md']} says why, first: "
            f"{result.failures[0].failure}"
        )
    if report is not None:
        made = comparison_report(plan, result, convention=convention)
        result.files["report"] = str(write_report(made, report))
    from molrecon.evaluation.conventions import CONVENTIONS

    basis = CONVENTIONS[convention].summary
    if json:
        facts = {"folder": folder, "convention": convention, "basis": basis}
        output.print_json(facts | result.facts())
    else:
        _print(result, basis)


def _print(result: Comparison, basis: str) -> None:
    from molrecon.evaluation.comparison.tables import columns, failure_lines, summary_table

    shown = [column for column in columns() if column.on_screen]
    for section in result.sections:
        title = f"{section.image_set}: {section.condition}"
        output.print_table(title, *summary_table(section, shown))
    output.print_note(basis)
    for line in failure_lines(result.records):
        output.print_note(f"Failed: {line}")
    output.print_facts(
        f"{result.computed} results computed, {result.reused} found from an earlier run",
        list(result.files.items()),
    )


COMMAND = Command(
    "compare", compare, "molrecon compare configs/compare-brain.yaml -o out/compare-brain"
)
