"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from molrecon.data.locking import try_lock
from molrecon.errors import InputError, RoomError

_MARK = ".molrecon-"
"""What the names of files that are being written begin with."""
_LONGEST_ENDING = 32
"""Bytes of an ending that the name of a file that is being written keeps."""


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Refuse a target that cannot be written, before any work is done for it; else return its path.

    It may exist, but must not be a folder, and its folder has to exist.
    """
    target = Path(path)
    folder = target.parent
    if os.path.isdir(target):
        raise InputError(
            f"The output {target} is an existing folder, but a file name was expected; "
            "add a file name to it."
        )
    # A name that is too long would be found so only when all is computed.
    _require_lookup(target)
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(
            f"The output {target} cannot be written because {folder} {found}; "
            "create the folder or choose another one."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"The output {target} cannot be written because the folder {folder} is not writable; "
            "change its permissions or choose another one."
        )
    return target


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Refuse a folder for results that cannot be made or written to; else return its path.

    It and those above it may exist or not.
    """
    folder = Path(path)
    _require_lookup(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"The output {folder} is a file, but a folder was expected; choose another."
        )
    # Not made absolute: what lies above the present folder may be closed.
    held = folder
    while not os.path.exists(held) and held != held.parent:
        held = held.parent
    if not held.is_dir() or not os.access(held, os.W_OK | os.X_OK):
        found = "is not writable" if held.is_dir() else "is not a folder"
        raise InputError(
            f"The folder {folder} cannot be made or written to, because {held} {found}; choose "
            "another one."
        )
    return folder


def keep_inputs(output: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> None:
    """Refuse an output that would replace a file still needed, or another output.

    Inputs are ``FILE`` or ``FILE::KEY``; None passes. The two files of a BART pair count as one.
    """
    for path in inputs:
        if path is not None and _same_file(output, os.fspath(path).split("::")[0]):
            raise InputError(
                f"The output {output} would replace {path}, which the same command reads or "
                "writes; give it another name."
            )


def _same_file(first: str | os.PathLike[str], second: str) -> bool:
    one, other = (os.path.realpath(_without_bart_ending(path)) for path in (first, second))
    return one == other


def _without_bart_ending(path: str | os.PathLike[str]) -> Path:
    return Path(path).with_suffix("") if Path(path).suffix in (".cfl", ".hdr") else Path(path)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder for results, and those above it, unless they exist; see `check_folder`."""
    folder = check_folder(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made ({error.strerror or error}); choose another one."
        ) from error
    return folder


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its name once the block has succeeded.

    If the block fails, whatever it wrote is removed and an existing file at ``path`` stays as it
    was. If the machine stops, the file is the old one or the whole new one: the content reaches the
    disk before the name does. The temporary name ends like the target's, so that libraries which go
    by the extension write the right type. What killed processes left in the folder is removed. A
    target that cannot be written raises `InputError`, and so does a full disk.
    """
    target = check_writable(path)
    remove_stale(target.parent)
    with writing(target):
        temporary, descriptor = _started(target)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, target)
            # Some network file systems cannot flush a folder; the file itself is on the disk.
            with suppress(OSError):
                flush(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say in one sentence why a file could not be written."""
    try:
        yield
    except OSError as error:
        raise RoomError(
            f"The output {target} could not be written ({_reason(error)}); check that its folder "
            "is there, its permissions and the free space."
        ) from error


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left half written in a folder.

    Whoever writes a file holds a lock on it, which the system takes back when the process ends.
    """
    with suppress(OSError), os.scandir(folder) as found:
        names = [one.path for one in found if one.name.startswith(_MARK)]
        for name in names:
            with suppress(OSError):
                descriptor = os.open(name, os.O_RDWR)
                try:
                    if try_lock(descriptor):
                        os.unlink(name)
                finally:
                    os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text as UTF-8, as a whole or not at all, and return its path; see `atomic_path`."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)


def flush(path: Path) -> None:
    """Wait until the disk holds what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_lookup(path: Path) -> None:
    """Refuse a path that the file system cannot look up: too long, or in a closed folder."""
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The output {path} cannot be looked up ({reason}); choose a shorter name, or another "
            "folder."
        ) from error


def _started(target: Path) -> tuple[Path, int]:
    """Make and lock a temporary file for a target; return its path and descriptor."""
    while True:
        temporary = _temporary(target)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try_lock(descriptor)
        # Another process may have taken it for a stale one before it was locked.
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)


def _temporary(target: Path) -> Path:
    """Return a new name beside a target, short enough for any file system."""
    ending = ""
    for suffix in reversed(target.suffixes[-2:]):
        longer = suffix + ending
        if len(os.fsencode(longer)) <= _LONGEST_ENDING:
            ending = longer
    return target.with_name(f"{_MARK}{secrets.token_hex(4)}{ending}")


def _reason(error: BaseException) -> str:
    """Return what the system said, which libraries wrap into exceptions of their own."""
    known: BaseException | None = error
    while known is not None:
        if isinstance(known, OSError) and known.strerror:
            return known.strerror
        known = known.__cause__ or known.__context__
    return str(error).partition("\n")[0]
