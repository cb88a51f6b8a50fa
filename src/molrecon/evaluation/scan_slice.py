"""One slice, volume or series of a scan, as it is attacked and probed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.data.check import check
from molrecon.data.formats import read_image, scan_items
from molrecon.data.formats.reading import PathLike
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems
from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.pipeline.match import match_whole, require_mri
from molrecon.pipeline.measurements import require_coil_maps
from molrecon.pipeline.preparation import Preparation
from molrecon.reconstructors.base import Reconstructor


def read_slice(
    path: PathLike,
    methods: Sequence[Reconstructor],
    *,
    number: int | None = None,
    max_memory: float | None = None,
) -> Scan:
    """Return one slice, volume or series of a scan, the middle one by default.

    It is checked and prepared as `reconstruct` does, and brought to the axes of all methods; one
    that has others is refused. The memory is as for `read_scan`.
    """
    items = scan_items(path, max_memory=max_memory)
    chosen = len(items) // 2 if number is None else number
    if not 0 <= chosen < len(items):
        raise InputError(
            f"number is {number}, but the scan {items.source} has the slices 0 to "
            f"{len(items) - 1}; choose one of them."
        )
    scan = prepared_item(items, chosen)
    for method in methods:
        require_mri(method)
        scan = match_whole(scan, method.axes, method.label)
    require_coil_maps(scan)
    return scan


def prepared_item(items: ScanItems, number: int) -> Scan:
    """Return an item of a scan, checked and prepared as `reconstruct` does without options.

    Parameters
    ----------
    items
        The items of a scan.
    number
        Which one, from 0.

    Raises
    ------
    InputError
        If the data contradict what the scan is taken for.
    """
    item = items[number]
    check(item).require_none(items.source, settles=False)
    return Preparation().prepare(item).scan


def read_reference(path: PathLike, scan: Scan, *, number: int | None = None) -> Tensor:
    """Return the image to compare with, ``(1, 1, *spatial)``; of a stack, one slice.

    That is the one of ``number``, or the middle one.
    """
    image = torch.from_numpy(read_image(path).array)
    spatial = tuple(scan.kspace.shape[2:])
    found = tuple(image.shape)
    if image.ndim == scan.ndim + 1:
        chosen = image.shape[0] // 2 if number is None else number
        image = image[chosen] if chosen < image.shape[0] else image
    if tuple(image.shape) != spatial:
        raise InputError(
            f"The reference {path} has the shape {found}, but the scan {scan.source} gives images "
            f"of {spatial}; give the reference of this scan."
        )
    return image.reshape(1, 1, *spatial)


def problem_of(scan: Scan, device: str) -> tuple[Tensor, LinearOperator]:
    """Return the measurements and the operator of a scan of one item.

    Coil maps are estimated where there are none, and partial Fourier sampling is completed.

    Parameters
    ----------
    scan
        The scan, prepared.
    device
        Where to compute.
    """
    preparation = Preparation()
    y, A, _ = preparation.problem(preparation.with_maps(scan)[0])
    return y.to(device), A.to(device)
