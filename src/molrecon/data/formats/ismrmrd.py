"""ISMRMRD (MRD) files: HDF5 with one record per readout and a header in XML.

Source: S. Inati et al., "ISMRM Raw data format", Magn. Reson. Med. 77 (2017) 411, and the format's
definition of the flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.assemble import SliceRange
from molrecon.data.formats.entries import Entries
from molrecon.data.formats.hdf5_file import Hdf5File
from molrecon.data.formats.hdf5_lengths import stored_field, stored_lengths
from molrecon.data.formats.mri_header import Header, Limit, parse_header
from molrecon.data.formats.non_cartesian import require_cartesian
from molrecon.data.formats.readouts import COUNTERS, Readouts, sort_readouts
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.errors import InputError

_NOISE, _CALIBRATION, _BOTH, _REVERSED = 19, 20, 21, 22
_OTHERS = (23, 24, 26, 27, 28, 29, 30, 31)
"""Navigators, phase correction, feedback, dummy scans, surface coil and phase stabilisation."""
_ROWS = 256
"""Readouts read at a time."""


def _group(entries: Entries) -> str | None:
    """Return the group of the first data set of readouts; it is usually called dataset."""
    for name, entry in entries.items():
        if name.endswith("/data") and {"head", "data"} <= set(entry.dtype.names or ()):
            return name.removesuffix("/data")
    return None


def recognises(entries: Entries, key: str | None) -> bool:
    """Whether a file with these datasets has this layout."""
    group = _group(entries)
    return group is not None and key in (None, group)


def read_scan(file: Hdf5File, slice_range: SliceRange | None) -> Scan:
    """Read the scan, or only some of its slices."""
    key, found, readouts = _opened(file)
    dataset = file.file[key]

    def samples(rows: Array) -> Iterator[tuple[int, int, Array]]:
        for number, values in _rows(dataset, rows, found.heads):
            yield number, *found.placed(number, values)

    return sort_readouts(readouts, samples, slice_range)


def count(file: Hdf5File) -> int:
    """Return the number of items: slices, echoes and sets."""
    return len(_opened(file)[2].batch[1])


@dataclass(frozen=True, eq=False)
class Lines:
    """Readouts along a trajectory, as they were measured."""

    kspace: Array  # complex64 (batch, coil, *lines, sample); of a series the frames come first
    trajectory: Array  # float64 (*lines, sample, axes), in the order of the spatial axes
    matrix: tuple[int, ...] | None  # pixels that were encoded, along these axes
    frames: bool  # whether there are several frames
    noise: Array | None
    notes: tuple[str, ...]


def has_trajectory(file: Hdf5File) -> bool:
    """Whether the header says that readouts lie on no grid."""
    group = _group(file.entries)
    if group is None or f"{group}/xml" not in file.entries:
        return False
    header = parse_header(file.text(f"{group}/xml"), str(file.location))
    return header.trajectory != "cartesian"


def read_lines(file: Hdf5File) -> Lines:
    """Read the readouts of an image with their trajectory, in the order of the file.

    Slices become the batch and share a trajectory; cardiac phases or repetitions become frames.
    """
    key, found = _read_heads(file)
    source, heads = str(file.location), found.heads
    dims = _field(heads, "trajectory_dimensions", 0)
    rows = np.flatnonzero(found.imaging)
    axes, lengths = int(dims[rows].max()), found.lengths[rows]
    if axes not in (2, 3) or (dims[rows] != axes).any() or (lengths != lengths[0]).any():
        raise InputError(
            f"{source} is not Cartesian, but its readouts come with {axes} coordinates of "
            f"{lengths.min()} to {lengths.max()} samples, expected two or three each of readouts "
            "of one length; give the trajectory by itself (trajectory)."
        )
    announced = stored_lengths(file.file[key], file.location.path, "traj")[rows]
    if (announced != axes * lengths[0]).any():
        raise InputError(
            f"The trajectory of {source} has {announced.min()} to {announced.max()} numbers a "
            f"readout, expected {axes * lengths[0]}; export the file again."
        )
    places = [file.file[key].fields("traj")[int(row)] for row in rows]
    positions = np.stack(places).astype(np.float64).reshape(len(rows), lengths[0], axes)
    kspace = np.stack([values for _, values in _rows(file.file[key], rows, heads)], 1)
    slices = np.unique(_field(heads, "slice", 0)[rows], return_inverse=True)[1].reshape(-1)
    times = [_field(heads, name, 0)[rows] for name in ("phase", "repetition")]
    time = next((one for one in times if len(np.unique(one)) > 1), times[0])
    time = np.unique(time, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(slices * (time.max() + 1) + time)
    if (counts != counts[0]).any():
        raise InputError(
            f"{source} has {counts.min()} to {counts.max()} readouts of its slices or frames, "
            "expected equal numbers; choose some with another program."
        )
    order = np.lexsort((np.arange(len(rows)), time, slices))
    shape = (slices.max() + 1, time.max() + 1, counts[0])
    kspace = kspace[:, order].reshape(len(kspace), *shape, -1).swapaxes(0, 1)
    places_of = positions[order][..., ::-1].reshape(*shape, lengths[0], axes)
    if not np.allclose(places_of, places_of[:1], rtol=0, atol=1e-6 * np.abs(places_of).max()):
        raise InputError(
            f"The slices of {source} have different trajectories, expected one for all; choose a "
            "slice with another program."
        )
    frames = shape[1] > 1
    encoded = found.header.encoded
    matrix = None if encoded is None else encoded.matrix[:axes][::-1]
    notes = (f"{len(rows)} readouts along a {found.header.trajectory} trajectory",)
    return Lines(
        np.ascontiguousarray(kspace if frames else kspace[:, :, 0]),
        np.ascontiguousarray(places_of[0] if frames else places_of[0, 0]),
        matrix,
        frames,
        found._noise_samples(file.file[key], len(kspace[0])),
        notes,
    )


def _opened(file: Hdf5File) -> tuple[str, _Heads, Readouts]:
    """Read the heads of all readouts, once for all items, and check them and their lengths."""
    kept = file.location.kept
    if "readouts" not in kept:
        kept["readouts"] = _open(file)
    opened: tuple[str, _Heads, Readouts] = kept["readouts"]
    return opened


def _open(file: Hdf5File) -> tuple[str, _Heads, Readouts]:
    key, found = _read_heads(file)
    require_cartesian(found.header.trajectory, found.source)
    return key, found, found.readouts(file, key)


def _read_heads(file: Hdf5File) -> tuple[str, _Heads]:
    """Read and check the heads of all readouts, and the lengths of these."""
    group = _group(file.entries)
    assert group is not None
    source, key = str(file.location), f"{group}/data"
    header = Header(None, None, "cartesian", {})
    if f"{group}/xml" in file.entries:
        header = parse_header(file.text(f"{group}/xml"), source)
    dataset, entry = file.file[key], file.entries[key]
    file.location.require_room(entry.nbytes, f"array {key!r}")
    lengths = stored_lengths(dataset, file.location.path, "data")
    heads = stored_field(dataset, file.location.path, "head")
    if not len(heads):
        raise InputError(f"{source} holds no readouts, expected those of a scan; check the file.")
    _require_lengths(file, lengths, heads)
    return key, _Heads(heads, header, source)


def _require_lengths(file: Hdf5File, found: Array, heads: Array) -> None:
    """Refuse readouts that are not as long as their heads say, before they are allocated."""
    expected = 2 * _field(heads, "active_channels", 1) * _field(heads, "number_of_samples", 0)
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        raise InputError(
            f"Readout {wrong[0]} of {file.location} has {found[wrong[0]]} numbers, but its head "
            f"announces {expected[wrong[0]]}; export the file again."
        )
    blocks = np.add.reduceat(expected, np.arange(0, len(expected), _ROWS))
    file.location.require_room(8 * int(blocks.max()), "readouts")


def _rows(dataset: Any, rows: Array, heads: Array) -> Iterator[tuple[int, Array]]:
    """Read readouts as complex64 ``(coil, samples)``, a few at a time."""
    coils = _field(heads, "active_channels", 1)
    for start in range(0, len(heads), _ROWS):
        wanted = rows[(rows >= start) & (rows < start + _ROWS)]
        if not len(wanted):
            continue
        first = int(wanted[0])
        block = dataset.fields("data")[first : int(wanted[-1]) + 1]
        for number in wanted:
            values = np.asarray(block[number - first], dtype=np.float32)
            yield int(number), values.view(np.complex64).reshape(int(coils[number]), -1)


def _field(heads: Array, name: str, default: int) -> Array:
    """Return a field of all heads, or of their counters; old files lack some."""
    for table in (heads, heads["idx"] if "idx" in (heads.dtype.names or ()) else heads):
        if name in (table.dtype.names or ()):
            found: Array = table[name].astype(np.int64)
            return found
    return np.full(len(heads), default)


class _Heads:
    """The heads of all readouts, and what they and the header say of k-space."""

    def __init__(self, heads: Array, header: Header, source: str) -> None:
        self.heads, self.header, self.source = heads, header, source
        flags = _field(heads, "flags", 0)
        has = {n: (flags >> (n - 1)) & 1 > 0 for n in range(1, 33)}
        self.noise, self.reversed = has[_NOISE], has[_REVERSED]
        elsewhere = _field(heads, "encoding_space_ref", 0) != 0
        self.skipped = self.noise | elsewhere | np.any([has[n] for n in _OTHERS], axis=0)
        self.calibrating = (has[_CALIBRATION] | has[_BOTH]) & ~self.skipped
        self.imaging = ~self.skipped & ~(has[_CALIBRATION] & ~has[_BOTH])
        self.lengths = _field(heads, "number_of_samples", 0)
        used = np.flatnonzero(~self.skipped)
        if not len(used):
            raise InputError(f"{source} holds no readouts of an image; give the file of the scan.")
        self.first = int(used[0])
        centre = _field(heads, "center_sample", -1)
        self.centre = np.where(centre < 0, self.lengths // 2, centre)
        longest = int(np.maximum(self.centre, self.lengths - self.centre)[used].max())
        encoded = header.encoded
        self.columns = int(self.lengths[used].max()) if encoded is None else encoded.matrix[0]
        if encoded is None and 2 * longest > self.columns + 1:
            self.columns = 2 * longest

    def placed(self, number: int, values: Array) -> tuple[int, Array]:
        """Return the first column of a readout and its samples, with what is discarded left out."""
        before = int(_field(self.heads[number : number + 1], "discard_pre", 0)[0])
        after = int(_field(self.heads[number : number + 1], "discard_post", 0)[0])
        centre = int(self.centre[number])
        kept = values[:, before : values.shape[1] - after]
        first = self.columns // 2 - centre + before
        if self.reversed[number]:
            kept = kept[:, ::-1]
            first = self.columns // 2 - (values.shape[1] - 1 - centre) + after
        return first, kept

    def readouts(self, file: Hdf5File, key: str) -> Readouts:
        """Return what `sort_readouts` needs to know."""
        used = ~self.skipped
        encoded = self.header.encoded
        steps, lengths = [], []
        for axis, name in ((1, "kspace_encode_step_1"), (2, "kspace_encode_step_2")):
            step = _field(self.heads, name, 0)
            last = int(step[used].max())
            limit = self.header.limits.get(name.replace("kspace_encode", "kspace_encoding"))
            n = last + 1 if encoded is None else encoded.matrix[axis]
            if limit is None or limit.maximum < last:
                limit = Limit(0, last, n // 2)
            steps.append(np.where(used, step + n // 2 - limit.centre, 0))
            lengths.append(n)
        coils = int(_field(self.heads, "active_channels", 1)[self.first])
        matrix = (self.columns, lengths[0], lengths[1])
        geometry, image_shape = self._place(matrix)
        counters = {name: _field(self.heads, name, 0) for name in COUNTERS}
        return Readouts(
            location=file.location,
            step_1=steps[0],
            step_2=steps[1],
            counters=counters,
            columns=self.columns,
            lines=lengths[0],
            partitions=lengths[1],
            coils=coils,
            imaging=self.imaging,
            calibrating=self.calibrating,
            geometry=geometry,
            image_shape=image_shape,
            noise=self._noise_samples(file.file[key], coils),
        )

    def _noise_samples(self, dataset: Any, coils: int) -> Array | None:
        """Read the noise scan, scaled to the bandwidth of the image."""
        rows = np.flatnonzero(self.noise)
        found = [one for _, one in _rows(dataset, rows, self.heads) if one.shape[0] == coils]
        if not found:
            return None
        samples = np.concatenate(found, axis=1)
        names = self.heads.dtype.names or ()
        dwell = (
            self.heads["sample_time_us"] if "sample_time_us" in names else np.zeros(len(self.heads))
        )
        if dwell[rows[0]] > 0 and dwell[self.first] > 0:
            # The power of noise is proportional to the bandwidth, one over the dwell time.
            samples = samples * np.sqrt(dwell[rows[0]] / dwell[self.first], dtype=np.float32)
        return samples if samples.any() and np.isfinite(samples).all() else None

    def _place(
        self, matrix: tuple[int, int, int]
    ) -> tuple[Geometry | None, tuple[int, ...] | None]:
        """Return the geometry and the image that is wanted, where the header tells."""
        image = self.header.image_matrix()
        shape = None
        if image is not None:
            x, y, z = (min(n, m) for n, m in zip(image, matrix, strict=True))
            shape = (y, x) if matrix[2] == 1 else (z, y, x)
        spacing = self.header.pixel_size()
        names = self.heads.dtype.names or ()
        if spacing is None or "position" not in names or "read_dir" not in names:
            return None if spacing is None else Geometry.of_spacing(spacing[::-1]), shape
        head = self.heads[self.first]
        directions = np.stack([head[f"{name}_dir"] for name in ("read", "phase", "slice")])
        if not np.allclose(directions @ directions.T, np.eye(3), atol=1e-3):
            return Geometry.of_spacing(spacing[::-1]), shape
        step = self._slice_step(directions[2])
        spacing = (*spacing[:2], step or spacing[2])
        size = (matrix[0], matrix[1], matrix[2] if matrix[2] > 1 else 1)
        return Geometry.of_directions(head["position"], directions, spacing, size), shape

    def _slice_step(self, normal: Array) -> float | None:
        """Return the distance of neighbouring slices, if there are several."""
        slices = _field(self.heads, "slice", 0)
        others = np.flatnonzero((slices == slices[self.first] + 1) & self.imaging)
        if not len(others):
            return None
        between = self.heads["position"][others[0]] - self.heads["position"][self.first]
        return abs(float(between @ normal)) or None
