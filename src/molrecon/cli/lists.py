"""Options that hold several values, separated by commas."""

from __future__ import annotations

from molrecon.errors import InputError


def numbers(option: str, text: str) -> list[float]:
    """Return the numbers of an option, which is named where they are none."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} is {text!r}, but numbers separated by commas were expected, 0.01,0.02 for "
            "example."
        ) from None


def methods(model: str, against: str | None) -> list[str]:
    """Return the model and the names that ``--against`` holds, each once."""
    names = [model, *(against.split(",") if against else ())]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or "" in names:
        found = f"names {twice} twice" if twice else "holds an empty name"
        raise InputError(
            f"--against {found}, but different models or methods were expected; leave it out."
        )
    return names
