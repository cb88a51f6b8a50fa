"""Packages that are needed for some kinds of data only."""

from __future__ import annotations

import importlib
from typing import Any

from molrecon.errors import InputError


def require(module: str, wanted_for: str, *, extra: str = "mri", package: str | None = None) -> Any:
    """Import a module, or say how to install it and what for.

    It is one of an extra of this package, or of a package that no extra brings.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        found = package or f"'molrecon[{extra}]'"
        raise InputError(
            f"The package {module.partition('.')[0]} is not installed, but {wanted_for} need it; "
            f"install it with: pip install {found}."
        ) from error
