"""Packages that are needed for some formats only."""

from __future__ import annotations

import importlib
from typing import Any

from molrecon.errors import InputError


def require(module: str, wanted_for: str) -> Any:
    """Import a module of the extra packages, or say how to install it and what for."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"The package {module.partition('.')[0]} is not installed, but {wanted_for} need it; "
            "install it with: pip install 'molrecon[mri]'."
        ) from error
