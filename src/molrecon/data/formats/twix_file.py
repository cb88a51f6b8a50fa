"""Siemens twix files (``.dat``): their protocol and the heads of their readouts.

The records of software VB (one head for each coil) and VD, VE and XA (one for all coils). The
layout is that of the structures ``sMDH`` and ``sScanHeader``; files are walked through here, and
not by a library, because a damaged length must neither loop nor allocate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.location import Location

_COUNTERS = ("Lin", "Ave", "Sli", "Par", "Eco", "Phs", "Rep", "Set", "Seg", "a", "b", "c", "d", "e")
_COUNTER = np.dtype([(name, "<u2") for name in _COUNTERS])
_START = [("length", "<u4"), ("measurement", "<i4"), ("scan", "<u4"), ("time", "<u4", 2)]
_MIDDLE = [
    ("flags", "<u8"),
    ("samples", "<u2"),
    ("coils", "<u2"),
    ("counter", _COUNTER),
    ("cut", "<u2", 2),
    ("centre_column", "<u2"),
    ("coil_select", "<u2"),
    ("off_centre", "<f4"),
    ("time_since_pulse", "<u4"),
    ("centre_line", "<u2"),
    ("centre_partition", "<u2"),
]
_PLACE = [("position", "<f4", 3), ("quaternion", "<f4", 4)]
_NEW = np.dtype([*_START, ("system", "V20"), *_MIDDLE, *_PLACE, ("ice", "V64")])
_OLD = np.dtype([*_START, *_MIDDLE, ("ice", "V16"), *_PLACE, ("last", "V4")])
_NEW_CHANNEL = 32
_MOST_SCANS, _ENTRY = 64, 152
_DMA_LENGTH = (1 << 25) - 1

END, SYNC = 0, 5
_MOST_READOUTS = 4_000_000


@dataclass(frozen=True, eq=False)
class Measurement:
    """One measurement of a file."""

    location: Location  # the file
    protocol: dict[str, str]  # What was set, by its path: ``{"sKSpace.lBaseResolution": "160"}``.
    heads: Array  # the heads of all readouts
    places: Array  # where each head begins, in bytes
    old: bool  # whether each coil has a head of its own, as of software VB

    def number(self, key: str, default: float) -> float:
        """Return a number of the protocol."""
        try:
            value = float(self.protocol.get(key, default))
        except ValueError:
            return default
        return value if np.isfinite(value) else default

    def flag(self, bit: int) -> Array:
        """Return of every readout whether a flag is set."""
        found: Array = (self.heads["flags"] >> np.uint64(bit)) & np.uint64(1) > 0
        return found

    def samples(self, stream: IO[bytes], number: int) -> Array:
        """Read a readout, complex64 ``(coil, samples)``."""
        head = self.heads[number]
        coils, samples = int(head["coils"]), int(head["samples"])
        before = 0 if self.old else _NEW.itemsize
        gap = _OLD.itemsize if self.old else _NEW_CHANNEL
        stream.seek(int(self.places[number]) + before)
        block = stream.read(coils * (gap + 8 * samples))
        row = np.dtype([("head", f"V{gap}"), ("data", "<c8", (samples,))])
        found: Array = np.frombuffer(block, row, coils)["data"]
        return found


def is_twix(head: bytes) -> bool:
    """Whether the first bytes may be those of a twix file."""
    if len(head) < 16:
        return False
    first, second = (int.from_bytes(head[i : i + 4], "little") for i in (0, 4))
    if first < 10_000 and 1 <= second <= _MOST_SCANS:
        start = int.from_bytes(head[16:24], "little")
        return start >= 8 + _ENTRY and len(head) >= 8 + _ENTRY
    return bool(re.match(rb"[A-Za-z]{4,20}\0", head[8:32]))


def read_measurements(location: Location) -> list[Measurement]:
    """Read protocol and heads of every measurement in a file."""
    size = location.path.stat().st_size
    with location.path.open("rb") as stream:
        first, second = np.frombuffer(stream.read(8), "<u4")
        old = not (first < 10_000 and 1 <= second <= _MOST_SCANS)
        spans = [(0, size)]
        if not old:
            entries = np.frombuffer(
                stream.read(int(second) * _ENTRY),
                np.dtype([("ids", "<u4", 2), ("start", "<u8"), ("length", "<u8"), ("_", "V128")]),
            )
            spans = [
                (int(one["start"]), min(size, int(one["start"]) + (int(one["length"]) or size)))
                for one in entries
            ]
        return [_measurement(location, stream, start, stop, old) for start, stop in spans]


def _measurement(
    location: Location, stream: IO[bytes], start: int, stop: int, old: bool
) -> Measurement:
    stream.seek(start)
    length = int.from_bytes(stream.read(4), "little")
    if not 8 <= length <= stop - start:
        raise ValueError(f"a protocol of {length} bytes is announced")
    protocol = _protocol(stream.read(length - 4))
    kind = _OLD if old else _NEW
    heads, places = [], []
    for place, head in _walk(stream, start + length, stop, old):
        heads.append(head)
        places.append(place)
    return Measurement(location, protocol, np.array(heads, kind), np.array(places), old)


def _walk(stream: IO[bytes], place: int, stop: int, old: bool) -> Iterator[tuple[int, Array]]:
    """Go from head to head; every step moves on by at least one."""
    kind = _OLD if old else _NEW
    for _ in range(_MOST_READOUTS):
        stream.seek(place)
        block = stream.read(kind.itemsize)
        if place + kind.itemsize > stop or len(block) < kind.itemsize:
            return
        head = np.frombuffer(block, kind)[0]
        flags = int(head["flags"])
        if flags >> END & 1:
            return
        if flags >> SYNC & 1:
            length = int(head["length"]) & _DMA_LENGTH
        else:
            one = (kind.itemsize if old else _NEW_CHANNEL) + 8 * int(head["samples"])
            length = int(head["coils"]) * one + (0 if old else kind.itemsize)
            if place + length > stop:
                raise ValueError(f"the readout at byte {place} is cut off")
            yield place, head
        if length < kind.itemsize:
            raise ValueError(f"the record at byte {place} has a length of {length}")
        place += length


def _protocol(header: bytes) -> dict[str, str]:
    """Return the settings, which stand as text between marks."""
    begin = header.find(b"### ASCCONV BEGIN", max(0, header.find(b"MeasYaps\0")))
    end = header.find(b"### ASCCONV END", begin)
    if begin < 0 or end < 0:
        return {}
    lines = header[begin:end].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
