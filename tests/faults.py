"""Processes that are killed, and disks that are full, at every point of a piece of work."""

from __future__ import annotations

import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from molrecon.errors import InputError

CALLS = ("open", "fsync", "replace", "unlink", "close")
"""Functions of `os` before each of which a process is killed."""
RUN_FILES = {
    "best.safetensors",
    "card.md",
    "checkpoint.safetensors",
    "data.json",
    "log.jsonl",
    "steps.csv",
    "validations.csv",
}
"""What lies in the folder of a training run that is over."""
DONE, REFUSED, BROKEN = 0, 2, 1


def in_child(action: Callable[[], object]) -> int:
    """Do it in a forked process; return its exit code, or minus the signal that ended it."""
    with warnings.catch_warnings():
        # Newer versions of Python warn of threads, none of which works here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            action()
            code = DONE
        except InputError as error:
            code = REFUSED if "\n" not in str(error) else BROKEN
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_before_call(number: int, calls: tuple[str, ...] = CALLS) -> None:
    """Kill this process before the call of this number, from 0, of some functions of `os`."""
    left = number

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counted

    for name in calls:
        setattr(os, name, deadly(getattr(os, name)))


def limit_files(size: int, *, kill: bool) -> None:
    """Let no file of this process grow beyond so many bytes: an error, or a kill, at that byte."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kill else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
