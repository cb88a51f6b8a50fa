"""Processes that are killed, and disks that are full, at every point of a piece of work."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from molrecon.cli import main
from molrecon.data import atomic
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


def run_command(arguments: tuple[object, ...], fault: Callable[[], object]) -> tuple[int, str]:
    """Run a command in a process of its own, after ``fault``; return its exit code and messages."""
    reader, writer = os.pipe()

    def run() -> None:
        os.close(reader)
        os.dup2(writer, 2)
        sys.stdout, sys.stderr = open(os.devnull, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = ["molrecon", *map(str, arguments)]
        fault()
        try:
            main.run()
        except SystemExit as ended:
            sys.stderr.flush()
            os._exit(int(ended.code or 0))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(BROKEN)

    child = os.fork()
    if child == 0:
        run()
    os.close(writer)
    with open(reader) as messages:
        told = messages.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def at_write(number: int, action: Callable[[Path], object]) -> None:
    """Do something, from now on, before what was written to a file is flushed, of this number."""
    flush, left = atomic.flush, number

    def flushed(path: Path) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            action(path)
        flush(path)

    atomic.flush = flushed


def become_nobody() -> None:
    """Give up the rights of a superuser, who may write anywhere."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


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
