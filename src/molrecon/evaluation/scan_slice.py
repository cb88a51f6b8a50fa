"""One slice, volume or series of a scan, as it is attacked and probed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from molrecon.data.check import DataCheck, check
from molrecon.data.check.samples import check_samples
from molrecon.data.formats import read_image
from molrecon.data.formats.reading import PathLike
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems
from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.pipeline.match import match_whole, require_mri
from molrecon.pipeline.measurements import require_coil_maps
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.prepared_samples import (
    is_split,
    samples_noise,
    whitened,
    with_estimated_maps,
)
from molrecon.reconstructors.base import Reconstructor

OneScan = Scan | NonCartesianScan
"""One slice, volume or series, on a grid or along lines."""


def chosen_slice(
    scan: ScanItems | NonCartesianScan,
    methods: Sequence[Reconstructor],
    *,
    number: int | None = None,
) -> OneScan:
    """Return one slice, volume or series of a scan, the middle one by default.

    It is checked and prepared as `reconstruct` does, and brought to the axes of all methods; one
    that has others is refused. Of frames along lines it is one frame, unless a method takes the
    series as a whole.

    Parameters
    ----------
    scan
        The scan.
    methods
        What it is for.
    number
        Which slice, from 0; frames count on from one series to the next.

    Raises
    ------
    InputError
        If there is no such slice, the axes do not fit, or the data contradict what the scan is
        taken for.
    """
    if isinstance(scan, NonCartesianScan):
        return _slice_along_lines(scan, methods, number)
    return _slice_on_grid(scan, methods, number)


def _slice_on_grid(items: ScanItems, methods: Sequence[Reconstructor], number: int | None) -> Scan:
    scan = prepared_item(items, _number(number, len(items), items.source))
    for method in methods:
        require_mri(method)
        scan = match_whole(scan, method.axes, method.label)
    require_coil_maps(scan)
    return scan


def _slice_along_lines(
    scan: NonCartesianScan, methods: Sequence[Reconstructor], number: int | None
) -> NonCartesianScan:
    for method in methods:
        require_mri(method)
    split = {is_split(scan, method.axes, method.label) for method in methods if method.axes}
    if len(split) > 1:
        raise InputError(
            f"The methods take {scan.source} in different ways, one a series and another its "
            "frames, expected methods of the same axes; leave one out."
        )
    check_samples(scan).require_none(scan.source, settles=False)
    # Methods of any axes, as SENSE, take a frame too, if no other method takes the whole series.
    alone = scan.axes.time and False not in split
    frames = scan.shape[0] if alone else 1
    item, frame = divmod(_number(number, len(scan.kspace) * frames, scan.source), frames)
    if scan.coil_maps is None and frames > 1:
        scan = with_estimated_maps(scan)  # which frames share
    one = whitened(scan.item(item), True)[0]
    noise = samples_noise(one)
    one = one if noise is None else replace(one, sigma=float(noise.sigma[0]))
    return one.frame(frame) if frames > 1 else one


def _number(number: int | None, count: int, source: str) -> int:
    chosen = count // 2 if number is None else number
    if not 0 <= chosen < count:
        raise InputError(
            f"number is {number}, but the scan {source} has the slices 0 to {count - 1}; choose "
            "one of them."
        )
    return chosen


def check_of(scan: OneScan) -> DataCheck:
    """Return what the data check finds of a scan."""
    return check_samples(scan) if isinstance(scan, NonCartesianScan) else check(scan)


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


def read_reference(path: PathLike, scan: OneScan, *, number: int | None = None) -> Tensor:
    """Return the image to compare with, ``(1, 1, *spatial)``; of a stack, one slice.

    That is the one of ``number``, or the middle one.
    """
    image = torch.from_numpy(read_image(path).array)
    spatial = tuple(scan.shape if isinstance(scan, NonCartesianScan) else scan.kspace.shape[2:])
    found = tuple(image.shape)
    if image.ndim == len(spatial) + 1:
        chosen = image.shape[0] // 2 if number is None else number
        image = image[chosen] if chosen < image.shape[0] else image
    if tuple(image.shape) != spatial:
        raise InputError(
            f"The reference {path} has the shape {found}, but the scan {scan.source} gives images "
            f"of {spatial}; give the reference of this scan."
        )
    return image.reshape(1, 1, *spatial)


def problem_of(scan: OneScan, device: str) -> tuple[Tensor, LinearOperator]:
    """Return the measurements and the operator of a scan of one item.

    Coil maps are estimated where there are none, and partial Fourier sampling is completed.

    Parameters
    ----------
    scan
        The scan, prepared.
    device
        Where to compute.
    """
    if isinstance(scan, NonCartesianScan):
        scan = with_estimated_maps(scan)
        return scan.kspace.to(device), scan.operator().to(device)
    preparation = Preparation()
    y, A, _ = preparation.problem(preparation.with_maps(scan)[0])
    return y.to(device), A.to(device)
