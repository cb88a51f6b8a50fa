"""How a command fails: one sentence on standard error and an exit code, no traceback."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from molrecon.errors import ConvergenceError, MolreconError

NOT_PRINTED = 1
VIOLATED = 1  # of `molrecon certify --thorough`: a bound does not hold where it was tried out
WRONG_INPUT = 2
NOT_CONVERGED = 3
SIGNALLED = 128  # and the number of the signal, as shells say it

# What the parser raises. It has no public name: newer versions of typer carry click with them.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """The group of all commands; turns exceptions into exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what stands before the name of the command."""
        if not args:
            return super().parse_args(ctx, args)  # shows the help
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            _refuse(error, ctx)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except MolreconError as error:
            unsolved = isinstance(error, ConvergenceError)
            text = with_option_names(str(error), self.commands[ctx.invoked_subcommand].params)
            _fail(text, NOT_CONVERGED if unsolved else WRONG_INPUT)
        except _UsageError as error:
            _refuse(error, ctx)
        except KeyboardInterrupt as interrupt:
            number = getattr(interrupt, "number", signal.SIGINT)
            _fail("interrupted; no output was left half written.", SIGNALLED + number)


def with_option_names(text: str, parameters: list[Any]) -> str:
    """Write the arguments in a message of the library as the options of a command.

    An argument is meant by a first word before "is", and by a name in brackets.
    """
    for one in parameters:
        option = next((name for name in one.opts if name.startswith("--")), None)
        if option is not None:
            text = re.sub(rf"^{one.name}(?= is )", option, text)
            text = text.replace(f"({one.name})", f"({option})")
    return text


class NotPrintedError(Exception):
    """Standard output could not be written."""


class StandardOutput(TextIOWrapper):
    """Standard output; what keeps it from being written raises `NotPrintedError`.

    A reader that went away, as ``head`` does, is no failure and left to the caller.
    """

    @classmethod
    def of(cls, stream: TextIOWrapper) -> StandardOutput:
        """Return the same output; where its encoding has no λ, a question mark stands for it."""
        encoding, through = stream.encoding, stream.write_through
        return cls(stream.detach(), encoding, "replace", write_through=through)

    def write(self, text: str) -> int:
        """Write a text."""
        with _printing():
            return super().write(text)

    def flush(self) -> None:
        """Write what was held back."""
        with _printing():
            super().flush()

    def give_up(self) -> None:
        """Lose what is still held back, which Python would try to write when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


@contextmanager
def _printing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise NotPrintedError(error.strerror or str(error)) from error


def exit_unprinted(error: NotPrintedError) -> NoReturn:
    """Say why standard output could not be written, and end the program."""
    if isinstance(sys.stdout, StandardOutput):
        sys.stdout.give_up()
    _say(f"standard output cannot be written: {error}; print to another place.")
    sys.exit(NOT_PRINTED)


def _refuse(error: Any, ctx: Any) -> NoReturn:
    where = (error.ctx or ctx).command_path
    _fail(f"{error.format_message().rstrip('.')}; see '{where} --help'.", WRONG_INPUT)


def _fail(text: str, code: int) -> NoReturn:
    _say(text)
    raise typer.Exit(code) from None


def _say(text: str) -> None:
    typer.secho(f"Error: {' '.join(text.split())}", fg=typer.colors.RED, err=True)
