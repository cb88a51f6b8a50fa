"""Files changed at random, and what reading them costs."""

from __future__ import annotations

import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molrecon.data.formats import describe, kind_of, read_array, read_image, read_scan
from molrecon.errors import InputError

READERS: dict[str, Callable[[Path], Any]] = {
    "kind": kind_of,
    "describe": describe,
    "scan": read_scan,
    "image": read_image,
    "array": read_array,
}
EXTREME = (
    0,
    1,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
HEADER = 2048
SECONDS = 20
ALLOWED = 200e6
"""Bytes that reading a small file may take; four times the file where that is more."""


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a file at random: bits, blocks, lengths and numbers, mostly in its header."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        end = min(len(changed), HEADER) if rng.random() < 0.7 else len(changed)
        if end == 0:
            break
        place = int(rng.integers(end))
        kind = rng.integers(7)
        if kind == 0:
            for one in rng.integers(0, end, int(rng.integers(1, 30))):
                changed[one] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            value, width = int(rng.choice(np.array(EXTREME, object))), int(rng.choice([1, 2, 4, 8]))
            order = "little" if rng.random() < 0.7 else "big"
            changed[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, order)
        elif kind == 3:
            length = int(rng.integers(1, 64))
            changed[place : place + length] = bytes(min(length, len(changed) - place))
        elif kind == 4:
            other, length = int(rng.integers(len(changed))), int(rng.integers(1, 256))
            changed[place:place] = changed[other : other + length]
        elif kind == 5:
            changed[place : place + 8] = rng.bytes(8)
        else:
            changed = _other_number(changed, rng)
    return bytes(changed)


def _other_number(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Replace one of the numbers written as text."""
    found = list(re.finditer(rb"\d+", bytes(content[: 16 * HEADER])))
    if not found:
        return content
    one = found[int(rng.integers(len(found)))]
    new = rng.choice([b"0", b"-1", b"99999", b"4294967296", b"1" * 30, b"1e400", b"nan", b""])
    return content[: one.start()] + bytearray(new) + content[one.end() :]


@dataclass(frozen=True)
class Outcome:
    """What reading a file by one reader led to.

    Attributes
    ----------
    reader
        Its name.
    escaped
        The exception that is not ours, or None.
    hung
        Whether it took more than `SECONDS` of computing.
    refused
        Whether our own exception says why.
    bytes
        Memory it took at most, beyond what the process held before.
    """

    reader: str
    escaped: str | None
    hung: bool
    refused: bool
    bytes: int


class _HungError(BaseException):
    """Raised by the alarm; not caught by what catches exceptions."""


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _HungError

    # Of computing, so that a busy machine does not count.
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _memory(field: str) -> int:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def try_reader(path: Path, name: str) -> Outcome:
    """Read a file by one of `READERS`."""
    escaped, hung, refused = None, False, False
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    try:
        with _alarm():
            READERS[name](path)
    except InputError as error:
        refused, text = True, str(error)
        if "\n" in text or not text.endswith(".") or not all(map(str.isprintable, text)):
            escaped = f"no sentence: {text!r}"
    except _HungError:
        hung = True
    except Exception as error:
        escaped = f"{type(error).__name__}: {error}"
    return Outcome(name, escaped, hung, refused, _memory("VmHWM") - before)


def try_readers(path: Path) -> Iterator[Outcome]:
    """Read a file by every reader."""
    return (try_reader(path, name) for name in READERS)
