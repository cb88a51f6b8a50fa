"""What long work tells of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""

Advance = Callable[[str, int], None]
"""Called with what is being done and the number of steps done since the last call."""


def silent(text: str, *steps: int) -> None:
    """Report no progress."""
