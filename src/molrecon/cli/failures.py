"""How a command fails: one sentence on standard error and an exit code, no traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from molrecon.errors import ConvergenceError, MolreconError

WRONG_INPUT = 2
NOT_CONVERGED = 3


class Commands(TyperGroup):
    """The group of all commands; turns this package's exceptions into exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except MolreconError as error:
            sentence = " ".join(str(error).split())
            typer.secho(f"Error: {sentence}", fg=typer.colors.RED, err=True)
            unsolved = isinstance(error, ConvergenceError)
            raise typer.Exit(NOT_CONVERGED if unsolved else WRONG_INPUT) from None
