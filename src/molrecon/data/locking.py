"""Locks that the system takes back when a process ends, whatever ends it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from molrecon.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME = ".molrecon.lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file for its process; False if another one has it, None where nobody can say.

    Some network file systems have no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for a folder, and hold it for a few steps that no other process may come between."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold a folder, which has to exist, for one run within a block.

    Raises
    ------
    InputError
        If another run, which still goes on, holds it, or the folder cannot be written to.
    """
    with hold(folder / _NAME) as held:
        if not held:
            raise InputError(
                f"Another run is going on in {folder}; wait for its end, stop it, or choose "
                "another name or output folder."
            )
        yield


@contextmanager
def hold(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a name for this process within a block; False if another has it, or wait for that one.

    A file of that name is there meanwhile. What a killed process leaves is one without a lock,
    which the next process takes over.
    """
    descriptor = _opened(path, wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            # Removed while it is held: whoever opened it before finds it without a name, see below.
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _opened(path: Path, wait: bool) -> int | None:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                f"The folder {path.parent} cannot be written to ({error.strerror or error}); check "
                "its permissions and the free space, or choose another one."
            ) from error
        try:
            if not wait and try_lock(descriptor) is False:
                os.close(descriptor)
                return None
            if wait:
                _wait_for(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    if fcntl is not None:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
