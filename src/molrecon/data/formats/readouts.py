"""Readouts as scanners store them, one after the other, sorted into k-space."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from molrecon.data.arrays import Array
from molrecon.data.axes import Axes
from molrecon.data.formats.assemble import SliceRange, resolve_range
from molrecon.data.formats.location import Location
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.errors import InputError

COUNTERS = ("slice", "contrast", "set", "average", "phase", "repetition")
"""What is counted beside the two encoding steps."""
_BATCH = ("slice", "contrast", "set")
_NAMES = {"contrast": "echoes", "set": "sets", "slice": "slices"}
_FRAMES = {"phase": "cardiac phases", "repetition": "repetitions"}


Samples = Callable[[Array], Iterable[tuple[int, int, Array]]]


@dataclass(frozen=True, eq=False)
class Readouts:
    """The numbers of all readouts that encode the image; arrays have one value for each."""

    location: Location  # the file
    step_1: Array  # Where each lies along the two phase-encoding axes, 0 at the edge of k-space.
    step_2: Array
    counters: dict[str, Array]  # slice, contrast, set, average, phase and repetition of each
    columns: int  # length of k-space along the readout
    lines: int  # Lengths of k-space along the phase-encoding axes; one partition for slices.
    partitions: int
    coils: int  # number of coils
    # Whether each belongs to the image, and to the calibration data; some belong to both.
    imaging: Array
    calibrating: Array
    geometry: Geometry | None = None  # size and place of the pixels of the first slice
    # the image that is wanted, ``(y, x)`` or ``(z, y, x)``
    image_shape: tuple[int, ...] | None = None
    noise: Array | None = None  # complex64 ``(coil, samples)``, None where none were measured
    notes: tuple[str, ...] = field(default=())  # what was decided

    @property
    def spatial(self) -> tuple[int, ...]:
        """Shape of one k-space, of a slice or of a volume."""
        return (self.lines, self.columns) if self.partitions == 1 else self._volume

    @cached_property
    def batch(self) -> tuple[Array, list[tuple[int, ...]]]:
        """The item that each belongs to, -1 for none, and the counters of every item."""
        return _numbered(self, _BATCH)

    @property
    def _volume(self) -> tuple[int, ...]:
        return (self.partitions, self.lines, self.columns)


def sort_readouts(found: Readouts, samples: Samples, slice_range: SliceRange | None) -> Scan:
    """Sort readouts into k-space, of which a range of the batch is kept.

    Slices, echoes and sets become the batch; cardiac phases, or else repetitions, time; what was
    measured several times is averaged. ``samples`` reads the readouts of given numbers, in rising
    order: it returns of each its number, its first column, and its samples ``(coil, columns)``.
    """
    source = str(found.location)
    _require_inside(found, source)
    batch, names = found.batch
    time_name = next((one for one in _FRAMES if _count(found, one) > 1), None)
    frames, frame_names = _numbered(found, () if time_name is None else (time_name,))
    if len(frame_names) > 1 and found.partitions > 1:
        raise InputError(
            f"{source} holds {len(frame_names)} {_FRAMES[str(time_name)]} of a volume, expected "
            "slices, a series of slices or a volume; choose one of them with another program."
        )
    chosen = resolve_range(slice_range, len(names), source)
    kept = range(len(names))[chosen]
    shape = (len(kept), len(frame_names), *found._volume)
    nbytes = 8 * found.coils * int(np.prod(shape, dtype=object))
    found.location.require_room(2 * nbytes, "k-space")
    kspace = np.zeros((shape[0], found.coils, *shape[1:]), np.complex64)
    times = np.zeros(shape, np.uint16)
    calibration = np.zeros((shape[0], found.coils, *found._volume), np.complex64)
    calibrated = np.zeros((shape[0], *found._volume), np.uint16)
    wanted = np.isin(batch, kept) & (found.imaging | found.calibrating)
    for number, first, values in samples(np.flatnonzero(wanted)):
        item = int(batch[number]) - kept.start
        # A readout of nothing but zeros was not measured: some programs store all lines.
        if not values.any():
            continue
        stop = first + values.shape[1]
        if values.shape[0] != found.coils or first < 0 or stop > found.columns:
            raise InputError(
                f"Readout {number} of {source} has {values.shape[0]} coils and the columns {first} "
                f"to {stop}, expected {found.coils} coils and {found.columns} columns; export the "
                "file again."
            )
        place = (int(found.step_2[number]), int(found.step_1[number]), slice(first, stop))
        if found.imaging[number]:
            kspace[(item, slice(None), int(frames[number]), *place)] += values
            times[(item, int(frames[number]), *place)] += 1
        if found.calibrating[number] and not found.imaging[number]:
            calibration[(item, slice(None), *place)] += values
            calibrated[(item, *place)] += 1
    return _scan(found, kspace, times, calibration, calibrated, names[chosen], chosen, time_name)


def _scan(
    found: Readouts,
    kspace: Array,
    times: Array,
    calibration: Array,
    calibrated: Array,
    names: list[tuple[int, ...]],
    chosen: slice,
    time_name: str | None,
) -> Scan:
    """Build the scan: mean values, without axes of length 1, and what is known of it."""
    notes = [*found.notes, f"{int(found.imaging.sum())} readouts sorted into k-space"]
    if times.max(initial=0) > 1:
        notes.append(f"up to {times.max()} measurements of a sample averaged")
    for place, name in enumerate(_BATCH):
        if len({one[place] for one in names}) > 1:
            notes.append(f"{_NAMES[name]} read as the batch")
    kspace /= np.maximum(times, 1)[:, None]
    mask = times[:, None] > 0
    axes = Axes("yx" if found.partitions == 1 else "zyx")
    if kspace.shape[2] > 1 and time_name is not None:
        axes = Axes("tyx")
        kspace, mask = kspace[:, :, :, 0], mask[:, :, :, 0]
        notes.append(f"{_FRAMES[time_name]} read as time")
    else:
        kspace, mask = kspace[:, :, 0], mask[:, :, 0]
        if found.partitions == 1:
            kspace, mask = kspace[:, :, 0], mask[:, :, 0]
    separate = None
    if calibrated.any():
        calibration /= np.maximum(calibrated, 1)[:, None]
        separate = torch.from_numpy(_trimmed(calibration, calibrated, found.partitions == 1))
        notes.append(f"calibration data of {separate.shape[2:]} were measured by themselves")
    # The mean of n measurements has noise weaker by the root of n.
    averaging = np.sqrt(times[times > 0].mean(), dtype=np.float32)
    geometry = found.geometry
    if geometry is not None and axes.letters == "yx":
        geometry = geometry.moved((names[0][0], 0, 0))
    shape = found.image_shape
    wanted = None if shape is None else (*kspace.shape[2:][: -len(shape)], *shape)
    return Scan(
        kspace=torch.from_numpy(np.ascontiguousarray(kspace)),
        mask=torch.from_numpy(np.ascontiguousarray(mask)),
        source=str(found.location),
        notes=tuple(notes),
        axes=axes,
        calibration=separate,
        noise=None if found.noise is None else torch.from_numpy(found.noise / averaging),
        geometry=geometry,
        image_shape=None if wanted == kspace.shape[2:] else wanted,
    )


def _trimmed(calibration: Array, calibrated: Array, flat: bool) -> Array:
    """Cut ``(batch, coil, z, y, x)`` to the block about the centre that was measured."""
    block = np.asarray(calibrated.any(0))
    for axis in range(3):
        n = block.shape[axis]
        there = np.flatnonzero(block.swapaxes(0, axis).reshape(n, -1).any(1))
        # The zero frequency, n // 2, is to lie at the middle of the block, width // 2.
        below, above = n // 2 - int(there[0]), int(there[-1]) - n // 2
        width = min(n, 2 * max(0, below, above) + 1)
        start = n // 2 - width // 2
        calibration = calibration.take(range(start, start + width), axis=2 + axis)
    return np.ascontiguousarray(calibration[:, :, 0] if flat else calibration)


def _require_inside(found: Readouts, source: str) -> None:
    """Refuse encoding steps beyond k-space, and files without readouts of the image."""
    if not found.imaging.any():
        raise InputError(
            f"{source} holds no readouts of an image, only calibration, noise or others; give the "
            "file of the scan."
        )
    for name, steps, n in (
        ("first", found.step_1, found.lines),
        ("second", found.step_2, found.partitions),
    ):
        if steps.min() < 0 or steps.max() >= n:
            raise InputError(
                f"{source} has steps {steps.min()} to {steps.max()} of the {name} phase encoding, "
                f"but its header has room for 0 to {n - 1}; export the file again."
            )


def _count(found: Readouts, name: str) -> int:
    return len(np.unique(found.counters[name][found.imaging]))


def _numbered(found: Readouts, names: tuple[str, ...]) -> tuple[Array, list[tuple[int, ...]]]:
    """Number the combinations of some counters, in order; -1 for what no image has."""
    rows = np.stack([found.counters[name] for name in names] or [np.zeros_like(found.step_1)], 1)
    every, place = np.unique(rows, axis=0, return_inverse=True)
    place = place.reshape(-1)
    used = np.isin(np.arange(len(every)), place[found.imaging])
    number = np.where(used, np.cumsum(used) - 1, -1)
    return number[place], [tuple(map(int, row)) for row in every[used]]
