"""The memory that a process holds, and what it may still use."""

from __future__ import annotations

import contextlib
import ctypes
import re
from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory(device: str) -> int | None:
    """Return how many bytes may still be used on a device; None where that is not known.

    On the CPU it is what Linux calls available, or what is left of the limit of a container if
    that is less.
    """
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    free = stated_size(_MEMINFO, "MemAvailable")
    left = _left_of_limit()
    known = [size for size in (free, left) if size is not None]
    return min(known) if known else None


def resident_memory(device: str) -> int:
    """Return how many bytes this process holds on a device; 0 where that is not known."""
    if device.startswith("cuda"):
        return int(torch.cuda.memory_allocated(device))
    return stated_size(_STATUS, "VmRSS") or 0


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library is glibc.

    It keeps what lies between arrays in use, and of one slice after the other that adds up: every
    small result that stays holds a page of what was freed around it.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _left_of_limit() -> int | None:
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        return max(0, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or the limit "max"
        return None


def stated_size(file: Path, field: str) -> int | None:
    """Read one size of a file of ``field: number kB``, in bytes."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
