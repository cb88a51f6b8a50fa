"""Where data lie: a path, and if need be which array of the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from molrecon.arguments import require_positive
from molrecon.data.axes import Axes
from molrecon.data.root import unreadable
from molrecon.errors import InputError, MolreconError, RoomError

_SLICES, _FRAMES, _ORDER = "slices", "frames", "axes="
_AXES = ("slice", "coil", "z", "t", "y", "x")
_LONGEST = 200
"""Characters shown of what a library says."""
_ALWAYS = 200e6
_TIMES_FILE = 4
_GIB = 2**30


@dataclass(frozen=True)
class Location:
    """A path that may name one array of the file, as in ``scan.npz::FLAIR::slices``.

    Parameters
    ----------
    path
        The file.
    key
        The array in it; ``None`` leaves the choice to the reader.
    slices
        Whether the leading axis of a three-dimensional array counts slices of a single-coil scan
        instead of coils.
    frames
        Whether the third axis from the end is time instead of z.
    order
        Names of the axes of k-space in the order in which they are stored: ``slice``, ``coil``,
        ``z`` or ``t``, ``y`` and ``x``; None for the usual order.
    max_memory
        Memory in GiB that an array of the file may take; always allowed are 200 MB, and four times
        the size of the file.
    kept
        What a reader keeps of the file from one item to the next, so that it is not read anew.
    """

    path: Path
    key: str | None = None
    slices: bool = False
    frames: bool = False
    order: tuple[str, ...] | None = None
    max_memory: float | None = None
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_positive("max_memory", self.max_memory)

    def __str__(self) -> str:
        meaning = _SLICES if self.slices else _FRAMES if self.frames else None
        meaning = f"{_ORDER}{','.join(self.order)}" if self.order else meaning
        parts = [str(self.path), self.key, meaning]
        return "::".join(part for part in parts if part is not None)

    @classmethod
    def parse(cls, text: str | os.PathLike[str], max_memory: float | None = None) -> Location:
        """Split ``PATH[::KEY][::slices, ::frames or ::axes=NAMES]``.

        Parameters
        ----------
        text
            The path with what follows it.
        max_memory
            Memory in GiB that an array of the file may take, see `Location`.

        Raises
        ------
        InputError
            If there are more or empty parts.
        """
        if not isinstance(text, str | os.PathLike):
            raise InputError(
                f"The path is of type {type(text).__name__}, expected str or pathlib.Path; name a "
                "file, or make a Scan of k-space."
            )
        path, *rest = os.fspath(text).split("::")
        last = rest[-1] if rest else ""
        meaning = last if last in (_SLICES, _FRAMES) or last.startswith(_ORDER) else None
        keys = rest[:-1] if meaning else rest
        if not path or len(keys) > 1 or "" in keys:
            raise InputError(
                f"The path {os.fspath(text)!r} is not of the form PATH, PATH::KEY, "
                "PATH::KEY::slices, PATH::KEY::frames or PATH::KEY::axes=coil,y,x; write it as one "
                "of these."
            )
        order = None
        if meaning is not None and meaning.startswith(_ORDER):
            order = _parse_order(meaning.removeprefix(_ORDER))
        key = keys[0] if keys else None
        return cls(Path(path), key, meaning == _SLICES, meaning == _FRAMES, order, max_memory)

    @property
    def most_bytes(self) -> float:
        """The most that an array of the file may take, in bytes."""
        parts = self.path.iterdir() if self.path.is_dir() else [self.path]
        size = sum(part.stat().st_size for part in parts)
        return max(_ALWAYS, _TIMES_FILE * size, _GIB * (self.max_memory or 0))

    def require_room(self, nbytes: int, what: str) -> None:
        """Refuse, before it is allocated, an array that the file makes larger than is plausible.

        A few bytes can announce or compress to any size.

        Parameters
        ----------
        nbytes
            What it will take, in bytes.
        what
            What it is, for the message.
        """
        if nbytes > self.most_bytes:
            raise RoomError(
                f"The {what} of {self} takes {nbytes / 1e9:.3g} GB, expected at most "
                f"{self.most_bytes / 1e9:.3g} GB of a file of this size; if it is meant so, allow "
                "that much memory in GiB (max_memory)."
            )

    @property
    def axes(self) -> Axes | None:
        """The spatial axes, if the path tells them."""
        if self.order:
            return Axes("".join(one for one in _AXES[2:] if one in self.order))
        return Axes("tyx") if self.frames else None

    @property
    def names_a_part(self) -> bool:
        """Whether anything follows the path."""
        return self.key is not None or self.slices or self.frames or self.order is not None


def _parse_order(text: str) -> tuple[str, ...]:
    order = tuple(text.split(","))
    known = set(order) <= set(_AXES) and {"y", "x"} <= set(order) and len(set(order)) == len(order)
    if not known or {"z", "t"} <= set(order):
        raise InputError(
            f"axes is {text!r}, expected y, x and what else there is of slice, coil, z or t, each "
            "once, as in coil,y,x; name the axes in the order in which they are stored."
        )
    return order


def require_whole(location: Location, name: str) -> None:
    """Refuse a part of a file that has none; ``name`` is its format, with its article."""
    if location.names_a_part:
        raise InputError(
            f"{location} names a part of {name}, which has none; leave out what follows '::'."
        )


@contextmanager
def reading(location: Location, expected: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one sentence.

    Every exception is caught, since libraries raise any of them on files that are damaged or made
    to harm: recursion, overflow, type and memory errors among them.

    Parameters
    ----------
    location
        What is read.
    expected
        The type of file, with its article, as in ``"an HDF5 file"``.
    """
    try:
        yield
    except MolreconError:
        raise
    except PermissionError as error:
        raise unreadable(location.path, error) from error
    except Exception as error:
        text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
        reason = text.splitlines()[0].rstrip(".")[:_LONGEST]
        raise InputError(
            f"{location} could not be read as {expected} ({reason}); check that the file is "
            "complete and of the type its name says."
        ) from error
