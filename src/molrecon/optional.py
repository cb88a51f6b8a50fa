"""Packages that are needed for some kinds of data only."""

from __future__ import annotations

import importlib
from typing import Any

from molrecon.errors import InputError


def require(module: str, wanted_for: str, *, extra: str = "mri") -> Any:
    """Import a module of the extra packages, or say how to install it and what for."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"The package {module.partition('.')[0]} is not installed, but {wanted_for} need it; "
            f"install it with: pip install 'molrecon[{extra}]'."
        ) from error
