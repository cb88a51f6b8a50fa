"""``molrecon simulate``: an undersampled scan, made from a full one or from an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import (
    Acceleration,
    Calibration,
    Centre,
    Despike,
    Force,
    Json,
    MaskKind,
    ReadMemory,
    Seed,
)

if TYPE_CHECKING:
    from molrecon.pipeline.simulate import SimulatedScan

Trajectory = Annotated[
    str | None,
    typer.Option(
        help="For an image: sample along radial or golden-angle spokes or a spiral in place of a "
        "grid; the acceleration is then how much wider the lines lie at the edge of k-space than "
        "those of a complete scan.",
        metavar="KIND",
    ),
]

Number = Annotated[
    int | None,
    typer.Option(
        "--slice",
        help="Slice to take, from 0. By default the middle axial one of a volume, else all.",
    ),
]
Coils = Annotated[
    int | None, typer.Option(help="For an image: number of receive coils (8 by default).")
]
Sigma = Annotated[
    float | None,
    typer.Option(
        help="For an image: standard deviation of the noise per complex k-space sample, in the "
        "units of the image (1 % of its peak by default)."
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A fully sampled scan, an image or a volume: FILE or FILE::KEY."
    ),
]
Out = Annotated[
    str, typer.Option("--output", "-o", help="Scan to write: .npz or .h5.", metavar="FILE")
]
Reference = Annotated[
    str | None,
    typer.Option(help="Write the image to compare with, too: .npy, .h5, ….", metavar="FILE"),
]
IncludeMaps = Annotated[
    bool,
    typer.Option(
        "--include-maps",
        help="For an image: store the true coil maps in the scan, to be used in place of an "
        "estimate.",
    ),
]


def simulate(
    source: Source,
    out: Out,
    acceleration: Acceleration = 4.0,
    mask_kind: MaskKind = "variable-density",
    trajectory: Trajectory = None,
    calibration: Calibration = 24,
    seed: Seed = 0,
    reference: Reference = None,
    number: Number = None,
    coils: Coils = None,
    sigma: Sigma = None,
    include_maps: IncludeMaps = False,
    centre: Centre = None,
    despike: Despike = False,
    force: Force = False,
    max_memory: ReadMemory = None,
    json: Json = False,
) -> None:
    """Make an undersampled scan to try reconstructions on.

    A fully sampled scan is undersampled as it is; its reference is the full scan combined with
    the coil maps of the calibration region that is left. Of an image, a scan with smooth random
    coil maps, a smooth phase and noise is simulated; its reference is the complex image. With
    --trajectory its samples lie along lines, and the file holds where.
    """
    from molrecon.cli.reading import parse_centre
    from molrecon.data.atomic import keep_inputs
    from molrecon.data.formats import check_image_path, check_scan_path
    from molrecon.pipeline import Preparation
    from molrecon.pipeline.simulate import MaskDraw, simulate_scan

    check_scan_path(out)
    keep_inputs(out, source)
    if reference is not None:
        check_image_path(reference)
        keep_inputs(reference, source, out)
    sampling = MaskDraw(mask_kind, acceleration, calibration, seed)
    settled = Preparation(centre=parse_centre(centre), despike=despike)
    made = simulate_scan(
        source,
        sampling,
        number=number,
        coils=coils,
        sigma=sigma,
        include_maps=include_maps,
        with_reference=reference is not None,
        preparation=settled,
        force=force,
        max_memory=max_memory,
        trajectory=trajectory,
    )
    _write(made, out, reference)
    if made.doubt:
        output.print_note(made.doubt)
    _print(
        made,
        {"output": out, "reference": reference, "source": source, "kind": made.kind}
        | {"slice": made.number, "sigma": made.sigma, "trajectory": trajectory, **vars(sampling)},
        json,
    )


def _write(made: SimulatedScan, out: str, reference: str | None) -> None:
    """Write the scan, and the image to compare with if it is wanted."""
    from molrecon.data.formats import write_image, write_scan
    from molrecon.data.formats.samples import write_samples
    from molrecon.data.oversampling import crop_image
    from molrecon.data.scan import Scan

    scan, image = made.scan, made.reference
    if not isinstance(scan, Scan):
        write_samples(out, scan)
        if reference is not None and image is not None:
            write_image(reference, image)
        return
    write_scan(out, scan)
    if reference is not None and image is not None:
        image, first = crop_image(image, scan.image_shape)
        moved = scan.geometry and scan.geometry.moved(first)
        write_image(reference, image, geometry=moved, frames=scan.axes.time)


def _print(made: SimulatedScan, facts: dict[str, Any], json: bool) -> None:
    from molrecon.data.sampling import sampling_of
    from molrecon.data.scan import Scan
    from molrecon.pipeline.prepared_samples import sampling_of_samples

    scan = made.scan
    sampling = sampling_of(scan) if isinstance(scan, Scan) else sampling_of_samples(scan)
    if json:
        # What was made, which differs from what was asked for by the rounding to whole samples.
        drawn = {"coils": sampling.coils, "slices": sampling.slices, "shape": sampling.shape}
        drawn |= {"acceleration": sampling.acceleration, "sampled": sampling.share}
        output.print_json(facts | drawn)
        return
    rows = [
        ("Made from", f"the {facts['kind']} {facts['source']}"),
        ("Scan", f"{facts['output']}: {sampling}"),
    ]
    rows += [("Reference", facts["reference"])] if facts["reference"] else []
    rows.append(("Next", f"molrecon reconstruct {facts['output']} -o image.npy"))
    output.print_facts("Simulated scan", rows)


COMMAND = Command(
    "simulate",
    simulate,
    "molrecon simulate brain.cfl --acceleration 4 --seed 0 -o under.npz --reference ref.npy",
)
