"""The command ``molrecon``."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

import molrecon
from molrecon.cli import (
    adapt,
    attack,
    certify,
    check,
    compare,
    convert,
    demo,
    evaluate,
    figure,
    info,
    models,
    probe,
    reconstruct,
    report,
    simulate,
    train,
)
from molrecon.cli.command import Command
from molrecon.cli.failures import Commands, NotPrintedError, StandardOutput, exit_unprinted
from molrecon.cli.interrupts import clean_up_on_signals

COMMANDS = (
    demo.COMMAND,
    info.COMMAND,
    check.COMMAND,
    convert.COMMAND,
    simulate.COMMAND,
    reconstruct.COMMAND,
    report.COMMAND,
    figure.COMMAND,
    evaluate.COMMAND,
    compare.COMMAND,
    models.COMMAND,
    certify.COMMAND,
    attack.COMMAND,
    probe.COMMAND,
    train.COMMAND,
    adapt.COMMAND,
)

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done; 1 standard output cannot be written, or certify found a bound "
        "violated; 2 wrong input, nothing was written; 3 a solver did not converge, nothing was "
        "written; 4 scans of several failed; 129, 130 and 143 ended by SIGHUP, SIGINT and SIGTERM."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"molrecon {molrecon.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Reconstruct undersampled MRI with monotone operator learning, and say how far to trust it."""


def add(command: Command) -> None:
    """Add a command to the command line."""
    app.command(command.name, epilog=command.epilog)(command.function)


for command in COMMANDS:
    add(command)


def run() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = StandardOutput.of(sys.stdout)
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")
    clean_up_on_signals()
    try:
        app(prog_name="molrecon")
    except NotPrintedError as error:
        exit_unprinted(error)
