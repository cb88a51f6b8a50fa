"""DICOM images: a file of one slice, an enhanced file of many, or the folder of a series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.formats.base import Format
from molrecon.data.formats.dicom_writing import write_image
from molrecon.data.formats.entries import Entries, Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.location import Location, require_whole
from molrecon.data.geometry import FLIP, Geometry
from molrecon.errors import InputError
from molrecon.optional import require

_NAME = "a DICOM image"
_MARK = slice(128, 132)
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MOST_FILES = 20_000
_TOLERANCE = 0.02
"""Deviation of distances between slices, relative, up to which they count as equal."""

Frame = tuple[Array, Array, tuple[float, float, float]]
"""Position of the first pixel, directions of rows and columns, and size of a pixel (z, y, x)."""


def _is_dicom(head: bytes) -> bool:
    return head[_MARK] == b"DICM"


def _files(folder: Path) -> list[Path]:
    """Return the DICOM files in a folder, by name."""
    found = []
    for number, file in enumerate(sorted(folder.iterdir())):
        if number >= _MOST_FILES:
            raise InputError(f"{folder} holds more than {_MOST_FILES} files; give a folder of one.")
        if file.is_file():
            with file.open("rb") as stream:
                if _is_dicom(stream.read(_MARK.stop)):
                    found.append(file)
    return found


def is_series(folder: Path) -> bool:
    """Whether a folder holds a DICOM file."""
    return bool(_files(folder))


def _dataset(path: Path, *, pixels: bool) -> Any:
    """Read one file, without the numbers unless they are wanted."""
    pydicom = require("pydicom", "DICOM images")
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == _DEFLATED:
        # It would be expanded as a whole before anything is known of its size.
        raise InputError(
            f"{path} is compressed as a whole (deflated transfer syntax), expected plain or "
            "compressed pixels; convert it (dcmconv)."
        )
    return pydicom.dcmread(path, stop_before_pixels=not pixels)


def _shape(dataset: Any) -> tuple[int, int, int]:
    """Return the number of frames, rows and columns."""
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    shape = (frames, int(dataset.get("Rows", 0)), int(dataset.get("Columns", 0)))
    if min(shape) < 1 or int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise InputError(
            f"{dataset.filename} holds no grey image (frames, rows and columns are {shape}); give "
            "a DICOM image of MRI."
        )
    return shape


def _headers(location: Location) -> list[Any]:
    """Read the header of a file, or of those of the one series in a folder."""
    require_whole(location, _NAME)
    if not location.path.is_dir():
        return [_dataset(location.path, pixels=False)]
    files = _files(location.path)
    sets = [_dataset(file, pixels=False) for file in files]
    series = sorted({str(one.get("SeriesInstanceUID", "")) for one in sets})
    if len(series) > 1:
        raise InputError(
            f"{location.path} holds {len(series)} DICOM series, expected one; copy the files of "
            "one into a folder of their own."
        )
    shapes = {_shape(one) for one in sets}
    if len(sets) > 1 and (len(shapes) > 1 or next(iter(shapes))[0] > 1):
        raise InputError(
            f"{location.path} holds DICOM files of the frames, rows and columns "
            f"{sorted(shapes)[:3]}, expected slices of one size; leave out the others."
        )
    frames, rows, columns = _shape(sets[0])
    location.require_room(8 * len(sets) * frames * rows * columns, "series")
    return sets


def describe(location: Location) -> Entries:
    """Read the headers."""
    sets = _headers(location)
    frames, rows, columns = _shape(sets[0])
    kind = np.dtype(f"u{max(1, int(sets[0].get('BitsAllocated', 16)) // 8)}")
    return {"array": Entry((len(sets) * frames, rows, columns), kind)}


def read_array(location: Location, prefer: Sequence[str] = ()) -> Array:
    """Read the slices, ``(z, y, x)`` or ``(y, x)``."""
    return read_image(location).array


def read_image(location: Location) -> ImageData:
    """Read the slices in the order of their places, with the geometry."""
    planes: list[Array] = []
    frames: list[Frame | None] = []
    times: list[int | None] = []
    sets = _headers(location)
    for header in sets:
        shape = _shape(header)
        location.require_room(8 * int(np.prod(shape, dtype=object)), "image")
        dataset = _dataset(Path(header.filename), pixels=True)
        pixels = np.asarray(dataset.pixel_array).reshape(shape)
        for number in range(shape[0]):
            slope, intercept = _rescaling(dataset, number)
            planes.append(pixels[number].astype(np.float32) * slope + intercept)
            frames.append(_frame(dataset, number))
            times.append(_time(dataset, number))
    in_time = _in_time(times, frames)
    what = "slices" if in_time is None else "frames, in their order of time"
    notes = [f"{len(planes)} DICOM {what}"] if len(planes) > 1 else []
    order, geometry = _arranged(frames if in_time is None else frames[:1], notes)
    order = order if in_time is None else in_time
    array = np.stack([planes[number] for number in order])
    return ImageData.from_array(
        array[0] if len(array) == 1 else array,
        str(location),
        frames=in_time is not None or location.frames,
        geometry=geometry,
        notes=tuple(notes),
    )


def _item(dataset: Any, number: int, group: str) -> Any:
    """Return the functional group of a frame in an enhanced file, its own or the shared one."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    candidates = [per_frame[number]] if per_frame is not None and number < len(per_frame) else []
    candidates += list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    for one in candidates:
        sequence = one.get(group)
        if sequence:
            return sequence[0]
    return dataset


def _rescaling(dataset: Any, number: int) -> tuple[np.float32, np.float32]:
    """Return slope and intercept that turn stored numbers into values."""
    item = _item(dataset, number, "PixelValueTransformationSequence")
    slope, intercept = item.get("RescaleSlope"), item.get("RescaleIntercept")
    return np.float32(1 if slope is None else slope), np.float32(intercept or 0)


def _frame(dataset: Any, number: int) -> Frame | None:
    """Return where a frame lies, if the file tells."""
    position = _item(dataset, number, "PlanePositionSequence").get("ImagePositionPatient")
    directions = _item(dataset, number, "PlaneOrientationSequence").get("ImageOrientationPatient")
    measures = _item(dataset, number, "PixelMeasuresSequence")
    spacing = measures.get("PixelSpacing")
    thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1
    if position is None or directions is None or spacing is None:
        return None
    axes = np.array([float(one) for one in directions]).reshape(2, 3)
    place = np.array([float(one) for one in position]).reshape(3)
    rows, columns = (float(one) for one in spacing)
    known = np.isfinite(place).all() and np.allclose(axes @ axes.T, np.eye(2), atol=1e-3)
    size = (float(thickness), rows, columns)
    return (place, axes, size) if known and min(size) > 0 else None


def _time(dataset: Any, number: int) -> int | None:
    """Return the place of a frame in time, if the file tells."""
    index = _item(dataset, number, "FrameContentSequence").get("TemporalPositionIndex")
    found = dataset.get("TemporalPositionIdentifier") if index is None else index
    return None if found is None else int(found)


def _in_time(times: Sequence[int | None], frames: Sequence[Frame | None]) -> list[int] | None:
    """Return the order in time of the frames of one slice; None where they are no such series."""
    known = [time for time in times if time is not None]
    if len(frames) == 1 or not len(set(known)) == len(known) == len(frames):
        return None
    places = [(0.0, 0.0, 0.0) if frame is None else tuple(frame[0]) for frame in frames]
    same = np.allclose(places, places[0], atol=1e-3)
    return [int(number) for number in np.argsort(known)] if same else None


def _arranged(
    frames: Sequence[Frame | None], notes: list[str]
) -> tuple[list[int], Geometry | None]:
    """Return the order of the slices along their normal, and the geometry."""
    as_stored = list(range(len(frames)))
    known = [frame for frame in frames if frame is not None]
    if len(known) < len(frames) or not known:
        notes.append("the file does not tell where all slices lie: order as stored")
        return as_stored, None
    _, axes, spacing = known[0]
    if any(not np.allclose(one[1], axes, atol=1e-3) for one in known):
        notes.append("slices of different orientations: order as stored")
        return as_stored, None
    normal = np.cross(axes[0], axes[1])
    heights = np.array([place @ normal for place, _, _ in known])
    order = [int(number) for number in np.argsort(heights, kind="stable")]
    steps = np.diff(heights[order])
    step = float(np.median(steps)) if len(steps) else spacing[0]
    if step <= 0 or (len(steps) and np.abs(steps - step).max() > _TOLERANCE * step):
        notes.append("slices are not equally far apart: several images, or some are missing")
        return (as_stored if step <= 0 else order), None
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = axes[0] * spacing[2], axes[1] * spacing[1]
    matrix[:3, 2], matrix[:3, 3] = normal * step, known[order[0]][0]
    return order, Geometry(tuple(map(tuple, (FLIP @ matrix).tolist())))


FORMAT = Format(
    name=_NAME,
    extensions=(".dcm",),
    recognises=lambda head, path: _is_dicom(head),
    describe=describe,
    read_array=read_array,
    read_image=read_image,
    write_image=write_image,
)
