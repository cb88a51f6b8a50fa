"""The images of a stack one at a time, in memory or in a file."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.data.arrays import Array
from molrecon.data.plain import finite
from molrecon.errors import InputError
from molrecon.operators.checks import check_tensor

_SAMPLE = np.dtype(np.complex64)


@dataclass(frozen=True, eq=False)
class ImageItems:
    """Images of one shape, given out one at a time.

    Parameters
    ----------
    shape
        ``(batch, channel, *spatial)`` of all together.
    item
        Returns the image ``(channel, *spatial)`` of a number, from 0.
    frames
        Whether the first of three spatial axes is time.
    origin
        What made the images, as plain values, for files that have room for it.
    real
        Whether the values are real, as those of a map are.

    Examples
    --------
    >>> images = ImageItems.of(torch.ones(3, 1, 4, 4))
    >>> images.shape, [one.shape for one in images]
    ((3, 1, 4, 4), [(1, 4, 4), (1, 4, 4), (1, 4, 4)])
    """

    shape: tuple[int, ...]
    item: Callable[[int], Tensor]
    frames: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)
    real: bool = False

    @classmethod
    def of(cls, image: Tensor, *, frames: bool = False) -> ImageItems:
        """Return the items of images ``(batch, channel, *spatial)`` on any device."""
        check_tensor("image", image)
        real = not image.is_complex()
        return cls(tuple(image.shape), image.__getitem__, frames, real=real)

    @property
    def stored_kind(self) -> str:
        """NumPy's name of the numbers: single precision, real or complex, little endian."""
        return "<f4" if self.real else "<c8"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The spatial shape alone if there is one item and channel, else all axes."""
        return self.shape[2:] if self.shape[:2] == (1, 1) else self.shape

    def origin_text(self, most: int) -> str:
        """Return the origin as JSON of at most so many characters, without its last parts."""
        known = dict(self.origin)
        while known and len(text := json.dumps(finite(known), default=str)) > most:
            known.popitem()
        return text if known else ""

    def __iter__(self) -> Iterator[Array]:
        """Return ``(channel, *spatial)`` in their order, complex64, or float32 if they are real."""
        kind = torch.float32 if self.real else torch.complex64
        for number in range(self.shape[0]):
            one = self.item(number).detach().cpu().to(kind).resolve_conj()
            pixels: Array = one.contiguous().numpy()
            yield pixels


class ImageFile:
    """Complex images kept in a file without a name, so that memory need not hold them.

    Nothing is left of the file when it is closed, whatever ends the program.

    Parameters
    ----------
    folder
        Where the file lies; None for the folder for temporary files.

    Raises
    ------
    InputError
        If the folder is gone or cannot be written to.

    Examples
    --------
    >>> stored = ImageFile()
    >>> for value in (1, 2):
    ...     stored.append(torch.full((1, 4, 4), value + 0j))
    >>> stored.items().shape, stored.tensor()[1, 0, 0, 0].item()
    ((2, 1, 4, 4), (2+0j))
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it stays open
        except OSError as error:
            raise _not_kept(error) from error
        weakref.finalize(self, self._file.close)
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def append(self, image: Tensor) -> None:
        """Store one image ``(channel, *spatial)`` behind the others.

        Raises
        ------
        InputError
            If the disk is full.
        """
        self._shape = tuple(image.shape)
        try:
            self._file.write(image.detach().cpu().to(torch.complex64).numpy().tobytes())
            self._file.flush()
        except OSError as error:
            raise _not_kept(error) from error
        self._count += 1

    def items(self) -> ImageItems:
        """Return all images, each read when it is asked for."""
        size = int(np.prod(self._shape)) * _SAMPLE.itemsize

        def read(number: int) -> Tensor:
            self._file.seek(number * size)
            pixels = np.frombuffer(bytearray(self._file.read(size)), _SAMPLE)
            return torch.from_numpy(pixels.reshape(self._shape))

        return ImageItems((self._count, *self._shape), read)

    def tensor(self) -> Tensor:
        """Return all images as one tensor that the system reads from disk where it is looked at."""
        # Changes stay in memory: a file that is only read would be no tensor that may be written.
        mapped = np.memmap(self._file, _SAMPLE, "c", shape=(self._count, *self._shape))
        return torch.from_numpy(mapped)


def _not_kept(error: OSError) -> InputError:
    return InputError(
        f"The images could not be kept on disk ({error.strerror or error}); check that the folder "
        "of the output is there, its permissions and the free space."
    )
