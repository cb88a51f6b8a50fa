"""``molrecon check``: whether a scan is what it is taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.failures import WRONG_INPUT
from molrecon.cli.options import (
    CalibrationData,
    Centre,
    CoilMaps,
    Despike,
    FieldOfView,
    Json,
    MaskFile,
    Matrix,
    ReadMemory,
    Scan,
    Trajectory,
    Unit,
)


def check(
    scan: Scan,
    coil_maps: CoilMaps = None,
    mask: MaskFile = None,
    calibration: CalibrationData = None,
    trajectory: Trajectory = None,
    matrix: Matrix = None,
    unit: Unit = None,
    field_of_view: FieldOfView = None,
    centre: Centre = None,
    despike: Despike = False,
    max_memory: ReadMemory = None,
    json: Json = False,
) -> None:
    """Check a scan before it is believed: axes, centre, mask, coil maps, coils and spikes.

    Each finding says what was seen, what it means and what settles it. What is refused here is
    refused by 'molrecon reconstruct', and the exit code is 2. A few slices are looked at.
    """
    from molrecon.cli.reading import Along, parse_centre, read_any
    from molrecon.data.check.samples import check_samples
    from molrecon.data.non_cartesian_scan import NonCartesianScan
    from molrecon.pipeline import Preparation
    from molrecon.pipeline.checking import check_items
    from molrecon.pipeline.prepared_samples import require_no_grid

    along = Along(trajectory, matrix, unit, field_of_view)
    read = read_any(scan, mask, coil_maps, calibration, max_memory, along)
    preparation = Preparation(centre=parse_centre(centre), despike=despike)
    if isinstance(read, NonCartesianScan):
        require_no_grid(read, preparation)
        found = check_samples(read)
    else:
        found = check_items(read, preparation.settled)
    if json:
        output.print_json({"file": scan, "summary": found.summary, "findings": found.facts()})
    else:
        rows = finding_rows(found.facts()) or [("Data check", found.summary)]
        output.print_facts(scan, rows)
    if found.contradictions:
        raise typer.Exit(WRONG_INPUT)


def finding_rows(findings: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return a row for each finding."""
    return [
        (
            f"{one['severity'].capitalize()}: {one['name']}",
            output.with_options(
                f"{one['seen']}. It means: {one['meaning']}. To settle it: {one['settle']}."
            ),
        )
        for one in findings
    ]


COMMAND = Command("check", check, "molrecon check scan.npy")
