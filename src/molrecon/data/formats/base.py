"""What every file format offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.entries import Array, Entries
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan

Kind = Literal["scan", "image", "coil maps"]


@dataclass(frozen=True)
class Format:
    """One file format: its functions, ``None`` where it cannot do the thing.

    Parameters
    ----------
    name
        With its article, for messages: ``"a BART .cfl/.hdr pair"``.
    extensions
        Lower-case, with the dot.
    recognises
        Whether a file is of this format, from its first 4096 bytes and its path.
    describe
        The arrays in a file, from its headers alone; a format with one nameless array calls it
        ``"array"``.
    kind
        What a file holds where its structure tells; None where the numbers must.
    read_array
        One array as stored; the names are those to prefer where the location gives none.
    read_image
        An image.
    read_scan
        Raw data, or a range of its slices.
    count
        Number of items (slices, volumes or series) that ``read_scan`` reads one by one without
        reading the others; None where a file can only be read as a whole.
    write_image
        Write images, one after the other, through `molrecon.data.atomic`.
    write_scan
        Write a scan, through `molrecon.data.atomic`.
    """

    name: str
    extensions: tuple[str, ...]
    recognises: Callable[[bytes, Path], bool]
    describe: Callable[[Location], Entries]
    read_array: Callable[[Location, Sequence[str]], Array]
    read_image: Callable[[Location], ImageData]
    read_scan: Callable[[Location, SliceRange | None], Scan] | None = None
    kind: Callable[[Location], Kind | None] = lambda location: None
    count: Callable[[Location], int] | None = None
    write_image: Callable[[Path, ImageItems, Geometry | None], None] | None = None
    write_scan: Callable[[Path, Scan], None] | None = None
