"""What `molrecon.cli.main` needs to know of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes
    ----------
    name
        What the user types.
    function
        Its docstring and annotations are the help.
    example
        One line that works, shown by ``--help``.
    """

    name: str
    function: Callable[..., None]
    example: str

    @property
    def epilog(self) -> str:
        """The last lines of the help."""
        return f"**Example:** `{self.example}`"
