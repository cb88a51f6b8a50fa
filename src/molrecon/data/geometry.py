"""Where the pixels of an image lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from molrecon.data.arrays import Array
from molrecon.errors import InputError

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Geometry:
    """Size of the pixels of an image and, where known, their position in the scanner.

    Parameters
    ----------
    affine
        Four rows of four numbers: the matrix from the index ``(x, y, z, 1)`` of a pixel to its
        centre in mm, as NIfTI has it: +x to the patient's right, +y to the front, +z to the head.
        The indices are those of the last spatial axis, the one before it, and z of a volume or
        the number of the slice in a batch.
    placed
        Whether position and orientation are known, and not only the size of the pixels.

    Raises
    ------
    InputError
        If the matrix has another shape, holds NaN or infinite values, or is singular.

    Examples
    --------
    >>> geometry = Geometry.of_spacing((3.0, 1.0, 2.0))
    >>> geometry.spacing
    (3.0, 1.0, 2.0)
    >>> geometry.moved((5, 0, 0)).affine[2]
    (0.0, 0.0, 3.0, 15.0)
    """

    affine: Rows
    placed: bool = True

    def __post_init__(self) -> None:
        matrix = np.asarray(self.affine, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError(
                f"affine is of shape {matrix.shape} or not finite, expected 4 × 4 finite numbers; "
                "correct it or leave it out."
            )
        if min(np.linalg.norm(matrix[:3, :3], axis=0)) <= 0:
            raise InputError(
                "affine has a column of zeros, expected pixels of positive size; correct it."
            )
        rows = tuple(tuple(float(value) for value in row) for row in matrix)
        object.__setattr__(self, "affine", rows)

    @classmethod
    def of_spacing(cls, spacing: Sequence[float]) -> Geometry:
        """Return a geometry of known pixels in an unknown place.

        Parameters
        ----------
        spacing
            Distance of pixel centres in mm along (y, x) or (z, y, x).
        """
        if not (2 <= len(spacing) <= 3 and min(spacing) > 0):
            raise InputError(
                f"spacing is {tuple(spacing)}, expected two or three positive distances in mm; "
                "correct it or leave it out."
            )
        sizes = [*spacing[::-1], 1.0][:3]
        return cls(_rows(np.diag([*sizes, 1.0])), placed=False)

    @classmethod
    def of_directions(
        cls,
        centre: Array,
        directions: Array,
        spacing: Sequence[float],
        shape: Sequence[int],
        *,
        placed: bool = True,
    ) -> Geometry:
        """Return the geometry of an image from the place of its centre, as scanners state it.

        Parameters
        ----------
        centre
            ``(3,)``, position in mm of the pixel ``n // 2`` of every axis; +x to the patient's
            left, +y to the back, +z to the head, as in DICOM.
        directions
            ``(3, 3)``, its rows the unit vectors along x, y and z of the image.
        spacing
            Distance of pixel centres in mm along (x, y, z).
        shape
            Number of pixels along (x, y, z).
        placed
            Whether place and directions are known.
        """
        columns = np.asarray(directions, dtype=np.float64).T * np.asarray(spacing)
        corner = np.asarray(centre, dtype=np.float64) - columns @ [n // 2 for n in shape]
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = columns, corner
        return cls(_rows(FLIP @ matrix), placed)

    @property
    def matrix(self) -> Array:
        """The affine as an array ``(4, 4)``."""
        return np.asarray(self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of pixel centres in mm along (z, y, x)."""
        x, y, z = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return float(z), float(y), float(x)

    def moved(self, first: Sequence[int]) -> Geometry:
        """Return the geometry of the part of the image that begins at an index ``(z, y, x)``."""
        matrix = self.matrix.copy()
        matrix[:3, 3] += matrix[:3, :3] @ np.asarray(first[::-1], dtype=np.float64)
        return Geometry(_rows(matrix), self.placed)

    def refined(self, axis: int, old: int, new: int) -> Geometry:
        """Return the geometry of the same field of view with another number of pixels.

        Parameters
        ----------
        axis
            -1 for x, -2 for y, -3 for z.
        old, new
            Number of pixels along it, before and after; the pixel ``n // 2`` stays in its place.
        """
        matrix = self.matrix.copy()
        column = matrix[:3, -axis - 1].copy()
        matrix[:3, -axis - 1] = column * (old / new)
        matrix[:3, 3] += column * (old // 2 - new // 2 * (old / new))
        return Geometry(_rows(matrix), self.placed)

    def reordered(self, order: Sequence[int]) -> Geometry:
        """Return the geometry of an image whose axes are permuted.

        Parameters
        ----------
        order
            For each axis of the new image (z, y, x), which of the old axes 0, 1, 2 = (z, y, x) it
            is.
        """
        columns = [2 - axis for axis in order][::-1]
        matrix = self.matrix.copy()
        matrix[:, :3] = matrix[:, columns]
        return Geometry(_rows(matrix), self.placed)


FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the coordinates of DICOM to those of NIfTI and back."""


def _rows(matrix: Array) -> Rows:
    return tuple(tuple(float(value) + 0.0 for value in row) for row in matrix)
