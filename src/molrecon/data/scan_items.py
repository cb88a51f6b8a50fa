"""The items of a scan one at a time, in memory or read from their file when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from molrecon.data.arrays import Array, as_array
from molrecon.data.scan import Scan


@dataclass(frozen=True, eq=False)
class ScanItems:
    """The slices, volumes or series of frames of a scan, each a `Scan` of its own.

    Parameters
    ----------
    count
        How many there are.
    source
        Name of the scan.
    read
        Returns the item of a number, from 0.
    held
        Bytes of k-space that are in memory whether an item is asked for or not.
    whole
        All of them, where they are in memory.

    Examples
    --------
    >>> import torch
    >>> items = ScanItems.of(Scan(torch.ones(3, 2, 8, 8, dtype=torch.complex64)))
    >>> len(items), items[2].kspace.shape
    (3, torch.Size([1, 2, 8, 8]))
    """

    count: int
    source: str
    read: Callable[[int], Scan]
    held: int = 0
    whole: Scan | None = None

    @classmethod
    def of(cls, scan: Scan) -> ScanItems:
        """Return the items of a scan that is in memory.

        Parameters
        ----------
        scan
            The scan.
        """
        return cls(len(scan.kspace), scan.source, scan.item, scan.kspace.nbytes, scan)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Scan:
        """Return an item; what lies in a file is read anew every time."""
        return self.read(number)

    def __iter__(self) -> Iterator[Scan]:
        """Return all items in their order, one at a time."""
        return (self.read(number) for number in range(self.count))

    def with_mask(self, mask: Array | Tensor, *, source: str = "the array") -> ScanItems:
        """Return the items with another mask; parameters and exceptions of `Scan.with_mask`."""
        if self.whole is not None:
            return ScanItems.of(self.whole.with_mask(mask, source=source))
        part = self._part_of(as_array(mask))
        return self._changed(lambda item, i: item.with_mask(part(i, item.ndim), source=source))

    def with_coil_maps(self, coil_maps: Array | Tensor, *, source: str = "the array") -> ScanItems:
        """Return the items with other maps; parameters and exceptions of `Scan.with_coil_maps`."""
        if self.whole is not None:
            return ScanItems.of(self.whole.with_coil_maps(coil_maps, source=source))
        part = self._part_of(as_array(coil_maps))
        return self._changed(
            lambda item, i: item.with_coil_maps(part(i, item.ndim + 1), source=source)
        )

    def with_calibration(
        self, calibration: Array | Tensor, *, source: str = "the array"
    ) -> ScanItems:
        """Return the items with calibration data; see `Scan.with_calibration`."""
        if self.whole is not None:
            return ScanItems.of(self.whole.with_calibration(calibration, source=source))
        part = self._part_of(as_array(calibration))
        return self._changed(
            lambda item, i: item.with_calibration(part(i, item.axes.fourier + 1), source=source)
        )

    def _part_of(self, array: Array) -> Callable[[int, int], Array]:
        """Return what gives an item's part of an array, given its axes without the batch."""

        def part(number: int, unbatched: int) -> Array:
            batched = array.ndim > unbatched and len(array) == self.count
            return array[number : number + 1] if batched else array

        return part

    def _changed(self, change: Callable[[Scan, int], Scan]) -> ScanItems:
        return replace(self, read=lambda number: change(self.read(number), number))
