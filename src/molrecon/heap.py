"""How the C library keeps the memory of arrays that a solve makes and frees."""

from __future__ import annotations

import ctypes
import os
import sys

HEAP_PIECE = 2**25
"""Bytes from which on an array has memory of its own, which goes back to the system when it is
freed; smaller ones lie in the heap. As large as glibc lets it grow by itself."""

KEPT_END = 2**26
"""Bytes that are kept, once freed, at the end of the heap; its rule is twice `HEAP_PIECE`."""

_SETTINGS = (
    # Names and numbers of glibc's malloc.h.
    ("MALLOC_MMAP_THRESHOLD_", -3, HEAP_PIECE),
    ("MALLOC_TRIM_THRESHOLD_", -1, KEPT_END),
)


def keep_freed_memory() -> bool:
    """Let the heap keep what is freed, and return whether it does.

    Left alone, glibc begins with much smaller bounds, which grow with the arrays that are freed:
    until then the memory of an array of some megabytes goes back to the system, which clears all
    its pages anew for the next one. An application of AᴴA to a slice took three times as long. What
    the user has set in the environment stays, and other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    settings = {number: value for name, number, value in _SETTINGS if name not in os.environ}
    if len(settings) < len(_SETTINGS) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*one) == 1 for one in settings.items())
