"""All file formats, by extension."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from molrecon.data.formats import bart, hdf5, nifti, npy, npz, picture
from molrecon.data.formats.base import Format
from molrecon.data.formats.location import require_file
from molrecon.errors import InputError

_ALL = (bart.FORMAT, npy.FORMAT, npz.FORMAT, hdf5.FORMAT, nifti.FORMAT, picture.PNG, picture.OTHER)

FORMATS: dict[str, Format] = {extension: one for one in _ALL for extension in one.extensions}

T = TypeVar("T")


def find(path: Path, pick: Callable[[Format], T | None], *, exists: bool = True) -> T:
    """Return what the format of a file offers for a task.

    Parameters
    ----------
    path
        Its longest known extension decides.
    pick
        Selects a function of the format, ``None`` if it has none for the task.
    exists
        Whether the file is to be read; then a name without an extension may be that of a BART
        pair.

    Raises
    ------
    InputError
        If there is no such format, or it has no such function.
    """
    matching = [extension for extension in FORMATS if path.name.lower().endswith(extension)]
    if matching:
        found = FORMATS[max(matching, key=len)]
    elif exists and _is_bart_base(path):
        found = bart.FORMAT
    else:
        if exists:
            require_file(path)
        raise InputError(
            f"The file {path} has none of the extensions {_serving(pick)}; rename or convert it."
        )
    function = pick(found)
    if function is None:
        raise InputError(
            f"The file {path} is {found.name}, which cannot serve here; choose one of "
            f"{_serving(pick)}."
        )
    return function


def _serving(pick: Callable[[Format], T | None]) -> str:
    """List the extensions of the formats that can do the task."""
    return ", ".join(extension for extension, one in FORMATS.items() if pick(one) is not None)


def _is_bart_base(path: Path) -> bool:
    """Whether this is the common name of a BART pair, or of what is left of one."""
    return any(path.with_name(path.name + extension).is_file() for extension in (".cfl", ".hdr"))
