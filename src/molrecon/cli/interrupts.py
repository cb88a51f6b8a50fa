"""Interrupts that are not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """The system or the terminal asks the program to end, which cleans up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def clean_up_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise `Terminated`, unless they are ignored, as under ``nohup``."""

    def end(number: int, frame: Any) -> None:
        raise Terminated(number)

    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        one = getattr(signal, name, None)
        if one is not None and signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, end)


@contextmanager
def keep_interrupts() -> Iterator[None]:
    """Raise `KeyboardInterrupt` after a block at the latest if one came within.

    While modules are loaded it may be raised where Python has to ignore it (callbacks of the import
    system, finalisers), and the work would go on as if nothing had been said.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def note(number: int, frame: Any) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
