"""How much memory a reconstruction may use, and scans that are refused by their headers."""

from __future__ import annotations

from molrecon.arguments import require_positive
from molrecon.data.formats.reading import PathLike, largest_array, most_read, scan_count
from molrecon.errors import RoomError
from molrecon.pipeline.free_memory import available_memory, resident_memory

SHARE_OF_FREE = 0.9
"""Of the memory that is free, how much a reconstruction may use unless told otherwise."""
GIB = 2**30


def memory_limit(max_memory: float | None, device: str, held: int = 0) -> int | None:
    """Return how many bytes a reconstruction may use; None where that is not known.

    They are ``max_memory`` GiB less what the process holds already, by default nine tenths of what
    is free. ``held`` bytes of the scan are in memory already, and counted by the plan.
    """
    own = held if device == "cpu" else 0
    if max_memory is not None:
        return max(0, int(max_memory * GIB) - resident_memory(device) + own)
    free = available_memory(device)
    return None if free is None else int(SHARE_OF_FREE * (free + own))


def require_room(path: PathLike, max_memory: float | None) -> None:
    """Refuse a scan that is read as a whole and does not fit, by its header, before it is read.

    Parameters
    ----------
    path
        ``FILE`` or ``FILE::KEY``.
    max_memory
        GiB that the process may hold; None for what is free.
    """
    require_positive("max_memory", max_memory)
    limit = memory_limit(max_memory, "cpu")
    if max_memory is not None and not limit:
        raise RoomError(
            f"max_memory is {max_memory:g} GiB, less than the {gib(resident_memory('cpu'))} that "
            "the process holds already; allow more (max_memory)."
        )
    if limit is None or most_read(path) <= limit or scan_count(path) > 1:
        return
    if (size := largest_array(path)) > limit:
        raise RoomError(
            f"{path} holds an array of {gib(size)}, but {gib(limit)} of memory may be used beside "
            f"the {gib(resident_memory('cpu'))} that the process holds already; allow more "
            "(max_memory), or store slices in an HDF5 file, which are read one by one."
        )


def gib(size: int) -> str:
    """Return a size as a person writes it."""
    return f"{size / GIB:.2g} GiB" if size < 10 * GIB else f"{size / GIB:.0f} GiB"
