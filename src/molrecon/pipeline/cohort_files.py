"""The scans of a folder or a list, and the files of their images."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

from molrecon.data.formats import format_of
from molrecon.data.formats.dicom import is_series
from molrecon.errors import InputError
from molrecon.pipeline.provenance import record_path

_LIST = ".txt"
_LONGEST = 255
"""Bytes that file systems allow a name."""


def is_cohort(source: str) -> bool:
    """Whether a path is a folder of files of any kind, or a list of scans."""
    path = Path(source)
    # A folder above it may be closed, which is no matter of cohorts: whoever reads it says so.
    return path.suffix.lower() == _LIST or (os.path.isdir(path) and not is_series(path))


def find_scans(source: str, output: str) -> tuple[list[str], list[str]]:
    """Return the scans of a folder, with all below it, or of a list; and the files left out.

    In a folder, what is of no format with raw data is left out. What begins with a dot, and the
    folder of the images, ``output``, is not looked at. A list has a scan a line, ``FILE`` or
    ``FILE::KEY``, relative to the folder of the list; all of them count.
    """
    path = Path(source)
    if path.is_dir():
        if os.path.realpath(source) == os.path.realpath(output):
            raise InputError(
                f"The output {output} is the folder of the scans, whose images would be taken for "
                "scans; choose another folder."
            )
        found, others = _in_folder(path, Path(os.path.realpath(output)))
    else:
        found, others = _listed(path), []
    if not found:
        raise InputError(f"{source} holds no scan; check the path.")
    twice = next((one for one, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{source} names {twice} twice; leave one of them out.")
    return found, others


def image_paths(scans: list[str], folder: str, ending: str) -> list[str]:
    """Return the file of every scan's image: its own name, below the folder as it lies itself.

    Parameters
    ----------
    scans
        The scans.
    folder
        The folder of the images.
    ending
        Extension of the images, which is put in place of a scan's; where that would make two the
        same, it is put after it. Of a name too long for a file, with that of its record, the end
        is replaced by a part of its digest.
    """
    files = [Path(scan.partition("::")[0]).absolute() for scan in scans]
    common = Path(os.path.commonpath([file.parent for file in files]))
    parts = ["".join(f"-{part}" for part in scan.split("::")[1:]) for scan in scans]
    short = [file.relative_to(common).with_suffix("") for file in files]
    counts = Counter(f"{name}{part}" for name, part in zip(short, parts, strict=True))
    found = []
    for file, name, part in zip(files, short, parts, strict=True):
        own = name if counts[f"{name}{part}"] == 1 else file.relative_to(common)
        stem = fitting(f"{own.name}{part.replace('/', '-')}", ending)
        found.append(str(Path(folder) / own.parent / f"{stem}{ending}"))
    # Either file of a BART pair stands for both.
    data = (file.with_suffix(".cfl") if file.suffix == ".hdr" else file for file in files)
    kept = {os.path.realpath(file) for file in data}
    replaced = next((one for one in found if os.path.realpath(one) in kept), None)
    if replaced is not None:
        raise InputError(f"The image {replaced} would replace a scan; choose another folder.")
    return found


def fitting(stem: str, ending: str) -> str:
    """Return a name without its ending, cut where it would be too long for an image's record."""
    longest = _LONGEST - len(os.fsencode(record_path(ending)))
    if len(os.fsencode(stem)) <= longest:
        return stem
    mark = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}"
    return os.fsencode(stem)[: longest - len(mark)].decode(errors="ignore") + mark


def _in_folder(folder: Path, output: Path) -> tuple[list[str], list[str]]:
    scans: list[str] = []
    others: list[str] = []
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if hidden or not file.is_file() or output in file.resolve().parents:
            continue
        if file.suffix.lower() == ".hdr" and file.with_suffix(".cfl").exists():
            continue  # of the pair whose other file counts
        (scans if _has_raw_data(file) else others).append(str(file))
    return scans, others


def _has_raw_data(file: Path) -> bool:
    try:
        return format_of(file).read_scan is not None
    except InputError:
        return False


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"The list {path} cannot be read ({reason}); check it.") from None
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    scans = [str(path.parent / one) for one in named]
    # One that is missing is a failure of its own; where all are, the file is no list.
    if scans and not any(Path(scan.partition("::")[0]).exists() for scan in scans):
        raise InputError(
            f"{path} is taken for a list of scans, but {named[0][:80]!r} and all else it names "
            "are no files; write a scan a line, relative to the folder of the list."
        )
    return scans
