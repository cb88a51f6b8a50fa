"""A scan from what several commands are given: its file, and files of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from molrecon.cli import output
from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.data.check.centre import Centre
    from molrecon.data.non_cartesian_scan import NonCartesianScan
    from molrecon.data.scan_items import ScanItems


def read_with_parts(
    under: str,
    mask: str | None,
    coil_maps: str | None,
    calibration: str | None,
    max_memory: float | None,
) -> ScanItems:
    """Read a scan, and the parts that are given in place of its own."""
    from molrecon.data.formats import read_calibration, read_coil_maps, read_mask
    from molrecon.pipeline.parts import items_of

    if coil_maps is not None and calibration is not None:
        raise InputError(
            "coil_maps is given beside calibration, which maps are estimated from; leave one out."
        )
    scan = items_of(under, max_memory)
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


@dataclass(frozen=True)
class Along:
    """What is given of a scan along lines: where its samples lie, and the image."""

    trajectory: str | None = None
    matrix: str | None = None
    unit: str | None = None
    field_of_view: float | None = None
    frames: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything is."""
        return any(value is not None for value in vars(self).values())


def read_any(
    under: str,
    mask: str | None,
    coil_maps: str | None,
    calibration: str | None,
    max_memory: float | None,
    along: Along | None = None,
) -> ScanItems | NonCartesianScan:
    """Read a scan on a grid with its parts, or one along lines with its trajectory."""
    from molrecon.data.formats.samples import holds_samples, read_samples

    along = along or Along()
    if not (along.given or holds_samples(under)):
        return read_with_parts(under, mask, coil_maps, calibration, max_memory)
    for name, part in (("mask", mask), ("calibration", calibration)):
        if part is not None:
            raise InputError(
                f"{name} is {part}, but {under} is a scan along lines, which has none; leave it "
                "out."
            )
    scan = read_samples(
        under,
        trajectory=along.trajectory,
        matrix=parse_matrix(along.matrix),
        unit=along.unit,
        field_of_view=along.field_of_view,
        max_memory=max_memory,
    )
    for note in scan.notes:
        output.print_note(f"{note[0].upper()}{note[1:]}.")
    if coil_maps is not None:
        scan = with_maps_of(scan, coil_maps, max_memory)
    return scan if along.frames is None else scan.in_frames(*parse_frames(along.frames))


def with_maps_of(
    scan: NonCartesianScan, coil_maps: str, max_memory: float | None
) -> NonCartesianScan:
    """Return a scan along lines with the coil maps of a file."""
    from molrecon.data.arrays import complex_tensor
    from molrecon.data.formats import read_coil_maps

    maps = complex_tensor(read_coil_maps(coil_maps, max_memory=max_memory)[0])
    axes = scan.trajectory.shape[-1]
    maps = maps[None] if maps.ndim == axes + 1 else maps
    return replace(scan, coil_maps=maps.unsqueeze(2) if scan.axes.time else maps)


def parse_matrix(text: str | None) -> tuple[int, ...] | None:
    """Parse the pixels of an image, as in 256x256."""
    if text is None:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError(
            f"matrix is {text!r}, expected the pixels along its axes, as in 256x256; correct it."
        )
    return tuple(map(int, parts))


def parse_frames(text: str) -> tuple[int, int]:
    """Parse the lines of a frame and those from one frame to the next, as in 16 or 16/4."""
    lines, _, step = text.partition("/")
    if not (lines.isdecimal() and (step or lines).isdecimal()):
        raise InputError(
            f"frames is {text!r}, expected the lines of a frame, as in 16, or also those from one "
            "frame to the next, as in 16/4; correct it."
        )
    return int(lines), int(step or lines)


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
