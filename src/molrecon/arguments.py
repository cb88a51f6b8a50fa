"""Checks of arguments, made before any work is done."""

from __future__ import annotations

import math

import torch

from molrecon.errors import InputError

_LEAST, _LARGEST = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max


def require_positive(name: str, value: float | None, *, most: float = _LARGEST) -> None:
    """Refuse what is not one positive number of at most ``most``, by its name; None passes."""
    if value is None:
        return
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not _LEAST <= number <= most:
        limit = f" of at most {most:.2g}" if number > most else ""
        limit = f" of at least {_LEAST:.2g}" if 0 < number < _LEAST else limit
        found = f"{value:g}" if isinstance(value, int | float) else repr(value)
        raise InputError(
            f"{name} is {found}, expected a positive number{limit}; correct it or leave it out."
        )


def require_seed(seed: int) -> None:
    """Refuse a seed that PyTorch's generators do not take as it is."""
    if not 0 <= seed < 2**63:
        raise InputError(f"seed is {seed}, expected a whole number from 0 to 2⁶³ − 1; correct it.")


def resolve_device(name: str | torch.device) -> str:
    """Return the device to compute on; ``"auto"`` is a GPU if there is one.

    One that is unknown, or that this machine has not, is refused.
    """
    name = str(name)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index.isdigit() or name == kind):
        raise InputError(f"device is {name!r}, expected auto, cpu, cuda or cuda:N; choose one.")
    count = 1 if kind == "cpu" else torch.cuda.device_count()
    if int(index or 0) >= count:
        raise InputError(
            f"device is {name!r}, but this machine (or this build of PyTorch) has {count} such "
            "devices; use cpu."
        )
    return name
