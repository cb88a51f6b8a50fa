"""``molrecon simulate``: an undersampled scan, made from a full one or from an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import (
    Acceleration,
    Calibration,
    Json,
    MaskKind,
    Seed,
    require_positive,
)
from molrecon.cli.sampling import sampling_of
from molrecon.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.scan import Scan

RELATIVE_SIGMA = 0.01
"""Default noise over the peak of the image: that of a clinical head scan at 1.5 T."""
COILS = 8


def simulate(
    source: Annotated[
        str, typer.Argument(help="A fully sampled scan, or an image or volume; FILE or FILE::KEY.")
    ],
    out: Annotated[
        str, typer.Option("--output", "-o", help="The scan to write: .npz or .h5.", metavar="FILE")
    ],
    acceleration: Acceleration = 4.0,
    mask_kind: MaskKind = "variable-density",
    calibration: Calibration = 24,
    seed: Seed = 0,
    reference: Annotated[
        str | None,
        typer.Option(help="Also write the image to compare with: .npy, .npz, .h5, .cfl, ….",
                     metavar="FILE"),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option("--slice", help="Slice to use, from 0; of a volume by default the middle "
                     "axial one, else all."),
    ] = None,
    coils: Annotated[
        int | None, typer.Option(help=f"For an image: number of receive coils.  [default: {COILS}]")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="For an image: standard deviation of the noise per complex k-space "
                     "sample, in the image's units.  [default: 1 % of its peak]"),
    ] = None,
    include_truth: Annotated[
        bool,
        typer.Option("--include-truth", help="For an image: store the true coil maps and sigma in "
                     "the scan too; a reconstruction then uses them."),
    ] = False,
    json: Json = False,
) -> None:
    """Make an undersampled scan to try reconstructions on.

    A fully sampled multi-coil SCAN is undersampled as it is; its reference is the full scan,
    combined with the coil maps of the calibration region that is left. Of an IMAGE the scan is
    simulated with random smooth coil maps, a smooth phase and noise; its reference is the complex
    image.
    """
    from molrecon.data.formats import (
        check_image_path,
        check_scan_path,
        kind_of,
        write_image,
        write_scan,
    )

    check_scan_path(out)
    if reference is not None:
        check_image_path(reference)
    mask = {
        "mask_kind": mask_kind, "acceleration": acceleration, "calibration": calibration,
        "seed": seed,
    }
    kind = kind_of(source)
    if kind == "scan":
        if coils is not None or sigma is not None or include_truth:
            raise InputError(
                f"{source} is a scan with coils and noise of its own, but --coils, --sigma and "
                "--include-truth are for images; leave them out."
            )
        scan, truth = _from_scan(source, number, mask, wanted=reference is not None)
    else:
        require_positive("--sigma", sigma)
        scan, truth, number = _from_image(
            source, number, mask, coils=COILS if coils is None else coils, sigma=sigma,
            include_truth=include_truth,
        )
    write_scan(out, scan)
    if reference is not None and truth is not None:
        write_image(reference, truth)
    sampling = sampling_of(scan)
    facts: dict[str, Any] = {
        "output": out, "reference": reference, "source": source, "kind": kind, "slice": number,
        "slices": sampling.slices, "coils": sampling.coils, "shape": sampling.shape,
        "sampled": sampling.share, **mask, "acceleration": sampling.acceleration,
        "calibration": sampling.calibration,
    }
    if json:
        output.print_json(facts)
        return
    rows = [("Made from", f"the {kind} {source}"), ("Scan", f"{out}: {sampling}")]
    rows += [("Reference", reference)] if reference is not None else []
    rows.append(("Next", f"molrecon reconstruct {out} -o image.npy"))
    output.print_facts("Simulated scan", rows)
