"""``molrecon info``: what a file holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.check import finding_rows
from molrecon.cli.command import Command
from molrecon.cli.options import FieldOfView, Json, Matrix, ReadMemory, Trajectory, Unit
from molrecon.errors import shape_text


def info(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Raw data or an image; FILE::KEY for one array of a file."
        ),
    ],
    trajectory: Trajectory = None,
    matrix: Matrix = None,
    unit: Unit = None,
    field_of_view: FieldOfView = None,
    max_memory: ReadMemory = None,
    json: Json = False,
) -> None:
    """Say what a file holds and what is missing to reconstruct it.

    Shown are the format, sizes, sampled share of k-space, calibration region and noise. A file is
    recognised by its content: ISMRMRD, Siemens twix, HDF5 (fastMRI, CMRxRecon, Calgary-Campinas,
    MoDL), MATLAB, BART .cfl/.hdr, .npy and .npz; NIfTI, DICOM and pictures.
    """
    from molrecon.cli.reading import Along, read_any
    from molrecon.data.formats.samples import holds_samples
    from molrecon.data.non_cartesian_scan import NonCartesianScan
    from molrecon.pipeline.contents import contents_of, samples_contents

    along = Along(trajectory, matrix, unit, field_of_view)
    if along.given or holds_samples(file):
        scan = read_any(file, None, None, None, max_memory, along)
        assert isinstance(scan, NonCartesianScan)
        facts = samples_contents(file, scan)
    else:
        facts = contents_of(file, max_memory=max_memory)
    facts["missing"] = _remedies(facts["kind"], facts["missing"])
    if json:
        output.print_json(facts)
    else:
        output.print_facts(file, _rows(facts))


def _remedies(kind: str, missing: Mapping[str, str]) -> list[str]:
    """Say what is missing, and which command or option supplies it."""
    options = {"coil maps": "give --coil-maps", "noise": "give --sigma"}
    options["k-space"] = {
        "image": "simulate a scan of it with 'molrecon simulate'",
        "coil maps": "give them with --coil-maps",
        "mask": "give it with --mask",
    }.get(kind, "")
    return [
        clause if subject == "choice" else f"{subject}: {clause}, {options[subject]}"
        for subject, clause in missing.items()
    ]


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    arrays = ", ".join(f"{name} ({entry})" for name, entry in facts["arrays"].items())
    rows = [("Holds", f"{facts['kind']}, in {facts['format']}"), ("Arrays", arrays)]
    of_kind = {"scan": _scan_rows, "scan along lines": _scan_rows, "image": _image_rows}
    rows += of_kind[facts["kind"]](facts) if facts["kind"] in of_kind else []
    rows += [("Read as", "; ".join(facts["notes"]))] if facts["notes"] else []
    if facts.get("made_by") is not None:
        rows.append(("Made by", _made_by(facts["made_by"])))
    rows += finding_rows(facts.get("check", []))
    refused = any(one["severity"] == "refused" for one in facts.get("check", []))
    ready = "settle what is refused" if refused else "nothing is missing"
    rows.append(("To reconstruct", "; ".join(facts["missing"]) or ready))
    return rows


def _made_by(record: Mapping[str, Any]) -> str:
    settings = record["settings"]
    weights = settings["weights_sha256"]
    model = f" ({settings['model']}, weights sha256 {weights[:16]}…)" if weights else ""
    return f"molrecon {record['molrecon']}, {settings['method']}{model}: {record['command']}"


def _scan_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from molrecon.operators.noise import doubt_text

    sigma = facts["sigma"]
    noise = "unknown" if sigma is None else f"σ = {sigma:.4g} per k-space sample"
    if sigma is not None:
        noise = f"{noise} {doubt_text(facts['sigma_uncertainty'] or 0)}".rstrip()
        noise += f", {facts['relative_sigma']:.2%} of the peak of the zero-filled image"
    present = [name for name in ("coil_maps", "mask", "noise", "reference") if facts[f"has_{name}"]]
    wanted = facts["image_shape"]
    image = f"; the image wanted is {shape_text(wanted)}" if wanted else ""
    calibration = shape_text(facts["calibration"]) if facts["calibration"] else "none"
    if facts["separate_calibration"]:
        calibration = f"{shape_text(facts['separate_calibration'])}, measured by itself"
    return [
        ("Slices", str(facts["slices"])),
        ("Coils", str(facts["coils"])),
        *([("Lines", facts["lines"])] if facts.get("lines") else []),
        ("Shape", f"{shape_text(facts['shape'])} ({', '.join(facts['axes'])}){image}"),
        ("Spacing", _spacing(facts["spacing"])),
        ("Sampled", f"{facts['sampled']:.1%} of k-space ({facts['acceleration']:.2f}×)"),
        ("Calibration", calibration),
        ("Noise", f"{noise} ({facts['sigma_source']})"),
        ("Comes with", ", ".join(present).replace("_", " ") or "k-space alone"),
    ]


def _image_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Shape", f"{shape_text(facts['shape'])} ({', '.join(facts['axes'])})"),
        ("Values", f"{'complex' if facts['complex'] else 'real'}, peak {facts['peak']:.4g}"),
        ("Spacing", _spacing(facts["spacing"])),
    ]


def _spacing(spacing: Sequence[float] | None) -> str:
    return f"{' × '.join(f'{x:.3g}' for x in spacing)} mm" if spacing else "unknown"


COMMAND = Command("info", info, "molrecon info scan.cfl")
