"""``molrecon adapt``: a shipped model adapted to one's own undersampled scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.failures import SIGNALLED
from molrecon.cli.options import (
    CalibrationData,
    CoilMaps,
    Device,
    FieldOfView,
    Frames,
    Json,
    MaskFile,
    Matrix,
    Sigma,
    Trajectory,
    Unit,
)
from molrecon.defaults import ADAPTED_MODEL
from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.evaluation.certificate import Certificate
    from molrecon.training.adaptation import Adaptation

Scans = Annotated[
    list[str],
    typer.Argument(
        metavar="SCAN…",
        help="Undersampled scans, in any format that 'molrecon info' names; FILE or FILE::KEY.",
    ),
]
Out = Annotated[
    str,
    typer.Option("--output", "-o", help="Weights to write, .safetensors.", metavar="FILE"),
]
Start = Annotated[
    str, typer.Option("--model", help="A shipped model or a weights file to start from.")
]
Steps = Annotated[int, typer.Option(help="Number of steps, at most.")]
TimeLimit = Annotated[float, typer.Option(help="Stop after so many seconds, with the best so far.")]
Seed = Annotated[int, typer.Option(help="Seed of the samples that are left out.")]
Image = Annotated[
    str | None,
    typer.Option(
        "--output-kind",
        help="Image to adapt for: fixed-point, without the noise of the samples, or full-scan, "
        "with it; the model's own by default.",
        metavar="KIND",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Go on in spite of the data check.")]


def adapt(
    scans: Scans,
    out: Out,
    model: Start = ADAPTED_MODEL,
    steps: Steps = 120,
    time_limit: TimeLimit = 600.0,
    coil_maps: CoilMaps = None,
    mask: MaskFile = None,
    calibration: CalibrationData = None,
    trajectory: Trajectory = None,
    matrix: Matrix = None,
    unit: Unit = None,
    field_of_view: FieldOfView = None,
    frames: Frames = None,
    sigma: Sigma = None,
    image: Image = None,
    seed: Seed = 0,
    force: Force = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Adapt a model to undersampled scans; no fully sampled scan is needed.

    The model learns to predict measured samples that it is not shown. Others, which it never learns
    from, decide which weights are kept; where none predicts them better, what is written is the
    model it started from, and that is said. A certified model stays certified, whatever it learns.
    Ctrl-C, SIGTERM and SIGHUP end it with the best weights so far. A mask, coil maps, calibration
    data or a trajectory given here count for every scan.

    Of scans along spokes, spirals or other lines whole lines are left out.

    With --json: what was done, and the file and its certificate in brief.
    """
    import molrecon
    from molrecon.cli.reading import Along, parse_frames, read_any
    from molrecon.data.atomic import check_writable, keep_inputs
    from molrecon.evaluation.certificate import (
        certificate_path,
        read_certificate,
        write_certificate,
    )

    if Path(out).suffix != ".safetensors":
        raise InputError(
            f"--output is {out}, expected a file that ends in .safetensors; rename it."
        )
    check_writable(out)
    check_writable(certificate_path(Path(out)))
    keep_inputs(out, model, mask, coil_maps, calibration, trajectory, *scans)
    if frames is not None:
        lines, step = parse_frames(frames)
        if step < lines:
            raise InputError(
                f"frames is {frames}, expected no lines in common: those left out of one frame "
                f"would be seen in the next; give {lines}."
            )
    along = Along(trajectory, matrix, unit, field_of_view, frames)
    read = [read_any(scan, mask, coil_maps, calibration, None, along) for scan in scans]
    with output.progress() as show:
        found = molrecon.adapt(
            read,
            model,
            steps=steps,
            time_limit=time_limit,
            output=image,  # type: ignore[arg-type]
            seed=seed,
            sigma=sigma,
            force=force,
            device=device,
            progress=show,
        )
    weights = found.save(out)
    if not found.signal:
        with output.progress() as show:
            show("certificate")
            write_certificate(_certificate(found, weights), weights)
    if json:
        known = {} if found.signal else read_certificate(weights).facts
        output.print_json({"output": str(weights), **found.facts(), **known})
    else:
        output.print_facts(str(weights), found.summary())
    if not found.improved:
        output.print_note("Nothing was better than the start on samples held out; it was written.")
    if found.signal:
        output.print_note(f"Interrupted; the best weights so far are in {weights}.")
        raise typer.Exit(SIGNALLED + found.signal)


def _certificate(found: Adaptation, weights: Path) -> Certificate:
    """Prove what can be proved of the weights, and measure it at the first of the scans."""
    from molrecon.evaluation.certification_images import CertificationImage
    from molrecon.evaluation.certify import certify

    one = found.first
    image = CertificationImage(found.scans[0], one.y, one.A, float(one.sigma))
    return certify(weights, [image])


COMMAND = Command(
    "adapt", adapt, "molrecon adapt scan1.h5 scan2.h5 --model brain2d-strict -o mine.safetensors"
)
