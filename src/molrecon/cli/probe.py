"""``molrecon probe``: how much of a small lesion a reconstruction keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import (
    Against,
    Device,
    FieldOfView,
    Frames,
    Json,
    Matrix,
    ReadMemory,
    Report,
    Scan,
    Seed,
    Sigma,
    SliceNumber,
    Trajectory,
    Unit,
)
from molrecon.defaults import DEFAULT_MODEL

if TYPE_CHECKING:
    from molrecon.evaluation.probing import Probed

Model = Annotated[
    str,
    typer.Option(
        help="A shipped model, a weights file, or a method without a model.", metavar="NAME|FILE"
    ),
]
Sizes = Annotated[
    str,
    typer.Option(help="Full widths at half maximum of the features, in pixels.", metavar="P,…"),
]
Contrasts = Annotated[
    str,
    typer.Option(help="Heights of the features, relative to the tissue around.", metavar="C,…"),
]
Map = Annotated[
    str | None,
    typer.Option(
        "--map",
        help="Image of the recovery at every pixel of the tissue, to write; one for every row of "
        "the table.",
        metavar="FILE",
    ),
]
Share = Annotated[
    str | None,
    typer.Option(
        help="Image of the share of the data, to write: for every method in its pixels, then in "
        "its k-space.",
        metavar="FILE",
    ),
]
Shifts = Annotated[
    int | None,
    typer.Option(
        help="Shifts of the lattice of features, each a reconstruction; 4 by default, and all of "
        "them for a map.",
        metavar="N",
    ),
]


def probe(
    under: Scan,
    model: Model = DEFAULT_MODEL,
    against: Against = None,
    size: Sizes = "1.5,3",
    contrast: Contrasts = "0.05,0.2",
    map_file: Map = None,
    share: Share = None,
    shifts: Shifts = None,
    report: Report = None,
    number: SliceNumber = None,
    trajectory: Trajectory = None,
    matrix: Matrix = None,
    unit: Unit = None,
    field_of_view: FieldOfView = None,
    frames: Frames = None,
    sigma: Sigma = None,
    max_memory: ReadMemory = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Add small features to the measurements and see how much of them comes back.

    Features of known size and contrast stand on a lattice in the tissue; the image is reconstructed
    anew, from where it was, and the difference looked at: the share of the contrast that comes
    back, the width of what does, and what appears where nothing was added. Noise, unit, noise
    level, data weight, coil maps and mask stay as they were.
    """
    import time

    from molrecon.arguments import require_positive, resolve_device
    from molrecon.cli import lists
    from molrecon.cli.reading import Along, check_images, check_report, read_any
    from molrecon.data.formats import write_image
    from molrecon.evaluation import probing
    from molrecon.evaluation.scan_slice import check_of, chosen_slice
    from molrecon.reconstructors.methods import named_method
    from molrecon.reports.report import write_report
    from molrecon.reports.trials import probe_report
    from molrecon.trust.probe import LARGEST_CONTRAST

    started = time.perf_counter()
    require_positive("sigma", sigma)
    sizes, contrasts = lists.numbers("--size", size), lists.numbers("--contrast", contrast)
    for one in sizes:
        require_positive("--size", one)
    for one in contrasts:
        require_positive("--contrast", one, most=LARGEST_CONTRAST)
    require_positive("--shifts", shifts)
    check_images((map_file, share), under, trajectory)
    check_report(report, under, trajectory)
    device = resolve_device(device)
    methods = [named_method(name, device=device) for name in lists.methods(model, against)]
    along = Along(trajectory, matrix, unit, field_of_view, frames)
    source = read_any(under, None, None, None, max_memory, along)
    scan = chosen_slice(source, methods, number=number)
    features = [(one, other) for one in sizes for other in contrasts]
    wanted = shifts if shifts or map_file or report else probing.QUICK_SHIFTS
    steps = len(methods) * probing.shifts_of([one for one, _ in features], wanted)
    with output.progress(steps) as show:
        probed = probing.probe_scan(
            methods,
            scan,
            features,
            shifts=wanted,
            share=share is not None or report is not None,
            sigma=sigma,
            seed=seed,
            device=device,
            report=lambda text, done: show(text, advance=done),
        )
    if map_file is not None:
        write_image(map_file, probing.recovery_images(probed), frames=scan.axes.time)
    if share is not None:
        write_image(share, probing.share_images(probed), frames=scan.axes.time)
    if report is not None:
        title = f"What comes back of small features: {scan.source}"
        write_report(probe_report(probed, scan, check_of(scan), title=title), report)
    if json:
        facts: dict[str, Any] = {"input": under, "slice": number, "seed": seed, "device": device}
        facts |= {"map": map_file, "share": share, "report": report}
        facts["seconds"] = time.perf_counter() - started
        output.print_json({**facts, "methods": [one.facts() for one in probed]})
    else:
        _print(probed)


def _print(probed: list[Probed]) -> None:
    rows = []
    for each in probed:
        for one in (probe.facts() for probe in each.probes):
            rows.append(
                (
                    f"{each.name}, {one['size']:g} pixels, {one['contrast']:.3g}",
                    f"{one['recovery']:.0%}",
                    f"{one['recovery_low']:.0%}",
                    f"{one['recovery_least']:.0%}",
                    f"{one['width']:.2f}",
                    f"{one['echo']:.1%}",
                    f"{one['places']}",
                )
            )
    columns = ("method, size, contrast", "kept", "5 % below", "least", "width", "echoes", "places")
    output.print_table("Contrast that comes back", columns, rows)
    faint = [
        f"{each.name}, {probe.size:g} pixels, {probe.contrast:.3g}"
        for each in probed
        for probe in each.probes
        if probe.linearised
    ]
    if faint:
        output.print_note(
            f"Too faint to tell a difference of two images from rounding: {'; '.join(faint)}. "
            "These figures are those of the derivative of the method."
        )
    for each in probed:
        if each.share is not None:
            facts = each.share.facts()
            output.print_facts(
                f"{each.name}: share of the data",
                [
                    ("Pixels", f"{facts['pixels']:.0%} in the mean"),
                    ("k-space", f"{facts['frequencies']:.0%} in the mean"),
                ],
            )
    output.print_note(
        "Kept: mean over the places. Width: of what comes back, in pixels. Echoes: root mean "
        "square of what appears where nothing was added, relative to the contrast; the value of "
        "one place has this error too."
    )


COMMAND = Command(
    "probe", probe, "molrecon probe scan.cfl --size 1.5 --contrast 0.05 --map recovery.nii.gz"
)
