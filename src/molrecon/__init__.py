"""molrecon: learned image reconstruction with monotone operators, with bounds a user can check."""

from __future__ import annotations

import ast
import os
from importlib import import_module
from pkgutil import get_data
from typing import Any

__version__ = "0.1.0"

# Arrays of 2 MB and more lie in huge pages where Linux offers them: a solve makes and frees
# thousands of arrays, and the system clears every page anew. It also leaves fewer holes in memory.
# PyTorch reads it with its first array; what the user has set stays.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def _homes() -> dict[str, str]:
    """Return the module of every public name: `__init__.pyi` lists them, for type checkers too."""
    listed = ast.parse(get_data(__name__, "__init__.pyi") or b"")
    imports = [node for node in listed.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOME_OF = _homes()
__all__ = sorted([*_HOME_OF, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name on its first use, so that the command line starts at once."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'molrecon' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
