"""How the C library keeps the memory of arrays that a solve makes and frees."""

from __future__ import annotations

import ctypes
import sys

KEPT_PIECE = 2**24
"""Bytes up to which an array lies in the heap from the start, which keeps twice as much free."""


def keep_freed_memory() -> bool:
    """Let the heap keep the memory of arrays that are freed, and return whether it was asked to.

    glibc gives the memory of an array above a bound back to the system, which clears all its pages
    anew for the next one. The bound begins at 128 KiB and grows to the largest array that was
    freed, at most 32 MiB; until then an application of AᴴA to a slice takes three times as long. So
    one array of `KEPT_PIECE` is made and freed, which nothing is written to. Where the user has set
    the bound (``MALLOC_MMAP_THRESHOLD_``, ``GLIBC_TUNABLES``) it stays.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
    library.free(library.malloc(KEPT_PIECE))
    return True
