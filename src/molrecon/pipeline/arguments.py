"""Checks of arguments, made before any work is done."""

from __future__ import annotations

import math

import torch

from molrecon.errors import InputError


def require_positive(name: str, value: float | None) -> None:
    """Refuse a number that is not positive and finite, by its name; None passes."""
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise InputError(
            f"{name} is {value:g}, expected a positive number; correct it or leave it out."
        )


def resolve_device(name: str) -> str:
    """Return the device to compute on; ``"auto"`` is a GPU if there is one.

    One that is unknown, or that this machine has not, is refused.
    """
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
