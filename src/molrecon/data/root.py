"""Files named relative to a folder that may itself be given by an environment variable."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from molrecon.errors import InputError

_MIB = 2**20
_PARTS = {".cfl": (".cfl", ".hdr"), ".hdr": (".cfl", ".hdr")}
"""Formats of which one scan is several files."""


def expand_root(root: str) -> Path:
    """Return a folder with ``${VARIABLES}``, which have to be set, and ``~`` replaced."""
    expanded = os.path.expanduser(os.path.expandvars(root))
    unset = re.findall(r"\$\{?(\w+)\}?", expanded)
    if unset:
        raise InputError(
            f"The root {root} needs the environment variable {unset[0]}, which is not set; set it "
            "to the folder that holds the data."
        )
    return Path(expanded)


def find_files(root: Path, names: Sequence[str]) -> list[str]:
    """Return the files that names match, each as ``FILE`` or ``FILE::KEY``, in a fixed order.

    Names are relative to the root, may be patterns (``*``, ``**``) and be followed by ``::KEY``;
    each has to match a file.
    """
    found: dict[str, None] = {}
    for name in names:
        pattern, *key = name.split("::", 1)
        try:
            matches = sorted(path for path in root.glob(pattern) if path.is_file())
        except PermissionError as error:
            raise unreadable(root, error) from error
        except (ValueError, NotImplementedError) as error:
            absolute = Path(pattern).is_absolute()
            reason = "it is absolute" if absolute else error
            advice = "correct it or change the root" if absolute else "correct it"
            raise InputError(
                f"The name {name!r} is no name or pattern relative to the root {root} ({reason}); "
                f"{advice}."
            ) from None
        if not matches and root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
            raise unreadable(root, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        if not matches:
            raise InputError(
                f"No file matches {name!r} in the root {root}; check the name and the root."
            )
        found.update(dict.fromkeys("::".join([str(path), *key]) for path in matches))
    return list(found)


def file_digest(source: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content (of both files of a BART scan), in hexadecimal.

    A key after ``::`` does not count.
    """
    path = Path(os.fspath(source).split("::", 1)[0])
    require_file(path)
    parts = [path.with_suffix(end) for end in _PARTS.get(path.suffix, (path.suffix,))]
    return "".join(
        _digest(part, stat.st_size, stat.st_mtime_ns) for part in parts for stat in [part.stat()]
    )


def sampled_digest(source: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's length, first and last MiB, in hexadecimal.

    It tells versions of a large file apart without reading it; damage in its middle it does not
    see. A key after ``::`` does not count.
    """
    path = Path(os.fspath(source).split("::", 1)[0])
    require_file(path)
    with path.open("rb") as file:
        length = path.stat().st_size
        found = hashlib.sha256(f"{length}:".encode() + file.read(_MIB))
        file.seek(max(0, length - _MIB))
        found.update(file.read(_MIB))
    return found.hexdigest()


def read_ahead(source: str) -> None:
    """Ask the system to read a file into its memory meanwhile, where it can."""
    with suppress(OSError, AttributeError), open(source.partition("::")[0], "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def require_file(path: Path) -> None:
    """Refuse a path at which there is no file, or none that may be read."""
    try:
        with path.open("rb"):
            return
    except IsADirectoryError:
        raise InputError(
            f"{path} is a folder, but a file was expected; name a file in it."
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> InputError:
    """Return what to raise where the system lets nobody read a file or folder that is there."""
    reason = error.strerror or error
    return InputError(f"{path} cannot be read ({reason}); change its permissions or copy it.")


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
