"""The XML header of ISMRMRD and fastMRI files: what was encoded, and what image is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from molrecon.errors import InputError

_LONGEST = 2**22
"""Characters; real headers have some ten thousand."""


@dataclass(frozen=True)
class Space:
    """An encoded or reconstructed field of view: x is the readout."""

    matrix: tuple[int, int, int]  # number of samples or pixels along (x, y, z)
    field_of_view: tuple[float, float, float]  # in mm along (x, y, z); 0 where it is not known

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a pixel in mm along (x, y, z)."""
        x, y, z = (size / n for size, n in zip(self.field_of_view, self.matrix, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Limit:
    """First, last and central number of an encoding step, or of slices, echoes and the like."""

    minimum: int
    maximum: int
    centre: int


@dataclass(frozen=True)
class Header:
    """What a header tells."""

    encoded: Space | None  # The spaces; None where the header has none.
    recon: Space | None
    trajectory: str  # in lower case, ``"cartesian"`` where none is named
    limits: dict[str, Limit]  # of the encoding steps and counters, by their names

    def pixel_size(self) -> tuple[float, float, float] | None:
        """Size in mm along (x, y, z) of the pixels that were encoded, if it is known."""
        known = self.encoded is not None and min(self.encoded.field_of_view) > 0
        return self.encoded.spacing if self.encoded is not None and known else None

    def image_matrix(self) -> tuple[int, int, int] | None:
        """Return how many encoded pixels along (x, y, z) make up the image that is wanted.

        Pixels that are only interpolated are not counted.
        """
        if self.encoded is None or self.recon is None:
            return None
        spacing, wanted = self.pixel_size(), self.recon.matrix
        if spacing is not None and min(self.recon.field_of_view) > 0:
            sizes = zip(self.recon.field_of_view, spacing, strict=True)
            x, y, z = (max(1, round(size / pixel)) for size, pixel in sizes)
            wanted = (x, y, z)
        x, y, z = (min(pair) for pair in zip(wanted, self.encoded.matrix, strict=True))
        return x, y, z


def parse_header(text: str, source: str) -> Header:
    """Read the first encoding of a header from XML; ``source`` is the name of its file.

    XML that declares entities, by which a short text can grow without bound, is refused.
    """
    if len(text) > _LONGEST or "<!" in text.replace("<!--", ""):
        raise InputError(
            f"The XML header of {source} is longer than {_LONGEST} characters or declares "
            "entities, as no scanner's does; export the file again."
        )
    try:
        # The declaration may name an encoding, which a text that is decoded no longer has.
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise InputError(
            f"The XML header of {source} is damaged ({error}); export the file again."
        ) from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    encoding = root.find("encoding")
    if encoding is None:
        return Header(None, None, "cartesian", {})
    limits = encoding.find("encodingLimits")
    return Header(
        _space(encoding.find("encodedSpace"), source),
        _space(encoding.find("reconSpace"), source),
        (encoding.findtext("trajectory") or "cartesian").strip().lower(),
        {} if limits is None else {one.tag: _limit(one, source) for one in limits},
    )


def _space(element: ElementTree.Element | None, source: str) -> Space | None:
    if element is None:
        return None
    matrix = _numbers(element.find("matrixSize"), "matrixSize", source)
    sizes = _numbers(element.find("fieldOfView_mm"), "fieldOfView_mm", source)
    if any(n != int(n) or not 1 <= n <= 2**16 for n in matrix) or min(sizes) < 0:
        raise InputError(
            f"The header of {source} gives the matrix {_text(matrix)} and the field of view "
            f"{_text(sizes)}, expected whole numbers from 1 and sizes in mm; export it again."
        )
    x, y, z = map(int, matrix)
    return Space((x, y, z), (sizes[0], sizes[1], sizes[2]))


def _limit(element: ElementTree.Element, source: str) -> Limit:
    first, last, centre = _numbers(element, element.tag, source, ("minimum", "maximum", "center"))
    return Limit(int(first), int(last), int(centre))


def _numbers(
    element: ElementTree.Element | None,
    name: str,
    source: str,
    parts: Iterable[str] = ("x", "y", "z"),
) -> list[float]:
    found = [] if element is None else [element.findtext(part) or "0" for part in parts]
    try:
        numbers = [float(text) for text in found]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"The header of {source} has no readable {name} ({', '.join(found) or 'none'}), "
            "expected numbers; export it again."
        )
    return numbers


def _text(numbers: list[float]) -> str:
    return " × ".join(f"{number:g}" for number in numbers)
