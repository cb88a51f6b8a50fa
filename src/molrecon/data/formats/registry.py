"""All file formats: recognised by content when they are read, by extension when written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from molrecon.data.formats import bart, dicom, hdf5, matlab5, nifti, npy, npz, picture, twix
from molrecon.data.formats.base import Format
from molrecon.data.root import require_file
from molrecon.errors import InputError

FORMATS: dict[str, Format] = {
    extension: one
    for one in (
        bart.FORMAT,
        npy.FORMAT,
        npz.FORMAT,
        hdf5.FORMAT,
        matlab5.FORMAT,
        nifti.FORMAT,
        dicom.FORMAT,
        picture.PNG,
        picture.OTHER,
        twix.FORMAT,
    )
    for extension in one.extensions
}
"""All formats by extension. Files are recognised in this order: the least distinct come last."""
_HEAD = 4096
"""Bytes from which a format is recognised."""

T = TypeVar("T")


def recognise(path: Path) -> Format:
    """Return the format of a file by its content; its name does not count.

    The path may also be the common name of a BART pair, or a folder of DICOM files.
    """
    head = b""
    if path.is_dir():
        if dicom.is_series(path):
            return dicom.FORMAT
    elif path.exists():
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    known = dict.fromkeys(FORMATS.values())
    for one in known:
        if one.recognises(head, path):
            return one
    require_file(path)
    raise InputError(
        f"The content of {path} is {'of no known format' if head else 'empty'}, expected one of: "
        f"{', '.join(one.name for one in known)}; check that the file is complete, or convert it."
    )


def reader(path: Path, pick: Callable[[Format], T | None]) -> T:
    """Return the function that the format of a file, by its content, has for a task.

    ``pick`` selects it; only raw data are not in files of every format.
    """
    found = recognise(path)
    function = pick(found)
    if function is None:
        raise InputError(
            f"The file {path} is {found.name}, which holds no raw data; give a scan, in one of "
            f"the formats {_serving(pick)}, or simulate one of it."
        )
    return function


def writer(path: Path, pick: Callable[[Format], T | None], what: str, advice: str = "") -> T:
    """Return the function that the format of an extension, the longest known one, has for a task.

    ``pick`` selects it. ``what`` is to be written, and ``advice`` is what else there is to do.
    """
    matching = [extension for extension in FORMATS if path.name.lower().endswith(extension)]
    if not matching:
        raise InputError(
            f"The output {path} has none of the extensions {_serving(pick)}; rename it."
        )
    chosen = FORMATS[max(matching, key=len)]
    function = pick(chosen)
    if function is None:
        raise InputError(
            f"The output {path} would be {chosen.name}, but {what} is written to "
            f"{_serving(pick)}; rename it{advice}."
        )
    return function


def _serving(pick: Callable[[Format], T | None]) -> str:
    """List the extensions of the formats that can do the task."""
    return ", ".join(extension for extension, one in FORMATS.items() if pick(one) is not None)
