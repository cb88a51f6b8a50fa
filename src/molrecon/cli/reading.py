"""A scan from what several commands are given: its file, and files of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from molrecon.cli import output
from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.data.check.centre import Centre
    from molrecon.data.scan_items import ScanItems


def read_with_parts(
    under: str,
    mask: str | None,
    coil_maps: str | None,
    calibration: str | None,
    max_memory: float | None,
) -> ScanItems:
    """Read a scan, and the parts that are given in place of its own."""
    from molrecon.data.formats import read_calibration, read_coil_maps, read_mask, scan_items

    if coil_maps is not None and calibration is not None:
        raise InputError(
            "coil_maps is given beside calibration, which maps are estimated from; leave one out."
        )
    scan = scan_items(under, max_memory=max_memory)
    if mask is not None:
        scan = scan.with_mask(read_mask(mask, max_memory=max_memory), source=mask)
    if calibration is not None:
        found = read_calibration(calibration, max_memory=max_memory)
        scan = scan.with_calibration(found, source=calibration)
    if coil_maps is not None:
        maps, note = read_coil_maps(coil_maps, max_memory=max_memory)
        scan = scan.with_coil_maps(maps, source=coil_maps)
        if note is not None:
            output.print_note(note)
    return scan


def parse_centre(text: str | None) -> Centre | None:
    """Parse the place of zero frequency."""
    if text is None or text == "auto" or text == "corner":
        return text  # type: ignore[return-value]
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--centre is {text!r}, expected corner, auto or an index for each axis, as in 64,28."
        ) from None


def check_images(outputs: Sequence[str | None], *inputs: str | None) -> None:
    """Refuse images that cannot be written, or that would replace an input or each other."""
    from molrecon.data.atomic import keep_inputs
    from molrecon.data.formats import check_image_path

    for number, path in enumerate(outputs):
        if path is not None:
            check_image_path(path)
            keep_inputs(path, *inputs, *outputs[:number])


def check_report(path: str | None, *inputs: str | None) -> None:
    """Refuse a report that cannot be written, or that would replace an input or another output."""
    from molrecon.data.atomic import keep_inputs
    from molrecon.reports.report import check_html

    if path is not None:
        check_html(path)
        keep_inputs(path, *inputs)
