"""What is solved for by itself of a scan: its slices, volumes or series, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.data.check import evenly
from molrecon.data.formats import scan_items
from molrecon.data.formats.reading import PathLike
from molrecon.data.formats.samples import holds_samples, read_samples
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems
from molrecon.data.stack import stack_of
from molrecon.errors import InputError
from molrecon.operators.noise import NoiseEstimate
from molrecon.pipeline.checking import check_whole
from molrecon.pipeline.match import match_axes
from molrecon.pipeline.measurements import known_noise, require_coil_maps
from molrecon.pipeline.memory_limit import require_room
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.prepared_samples import (
    checked_samples,
    frames_of,
    is_split,
    with_noise_and_maps,
)
from molrecon.progress import Progress, silent

AnyScan = Scan | ScanItems | NonCartesianScan | PathLike
"""A scan, its items, or the path of its file."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What is solved for by itself of one item, and how the images come together again."""

    scan: Scan
    planes: tuple[int | None, ...]
    join: Callable[[Tensor], Tensor]


def parts_of(item: Scan, split: int | None, noise: NoiseEstimate | None) -> Parts:
    """Return the parts of one item, taken apart along an axis or as a whole."""
    if split is None:
        if noise is not None and not noise.estimated:
            item = replace(item, sigma=float(noise.sigma[0]))
        return Parts(item, (None,), lambda images: images)
    # Of all planes at once: it is the same in each, and a volume shows more of it. Where it does
    # not, methods that need no noise level go on, and others refuse.
    if noise is not None:
        item = replace(item, sigma=float(noise.sigma[0]))
    stack = stack_of(item, split)
    return Parts(stack.scan, stack.places, stack.join)


def items_of(scan: AnyScan, max_memory: float | None = None) -> ScanItems:
    """Return the items of a scan, of its items or of a file, if that fits into the memory."""
    if isinstance(scan, ScanItems):
        return scan
    if isinstance(scan, NonCartesianScan):
        raise InputError(
            f"{scan.source} is not Cartesian, expected samples on a grid; this needs a Cartesian "
            "scan."
        )
    if isinstance(scan, Scan):
        return ScanItems.of(scan)
    require_room(scan, max_memory)
    return scan_items(scan, max_memory=max_memory)


def read_parts(
    scans: Sequence[AnyScan],
    axes: Axes | None,
    label: str,
    *,
    preparation: Preparation,
    sigma: float | None = None,
    force: bool = False,
    most: int = 24,
    progress: Progress = silent,
) -> list[Scan | NonCartesianScan]:
    """Return the parts of scans, prepared, checked and with coil maps as `reconstruct` takes them.

    All scans are checked before maps are estimated for the first.

    Parameters
    ----------
    scans
        The scans.
    axes, label
        The axes of a method, and what messages call it.
    preparation, sigma, force
        As in `reconstruct`.
    most
        Number of parts, at most: of more, these are spread evenly over the items of every scan,
        and over the planes of what is taken apart.
    progress
        Called with what is being done, and how many of the scans are done.

    Raises
    ------
    InputError
        If a scan cannot be used, or the data contradict what it is taken for.
    """
    sources = [_source_of(scan) for scan in scans]
    share = max(1, most // len(sources))
    prepared: list[tuple[Scan | NonCartesianScan, int | None]] = []
    for number, source in enumerate(sources):
        progress(f"{source.source}: check", number, len(sources))
        if isinstance(source, NonCartesianScan):
            source = checked_samples(source, preparation, force)
            split = 0 if is_split(source, axes, label) else None
            count = len(source.kspace)
            prepared += [(source.item(n), split) for n in evenly(count, min(share, count))]
            continue
        check_whole(source, preparation, force)
        for index in evenly(len(source), min(share, len(source))):
            item = preparation.prepare(source[index]).scan
            matched = match_axes(item, axes, label)
            require_coil_maps(matched.scan)
            prepared.append((matched.scan, matched.split))
    found: list[Scan | NonCartesianScan] = []
    planes = max(1, most // len(prepared))
    for number, (part, split) in enumerate(prepared):
        progress(f"{part.source}: coil maps", number, len(prepared))
        part = part if sigma is None else replace(part, sigma=sigma)
        if isinstance(part, NonCartesianScan):
            frames = list(frames_of(with_noise_and_maps(part), "", split is not None))
            found += [frames[i][0] for i in evenly(len(frames), planes)]
            continue
        part, _ = preparation.with_maps(part)
        parts = parts_of(part, split, known_noise(part))
        found += [parts.scan.item(i) for i in evenly(len(parts.planes), planes)]
    return found


def _source_of(scan: AnyScan) -> ScanItems | NonCartesianScan:
    """Return the items of a scan on a grid, or the one along lines, read where it is a file."""
    if not isinstance(scan, Scan | ScanItems | NonCartesianScan) and holds_samples(scan):
        return read_samples(scan)
    return scan if isinstance(scan, NonCartesianScan) else items_of(scan)
