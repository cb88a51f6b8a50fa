"""What `molrecon.cli.main` needs to know of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str  # what the user types
    function: Callable[..., None]  # its docstring and annotations are the help
    example: str  # one line that works, shown by ``--help``

    @property
    def epilog(self) -> str:
        """The last lines of the help."""
        return f"**Example:** `{self.example}`"
