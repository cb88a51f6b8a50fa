"""Where data lie: a path, and if need be which array of the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from molrecon.data.axes import Axes
from molrecon.errors import InputError

_SLICES, _FRAMES = "slices", "frames"


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
    """

    path: Path
    key: str | None = None
    slices: bool = False
    frames: bool = False

    def __str__(self) -> str:
        meaning = _SLICES if self.slices else _FRAMES if self.frames else None
        parts = [str(self.path), self.key, meaning]
        return "::".join(part for part in parts if part is not None)

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Location:
        """Split ``PATH[::KEY][::slices or ::frames]``.

        Raises
        ------
        InputError
            If there are more or empty parts.
        """
        path, *rest = os.fspath(text).split("::")
        meaning = rest[-1] if rest and rest[-1] in (_SLICES, _FRAMES) else None
        keys = rest[:-1] if meaning else rest
        if not path or len(keys) > 1 or "" in keys:
            raise InputError(
                f"The path {os.fspath(text)!r} is not of the form PATH, PATH::KEY, "
                "PATH::KEY::slices or PATH::KEY::frames; write it as one of these."
            )
        key = keys[0] if keys else None
        return cls(Path(path), key, meaning == _SLICES, meaning == _FRAMES)

    @property
    def axes(self) -> Axes | None:
        """The spatial axes, if the path tells them."""
        return Axes("tyx") if self.frames else None

    @property
    def names_a_part(self) -> bool:
        """Whether anything follows the path."""
        return self.key is not None or self.slices or self.frames


def require_file(path: Path) -> None:
    """Refuse a path at which there is no file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, but a file was expected; name a file in it.")
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the path.")


@contextmanager
def reading(location: Location, expected: str, *also: type[Exception]) -> Iterator[None]:
    """Turn the exceptions by which libraries say that a file is damaged into one sentence.

    Parameters
    ----------
    location
        What is read; it must be an existing file.
    expected
        The type of file, with its article, as in ``"an HDF5 file"``.
    also
        Exceptions of the library at work, beyond the usual ones.
    """
    failures: tuple[type[Exception], ...] = (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        MemoryError,
        *also,
    )
    require_file(location.path)
    try:
        yield
    except InputError:
        raise
    except failures as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"{location} could not be read as {expected} ({reason}); check that the file is "
            "complete and of the type its name says."
        ) from error
