"""BART's ``.cfl`` (complex64, first axis fastest) with its text header ``.hdr``.

BART has sixteen axes, each with a meaning: 0 readout, 1 and 2 phase encoding, 3 coil, 4 sets of
coil maps, 5 echo, 10 time, 11 second time, 13 slice, 14 average, 15 batch; the others are of no
scan. The order of the spatial axes is kept, so that rows are rows here and there; an axis of
length 1 among them is dropped. ``1 230 180 8`` is eight coils of 230 rows and 180 columns. Time
becomes the first spatial axis of a series of slices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from molrecon.data.arrays import complex_tensor
from molrecon.data.axes import Axes
from molrecon.data.formats.assemble import SliceRange, assemble, resolve_range
from molrecon.data.formats.bart_pair import SAMPLE, new_pair, pair, read_dimensions
from molrecon.data.formats.base import Format, Kind
from molrecon.data.formats.entries import Array, Entries, Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, require_whole
from molrecon.data.formats.non_cartesian import non_cartesian, require_grid
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_NAME = "a BART .cfl/.hdr pair"
_COIL, _MAPS, _TIME, _SLICES, _COUNT = 3, 4, 10, 13, 16
_BATCH = {5: "echoes", 9: "shifts", 11: "second times", 13: "slices", 14: "averages", 15: "scans"}
"""The axes that may make up the batch of a scan, and what they count."""
_MEANING = {_MAPS: "counts sets of coil maps", 6: "counts coefficients", 7: "counts coefficients"}
_SLICE = "take a part of it first (bart slice)"
_REMEDY = {
    _MAPS: "give maps as the coil maps of a scan, and store slices of k-space along axis 13 "
    "(bart transpose 4 13)"
}


def describe(location: Location) -> Entries:
    """Read the header."""
    return {"array": Entry(read_dimensions(location.path), SAMPLE)}


def kind(location: Location) -> Kind | None:
    """Say that several sets of coil maps are coil maps."""
    return "coil maps" if _full(location)[_MAPS] > 1 else None


def _full(location: Location) -> tuple[int, ...]:
    """Return the lengths of all sixteen axes."""
    dimensions = read_dimensions(location.path)
    if any(n > 1 for n in dimensions[_COUNT:]):
        raise InputError(
            f"{location} has dimensions {dimensions}, but BART has {_COUNT} axes; export it again."
        )
    return (*dimensions, *(1,) * _COUNT)[:_COUNT]


@dataclass(frozen=True, eq=False)
class _Stored:
    """The data of a file on disk."""

    # The axes of the batch, from the slowest, then coil, time where there are frames, and the
    # spatial axes; not read yet.
    view: Array
    batch: tuple[int, ...]  # BART's numbers of the axes of the batch
    frames: int  # number of frames
    notes: tuple[str, ...]  # how the axes were read

    def read(self, chosen: slice | None = None) -> Array:
        """Read ``(batch, coil, *spatial)``, or a range of the batch."""
        lengths = self.view.shape[: len(self.batch)]
        numbers = range(math.prod(lengths))[slice(None) if chosen is None else chosen]
        items = [self.view[np.unravel_index(number, lengths)] for number in numbers]
        return np.stack(items)


def _open(location: Location, allowed: Mapping[int, str]) -> _Stored:
    """Arrange the axes; ``allowed`` may make up the batch, by what they count."""
    full, source = _full(location), str(location.path)
    batch = tuple(axis for axis in range(_COUNT - 1, _COIL, -1) if axis != _TIME and full[axis] > 1)
    for axis in batch:
        if axis not in allowed:
            raise InputError(
                f"{source} has {full[axis]} along BART's axis {axis}, which "
                f"{_MEANING.get(axis, 'is none of a scan')}; {_REMEDY.get(axis, _SLICE)}."
            )
    spatial = [axis for axis in range(_COIL) if full[axis] > 1] or [0, 1]
    spatial = spatial if len(spatial) > 1 else sorted({spatial[0], 0 if spatial[0] else 1})
    frames = full[_TIME]
    if frames > 1 and len(spatial) == 3:
        raise InputError(
            f"{source} has dimensions {full}, with time beyond three spatial axes, expected a "
            "series of slices; take a part of it first (bart slice)."
        )
    notes = [f"BART axes 0, 1, 2 of length {full[:_COIL]} read as the spatial axes"]
    notes += [f"BART axis {_TIME} read as {frames} frames"] if frames > 1 else []
    notes += [f"BART axis {axis} read as a batch of {full[axis]} {allowed[axis]}" for axis in batch]
    stored = np.memmap(pair(location.path)[0], SAMPLE, "r", shape=full, order="F")
    if _full(location) != full:
        raise InputError(f"{source} was replaced while it was read; read it again.")
    flat = full[0] == 3 and max(full[_COIL:]) == 1 and not stored.imag.any()
    # Three slices of a magnitude look alike, but for positions on both sides of the centre.
    if flat and bool((stored.real < 0).any()):
        raise non_cartesian(source, "it is a trajectory")
    order = [*batch, _COIL, *([_TIME] if frames > 1 else []), *spatial]
    rest = [axis for axis in range(_COUNT) if axis not in order]
    view = stored.transpose(*rest, *order)[(0,) * len(rest)]
    return _Stored(view, batch, frames, tuple(notes))


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read ``(batch, coil, *spatial)`` without leading axes of length 1.

    Of several sets of coil maps the location may name one by its number, from 0.
    """
    stored = _open(location, _BATCH | {_MAPS: "sets of coil maps"})
    array = stored.read()
    sets = len(array) if stored.batch == (_MAPS,) else 0
    if location.key is not None and sets:
        if not location.key.isdecimal() or int(location.key) >= sets:
            raise InputError(
                f"{location.path} holds {sets} sets of coil maps, but {location.key!r} was asked "
                f"for; choose one of 0 to {sets - 1}."
            )
        chosen: Array = array[int(location.key)]
        return chosen
    require_whole(location, _NAME)
    spatial = array.ndim - 2
    while array.ndim > spatial and array.shape[0] == 1:
        array = array[0]
    return array


def read_reversed(location: Location) -> Array:
    """Read the numbers with BART's axes in the opposite order, without those of length 1.

    Samples ``1 samples lines coils`` are ``(coil, line, sample)``, and positions ``3 samples
    lines`` are ``(line, sample, 3)``.
    """
    require_whole(location, _NAME)
    full = _full(location)
    location.require_room(SAMPLE.itemsize * math.prod(full), "array")
    stored = np.memmap(pair(location.path)[0], SAMPLE, "r", shape=full, order="F")
    return np.array(stored.T.squeeze())


def read_image(location: Location) -> ImageData:
    """Read a complex image; the coil axis must have length 1."""
    require_whole(location, _NAME)
    stored = _open(location, _BATCH)
    source, frames = str(location), stored.frames > 1
    return ImageData.from_array(stored.read(), source, frames=frames, notes=stored.notes)


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read k-space."""
    require_whole(location, _NAME)
    source, stored = str(location), _open(location, _BATCH)
    count = int(np.prod(stored.view.shape[: len(stored.batch)], dtype=np.int64))
    kspace = complex_tensor(stored.read(resolve_range(slice_range, count, source)))
    require_grid(kspace.numpy(), source)
    axes = Axes("tyx" if stored.frames > 1 else "zyx") if kspace.ndim == 5 else None
    return assemble(kspace, source=source, notes=stored.notes, axes=axes)


def count(location: Location) -> int:
    """Return the number of items."""
    stored = _open(location, _BATCH)
    return int(np.prod(stored.view.shape[: len(stored.batch)], dtype=np.int64))


def write_image(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write both files; the format has no place for the geometry."""
    batch, channels, *spatial = image.shape
    dimensions = [1] * _COUNT
    dimensions[_TIME] = spatial.pop(0) if image.frames else 1
    dimensions[: len(spatial)] = spatial
    dimensions[_COIL], dimensions[_SLICES] = channels, batch
    with new_pair(path, dimensions) as part, part.open("wb") as stream:
        for one in image:
            # BART's first axis, the rows, is the fastest; time comes after the coils.
            slow = (1, 0) if image.frames else (0,)
            fastest_first = one.transpose(*slow, *range(one.ndim - 1, len(slow) - 1, -1))
            stream.write(fastest_first.astype(SAMPLE).tobytes())


def _recognises(head: bytes, path: Path) -> bool:
    """Whether this is one of a pair, the common name of one, or of what is left of one."""
    named = path.suffix.lower() in (".cfl", ".hdr")
    return (named or not head) and any(one.is_file() for one in pair(path))


FORMAT = Format(
    name=_NAME,
    extensions=(".cfl", ".hdr"),
    recognises=_recognises,
    describe=describe,
    kind=kind,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    count=count,
    write_image=write_image,
)
