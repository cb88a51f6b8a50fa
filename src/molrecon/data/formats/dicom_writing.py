"""Writing magnitudes as DICOM: one MR image, or an enhanced one of several slices."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from molrecon.data.arrays import Array
from molrecon.data.atomic import atomic_path
from molrecon.data.geometry import FLIP, Geometry
from molrecon.data.image_items import ImageItems
from molrecon.optional import require

_WHITE = 65535
_SINGLE, _ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
_EXPLICIT = "1.2.840.10008.1.2.1"
_MOST_LINE, _MOST_COMMENT = 64, 10240
"""Characters that DICOM allows in a line (LO) and in a long text (LT)."""
_EMPTY = (
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "Manufacturer",
    "PositionReferenceIndicator",
    "PatientPosition",
)
"""What the standard requires and nobody has told us: written empty, not invented."""


def write_image(path: Path, image: ImageItems, geometry: Geometry | None) -> None:
    """Write the magnitude in 16 bits, with the factor that gives its values back.

    The identifiers of study, series and image are new, and the patient is not named. Without a
    geometry the pixels are written as of 1 mm, in no place. The origin of the image is its comment.
    """
    pydicom = require("pydicom", "DICOM images")
    peak = max(float(np.abs(one).max()) for one in image)
    scale = peak / _WHITE or 1.0
    plane = image.shape[-2:]
    stored = np.concatenate(
        [np.rint(np.abs(one) / scale).astype("<u2").reshape(-1, *plane) for one in image]
    )
    dataset = _common(pydicom, stored)
    if image.origin:
        dataset.SoftwareVersions = str(image.origin.get("summary", ""))[:_MOST_LINE]
        dataset.ImageComments = image.origin_text(_MOST_COMMENT)
    if len(stored) == 1:
        _describe_slice(dataset, geometry, scale)
    else:
        times = image.shape[2] if image.frames else None
        _describe_frames(pydicom, dataset, geometry, scale, len(stored), times)
    with atomic_path(path) as part:
        dataset.save_as(part, enforce_file_format=True)


def _common(pydicom: Any, stored: Array) -> Any:
    """Return what both kinds of file say."""
    uid = pydicom.uid.generate_uid
    now = datetime.datetime.now()
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = _EXPLICIT
    dataset.SOPClassUID = _SINGLE if len(stored) == 1 else _ENHANCED
    dataset.SOPInstanceUID = uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for name in _EMPTY:
        setattr(dataset, name, "")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(), uid()
    dataset.FrameOfReferenceUID = uid()
    dataset.StudyDate = dataset.ContentDate = now.strftime("%Y%m%d")
    dataset.StudyTime = dataset.ContentTime = now.strftime("%H%M%S")
    dataset.Modality = "MR"
    dataset.SeriesDescription = "molrecon"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
    dataset.MRAcquisitionType, dataset.EchoTime = "", None
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = map(int, stored.shape[1:])
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.WindowCenter, dataset.WindowWidth = _WHITE // 2, _WHITE
    dataset.PixelData = stored.tobytes()
    return dataset


def _place(geometry: Geometry | None, number: int) -> tuple[list[float], list[float]]:
    """Return the position of the first pixel of a slice, and the directions of rows and columns."""
    matrix = FLIP @ (np.eye(4) if geometry is None else geometry.matrix)
    steps = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    position = matrix[:3, 3] + number * matrix[:3, 2]
    return _decimals(position), _decimals(steps[:, :2].T.ravel())


def _decimals(values: Sequence[float] | Array) -> list[float]:
    """Round to what fits into the 16 characters of a decimal string."""
    return [float(f"{float(value):.9g}") for value in values]


def _describe_slice(dataset: Any, geometry: Geometry | None, scale: float) -> None:
    z, y, x = (1.0, 1.0, 1.0) if geometry is None else geometry.spacing
    dataset.RescaleSlope, dataset.RescaleIntercept = _decimals([scale])[0], 0
    dataset.PixelSpacing, dataset.SliceThickness = _decimals([y, x]), _decimals([z])[0]
    if geometry is not None and geometry.placed:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = _place(geometry, 0)


def _describe_frames(
    pydicom: Any,
    dataset: Any,
    geometry: Geometry | None,
    scale: float,
    count: int,
    times: int | None,
) -> None:
    """Describe slices, or the frames of series of so many times each."""

    def group(**fields: Any) -> Any:
        item = pydicom.Dataset()
        for name, value in fields.items():
            setattr(item, name, value)
        return pydicom.Sequence([item])

    z, y, x = (1.0, 1.0, 1.0) if geometry is None else geometry.spacing
    dataset.NumberOfFrames = count
    shared = pydicom.Dataset()
    shared.PixelMeasuresSequence = group(
        PixelSpacing=_decimals([y, x]),
        SliceThickness=_decimals([z])[0],
        SpacingBetweenSlices=_decimals([z])[0],
    )
    shared.PixelValueTransformationSequence = group(
        RescaleSlope=_decimals([scale])[0], RescaleIntercept=0, RescaleType="US"
    )
    frames = []
    for number in range(count):
        frame = pydicom.Dataset()
        slice_number, time = divmod(number, times or 1)
        in_time = {} if times is None else {"TemporalPositionIndex": time + 1}
        frame.FrameContentSequence = group(
            InStackPositionNumber=slice_number + 1, StackID="1", **in_time
        )
        if geometry is not None and geometry.placed:
            position, directions = _place(geometry, slice_number)
            frame.PlanePositionSequence = group(ImagePositionPatient=position)
            shared.PlaneOrientationSequence = group(ImageOrientationPatient=directions)
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = pydicom.Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
