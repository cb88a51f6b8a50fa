"""Siemens twix files (``.dat``) as scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.base import Format, Kind
from molrecon.data.formats.entries import Entries, Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, require_whole
from molrecon.data.formats.non_cartesian import require_cartesian
from molrecon.data.formats.readouts import Readouts, sort_readouts
from molrecon.data.formats.twix_file import Measurement, is_twix, read_measurements
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_NAME = "a Siemens twix file"
_OTHERS = (1, 2, 14, 15, 21, 60)
"""Flags of feedback, phase stabilisation and phase correction."""
_CALIBRATION, _BOTH, _REVERSED, _NOISE = 22, 23, 24, 25
_TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "blade"}
_COUNTERS = {
    "slice": "Sli",
    "contrast": "Eco",
    "set": "Set",
    "average": "Ave",
    "phase": "Phs",
    "repetition": "Rep",
}


def _imaging(one: Measurement) -> tuple[Array, Array]:
    """Return which readouts belong to the image and to the calibration data."""
    skipped = np.any([one.flag(bit) for bit in (*_OTHERS, _NOISE)], axis=0)
    calibrating = one.flag(_CALIBRATION) | one.flag(_BOTH)
    return ~skipped & ~(one.flag(_CALIBRATION) & ~one.flag(_BOTH)), calibrating & ~skipped


def _main(location: Location) -> tuple[Measurement, list[Measurement]]:
    """Return the measurement of the image, the last with any, and all of them."""
    every = read_measurements(location)
    for one in reversed(every):
        if len(one.heads) and _imaging(one)[0].any():
            return one, every
    raise InputError(
        f"{location} holds no readouts of an image, only adjustments or none; give the file of the "
        "scan."
    )


def describe(location: Location) -> Entries:
    """Describe the readouts of the image."""
    one, _ = _main(location)
    imaging = np.flatnonzero(_imaging(one)[0])
    head = one.heads[imaging[0]]
    shape = (len(imaging), int(head["coils"]), int(head["samples"]))
    return {"readouts": Entry(shape, np.dtype("<c8"))}


def kind(location: Location) -> Kind | None:
    """Say that such a file holds raw data."""
    return "scan"


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Refuse: readouts are no array."""
    raise InputError(f"{location} is {_NAME}, but one array was expected; give another file.")


def read_image(location: Location) -> ImageData:
    """Refuse: raw data are no image."""
    raise InputError(f"{location} is {_NAME}, but an image was expected; reconstruct it first.")


def read_scan(location: Location, slice_range: SliceRange | None) -> Scan:
    """Read the scan, or only some of its slices."""
    require_whole(location, _NAME)
    one, found = _opened(location)
    reversed_ = one.flag(_REVERSED)

    def samples(numbers: Array) -> Iterator[tuple[int, int, Array]]:
        with location.path.open("rb") as stream:
            for number in map(int, numbers):
                head = one.heads[number]
                values = one.samples(stream, number)
                before, after = map(int, head["cut"])
                n, centre = values.shape[1], int(head["centre_column"])
                kept, first = values[:, before : n - after], found.columns // 2 - centre + before
                if reversed_[number]:
                    kept, first = kept[:, ::-1], found.columns // 2 - (n - 1 - centre) + after
                yield number, first, kept

    return sort_readouts(found, samples, slice_range)


def count(location: Location) -> int:
    """Return the number of items: slices, echoes and sets."""
    return len(_opened(location)[1].batch[1])


def _opened(location: Location) -> tuple[Measurement, Readouts]:
    """Read the heads of all readouts, once for all items."""
    if "readouts" not in location.kept:
        one, every = _main(location)
        code = int(one.number("sKSpace.ucTrajectory", 1))
        require_cartesian(_TRAJECTORIES.get(code, "unknown"), str(location))
        location.kept["readouts"] = one, _readouts(one, every)
    opened: tuple[Measurement, Readouts] = location.kept["readouts"]
    return opened


def _readouts(one: Measurement, every: list[Measurement]) -> Readouts:
    imaging, calibrating = _imaging(one)
    used = imaging | calibrating
    counter, first = one.heads["counter"], one.heads[np.flatnonzero(imaging)[0]]
    base = int(one.number("sKSpace.lBaseResolution", int(first["samples"])))
    centre, samples = int(first["centre_column"]), int(first["samples"])
    # Twofold oversampling is the rule, and the echo may be off the middle of the readout.
    columns = max(2 * base if samples > base else base, 2 * max(centre, samples - centre))
    volume = int(one.number("sKSpace.ucDimension", 2)) == 4
    partitions = int(one.number("sKSpace.lPartitions", 1)) if volume else 1
    step_1, lines = _steps(
        counter["Lin"],
        int(first["centre_line"]),
        int(one.number("sKSpace.lPhaseEncodingLines", 0)),
        used,
    )
    step_2, partitions = _steps(counter["Par"], int(first["centre_partition"]), partitions, used)
    extra = 1 + max(0.0, one.number("sKSpace.dPhaseOversamplingForDialog", 0))
    rows = min(lines, max(1, round(lines / extra)))
    wanted = (rows, min(base, columns))
    size = (columns, lines, partitions)
    return Readouts(
        location=one.location,
        step_1=step_1,
        step_2=step_2,
        counters={name: counter[field].astype(np.int64) for name, field in _COUNTERS.items()},
        columns=columns,
        lines=lines,
        partitions=partitions,
        coils=int(first["coils"]),
        imaging=imaging,
        calibrating=calibrating,
        geometry=_geometry(one, imaging, size, extra),
        image_shape=wanted if partitions == 1 else (partitions, *wanted),
        noise=_noise(one, every, int(first["coils"])),
    )


def _steps(steps: Array, centre: int, announced: int, used: Array) -> tuple[Array, int]:
    """Return where encoding steps lie in k-space, and its length, with the centre in its middle."""
    last = int(steps[used].max())
    if last == 0:
        return np.zeros(len(steps), np.int64), 1
    n = max(announced, 2 * max(centre, last + 1 - centre))
    return np.where(used, steps.astype(np.int64) - centre + n // 2, 0), n


def _geometry(
    one: Measurement, imaging: Array, size: tuple[int, int, int], extra: float
) -> Geometry | None:
    """Return size and place of the pixels of slice 0."""
    key = "sSliceArray.asSlice[0]"
    fields = [one.number(f"{key}.{name}", 0) for name in ("dReadoutFOV", "dPhaseFOV", "dThickness")]
    base = one.number("sKSpace.lBaseResolution", 0)
    if min(fields) <= 0 or base <= 0:
        return None
    slices = one.heads["counter"]["Sli"]
    heads = [one.heads[imaging & (slices == number)][:1] for number in (0, 1)]
    spacing = [fields[0] / base, fields[1] * extra / size[1], fields[2] / size[2]]
    if not len(heads[0]):
        return Geometry.of_spacing(spacing[::-1])
    rotation = _rotation(heads[0][0]["quaternion"].astype(np.float64))
    if rotation is None:
        return Geometry.of_spacing(spacing[::-1])
    # The columns are phase encoding, readout and slice; the first two run against the image.
    directions = np.stack([-rotation[:, 1], -rotation[:, 0], rotation[:, 2]])
    position = heads[0][0]["position"].astype(np.float64)
    if len(heads[1]) and size[2] == 1:
        step = float((heads[1][0]["position"] - position) @ directions[2])
        if step:
            directions[2] *= np.sign(step)
            spacing[2] = abs(step)
    return Geometry.of_directions(position, directions, spacing, size)


def _rotation(quaternion: Array) -> Array | None:
    """Return the rotation matrix of a quaternion, scalar first; None if it is of another length."""
    if not abs(float(np.linalg.norm(quaternion)) - 1) < 1e-3:
        return None
    w, vector = quaternion[0], quaternion[1:]
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: Array = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    return rotation


def _noise(one: Measurement, every: list[Measurement], coils: int) -> Array | None:
    """Read the noise scan of the file, scaled to the bandwidth of the image."""
    dwell = one.number("sRXSPEC.alDwellTime[0]", 0)
    parts = []
    for other in every:
        rows = np.flatnonzero(other.flag(_NOISE) & (other.heads["coils"] == coils))
        own = other.number("sRXSPEC.alDwellTime[0]", 0)
        factor = np.sqrt(own / dwell) if own > 0 and dwell > 0 else 1.0
        with one.location.path.open("rb") as stream:
            parts += [np.float32(factor) * other.samples(stream, int(row)) for row in rows]
    if not parts:
        return None
    samples = np.concatenate(parts, axis=1)
    return samples if samples.any() and np.isfinite(samples).all() else None


FORMAT = Format(
    name=_NAME,
    extensions=(".dat",),
    recognises=lambda head, path: is_twix(head),
    describe=describe,
    kind=kind,
    read_array=read_array,
    read_image=read_image,
    read_scan=read_scan,
    count=count,
)
