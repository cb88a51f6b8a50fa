"""The spatial axes of a scan, an image or a model."""

from __future__ import annotations

from dataclasses import dataclass, field

from molrecon.errors import InputError

_WORDS = {
    "yx": ("slice", "slices", "slice"),
    "zyx": ("volume", "volumes", "slice"),
    "tyx": ("series", "series of frames", "frame"),
}
"""What one item of a batch is called, several of them, and one plane of it."""


@dataclass(frozen=True)
class Axes:
    """The spatial axes by their letters: a slice, a volume or a series of frames.

    Two values are equal if their letters are.

    Parameters
    ----------
    letters
        ``"yx"``, ``"zyx"`` or ``"tyx"``, in the order of the tensor's axes. Time, t, is not
        Fourier transformed.
    settled
        Whether the letters are known. False for three axes of a file that does not tell time from
        z: they are taken for a volume, unless a model is made for series of frames.

    Raises
    ------
    InputError
        If the letters are others.

    Examples
    --------
    >>> series = Axes("tyx")
    >>> series.ndim, series.fourier, series.item, series.plane
    (3, 2, 'series', 'frame')
    >>> Axes.of(3), Axes.of(3) == Axes("zyx")
    (Axes('zyx', settled=False), True)
    """

    letters: str
    settled: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        if self.letters not in _WORDS:
            raise InputError(
                f"axes is {self.letters!r}, expected one of {', '.join(map(repr, _WORDS))}; name "
                "the spatial axes in the order in which they are stored."
            )

    @classmethod
    def of(cls, ndim: int) -> Axes:
        """Return the axes of so many dimensions, 2 or 3, of which nothing else is known."""
        return cls("zyx"[-ndim:], settled=ndim != 3)

    def __str__(self) -> str:
        return self.letters

    def __repr__(self) -> str:
        return f"Axes({self.letters!r}{'' if self.settled else ', settled=False'})"

    @property
    def ndim(self) -> int:
        """Number of axes, 2 or 3."""
        return len(self.letters)

    @property
    def time(self) -> bool:
        """Whether the first axis is time."""
        return self.letters[0] == "t"

    @property
    def fourier(self) -> int:
        """Number of Fourier axes, the last ones: 2 or 3."""
        return self.ndim - self.time

    @property
    def item(self) -> str:
        """What one item of a batch is called: slice, volume or series."""
        return _WORDS[self.letters][0]

    @property
    def items(self) -> str:
        """What several items are called: slices, volumes or series of frames."""
        return _WORDS[self.letters][1]

    @property
    def plane(self) -> str:
        """What one plane of an item is called: slice or frame."""
        return _WORDS[self.letters][2]

    @property
    def names(self) -> str:
        """The letters as a list, such as ``"z, y, x"``."""
        return ", ".join(self.letters)
