"""File formats in and out: one file each, recognised by content."""

from molrecon.data.formats.entries import Entry
from molrecon.data.formats.image_data import ImageData
from molrecon.data.formats.kinds import is_picture, kind_of
from molrecon.data.formats.reading import (
    describe,
    format_of,
    read_array,
    read_calibration,
    read_coil_maps,
    read_image,
    read_images,
    read_mask,
    read_scan,
    scan_items,
)
from molrecon.data.formats.registry import FORMATS
from molrecon.data.formats.writing import (
    check_image_path,
    check_scan_path,
    write_image,
    write_scan,
)

__all__ = [
    "FORMATS",
    "Entry",
    "ImageData",
    "check_image_path",
    "check_scan_path",
    "describe",
    "format_of",
    "is_picture",
    "kind_of",
    "read_array",
    "read_calibration",
    "read_coil_maps",
    "read_image",
    "read_images",
    "read_mask",
    "read_scan",
    "scan_items",
    "write_image",
    "write_scan",
]
