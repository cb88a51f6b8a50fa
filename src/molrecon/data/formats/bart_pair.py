"""The two files of a BART pair, which are never taken for one if they do not belong together.

No file system renames two files at once. Where the dimensions change, the header first says which
data have the old ones and which the new ones, in comments, so that BART refuses a pair whose
writing was cut short, and molrecon reads it: as it was before or as it became, whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from molrecon.data.atomic import atomic_path, write_text
from molrecon.data.formats.location import Location, reading
from molrecon.data.locking import locked
from molrecon.data.root import require_file
from molrecon.errors import InputError

SAMPLE = np.dtype("<c8")
_LONGEST_HEADER = 2**20
_HEADER = "# Dimensions\n{}\n"
_BETWEEN = """\
# Between two pairs: writing was cut short. molrecon reads this; write the file again to mend it.
# Data {digest} have {new}
# Others have {old}
"""
_NEW = re.compile(r"# Data ([0-9a-f]{64}) have ([\d ]+)")
_OLD = re.compile(r"# Others have ([\d ]+)")


def pair(path: Path) -> tuple[Path, Path]:
    """Return the data and the header file for either of them or their common name."""
    base = path.with_suffix("") if path.suffix.lower() in (".cfl", ".hdr") else path
    return base.with_name(base.name + ".cfl"), base.with_name(base.name + ".hdr")


def read_dimensions(path: Path) -> tuple[int, ...]:
    """Read the header, and check that the data have the length it announces."""
    data, header = pair(path)
    require_file(data)
    require_file(header)
    with reading(Location(header), "a BART header"):
        numbers = _numbers(data, header)
        dimensions = tuple(int(word) for word in numbers.split())
    if not dimensions or min(dimensions) < 1:
        raise InputError(
            f"The BART header {header} gives the dimensions {numbers[:60]!r}, but positive whole "
            "numbers were expected; export the data again."
        )
    expected = int(np.prod(dimensions, dtype=object)) * SAMPLE.itemsize
    found = data.stat().st_size
    if found != expected:
        raise InputError(
            f"{data} has {found} bytes, but the dimensions {dimensions} in its header need "
            f"{expected}; the file is truncated or belongs to another header: copy both again."
        )
    return dimensions


def _numbers(data: Path, header: Path) -> str:
    """Return the dimensions as they are written."""
    with header.open("rb") as stream:
        text = stream.read(_LONGEST_HEADER).decode("utf-8")
    lines = text.splitlines()
    numbers = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    new, old = _NEW.search(text), _OLD.search(text)
    if numbers or new is None or old is None:
        return numbers
    return new[2] if _digest(data) == new[1] else old[1]


@contextmanager
def new_pair(path: Path, dimensions: Sequence[int]) -> Iterator[Path]:
    """Give a path for the data of a pair, which replaces an older one as a whole; `atomic_path`.

    Cut short between its two renames, a pair of which there was no older one is data without a
    header, which nobody reads.
    """
    data, header = pair(path)
    new = " ".join(map(str, dimensions))
    with ExitStack() as swap:
        with atomic_path(data) as part:
            yield part
            # Two processes that write one pair would mix their headers and data.
            swap.enter_context(locked(data.parent))
            old = _dimensions(path)
            if old not in (None, new):
                write_text(header, _BETWEEN.format(digest=_digest(part), new=new, old=old))
                swap.callback(_settle, path)
        write_text(header, _HEADER.format(new))


def _settle(path: Path) -> None:
    """Write the header of the data that there are after a failure; it may still say them both."""
    _, header = pair(path)
    now = _dimensions(path)
    if now is not None and _NEW.search(header.read_text(encoding="utf-8")):
        with suppress(InputError):
            write_text(header, _HEADER.format(now))


def _dimensions(path: Path) -> str | None:
    """Return the dimensions of the pair that is there; None where none can be read."""
    try:
        return " ".join(map(str, read_dimensions(path)))
    except InputError:
        return None


def _digest(data: Path) -> str:
    with data.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
