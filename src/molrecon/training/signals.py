"""Signals that end a training after the step it is at."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
ENDING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What a keyboard, a batch system and a terminal that goes away send."""


@dataclass
class Stop:
    """Whether a signal has asked for the end."""

    number: int | None = None  # of the signal


@contextmanager
def finish_on_signals() -> Iterator[Stop]:
    """Note the first of the signals within a block; a second one interrupts the block.

    A signal that is ignored, as of a program started by ``nohup``, stays so. In other threads than
    the first, where Python sets no handlers, none is noted.
    """
    stop = Stop()

    def note(number: int, frame: Any) -> None:
        if stop.number is not None:
            raise KeyboardInterrupt
        stop.number = number

    before = {}
    if threading.current_thread() is threading.main_thread():
        heeded = [one for one in ENDING if signal.getsignal(one) != signal.SIG_IGN]
        before = {one: signal.signal(one, note) for one in heeded}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
