"""Options that several commands share, and the one place where each is worded."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output and nothing else there."),
]
AsPublished = Annotated[
    bool,
    typer.Option(
        "--as-published",
        help="Score as the published tables do: PSNR slice by slice with the maximum of the "
        "reference as range, SSIM with range 2 (scikit-image without a range).",
    ),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.", metavar="NAME")
]
Folder = Annotated[
    str,
    typer.Option("--output", "-o", help="Folder for the results; made if need be.", metavar="DIR"),
]
MaskKind = Annotated[
    str,
    typer.Option(
        help="variable-density, poisson-disc, equispaced (lines) or random (lines); of frames "
        "frames-variable-density, frames-golden-step or frames-lattice.",
        metavar="KIND",
    ),
]
Acceleration = Annotated[
    float, typer.Option(help="Size of k-space over the number of its sampled points.")
]
Calibration = Annotated[
    int, typer.Option(help="Width of the fully sampled centre of k-space, in samples.")
]
CoilMaps = Annotated[
    str | None,
    typer.Option(help="Coil maps, in place of those of the scan or an estimate.", metavar="FILE"),
]
MaskFile = Annotated[
    str | None,
    typer.Option(help="Sampling mask, in place of that of the scan.", metavar="FILE"),
]
CalibrationData = Annotated[
    str | None,
    typer.Option(
        help="Calibration data measured by themselves, to estimate coil maps from.",
        metavar="FILE",
    ),
]
Trajectory = Annotated[
    str | None,
    typer.Option(
        help="Where the samples of a scan along spokes, spirals or other lines lie in k-space, "
        "(lines, samples, axes): BART, .npy, .npz, .mat or .h5. Needed if the file does not hold "
        "it.",
        metavar="FILE",
    ),
]
Matrix = Annotated[
    str | None,
    typer.Option(
        help="Pixels of the image of a scan along lines, as in 256x256 (y, x); by default those of "
        "the file, or as far as the trajectory reaches.",
        metavar="NxN",
    ),
]
Unit = Annotated[
    str | None,
    typer.Option(
        help="Unit of the trajectory: radians or cycles (per pixel), fov (cycles per field of "
        "view) or metres (cycles per metre); found from its range by default.",
        metavar="NAME",
    ),
]
FieldOfView = Annotated[
    float | None,
    typer.Option(help="Field of view in mm, for a trajectory in cycles per metre.", metavar="MM"),
]
Frames = Annotated[
    str | None,
    typer.Option(
        help="Make frames of so many consecutive lines of a scan along lines, as of the golden "
        "angle; after a stroke, the lines from one frame to the next, fewer for sliding windows.",
        metavar="LINES[/STEP]",
    ),
]
Latency = Annotated[
    float | None,
    typer.Option(
        help="Soft limit of the solve of each slice or frame of a scan along lines: after it no "
        "further iteration begins, and the bound says how far the image came.",
        metavar="SECONDS",
    ),
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        help="Memory in GiB that may be used; by default nine tenths of what is free. Where a "
        "network needs more, it is applied tile by tile.",
        metavar="GIB",
    ),
]
ReadMemory = Annotated[
    float | None,
    typer.Option(
        "--max-memory",
        help="Memory in GiB that an array of a file may take; 200 MB and four times the file are "
        "always allowed.",
        metavar="GIB",
    ),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model or a weights file.")]
Scan = Annotated[
    str,
    typer.Argument(
        metavar="SCAN",
        help="The scan, in any format that 'molrecon info' names; FILE or FILE::KEY.",
    ),
]
Robust = Annotated[
    float | None,
    typer.Option(
        help="Largest gain of an error of the measurements that the method may have by its bound: "
        "data weight, monotonicity and thresholds are set so. More than 2/√3 = 1.155 for a model; "
        "sense takes any, and shrinks the image.",
        metavar="G",
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed of all that is random; the same seed, the same file.")
]
Sigma = Annotated[
    float | None,
    typer.Option(
        help="Standard deviation of the noise per complex k-space sample, in the units of the "
        "scan; estimated if not known."
    ),
]
Centre = Annotated[
    str | None,
    typer.Option(
        help="Where zero frequency lies, if not at n // 2: corner, auto, or an index for each "
        "axis, as in 64,28.",
        metavar="PLACE",
    ),
]
Despike = Annotated[bool, typer.Option("--despike", help="Leave spikes out.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Go on in spite of the data check; nothing is then proved."),
]
Against = Annotated[
    str | None,
    typer.Option(help="Other models or methods beside it, each by itself.", metavar="NAME|FILE,…"),
]
Report = Annotated[
    str | None,
    typer.Option(
        "--report", help="Report to write: one HTML file to look at the result.", metavar="FILE"
    ),
]
SliceNumber = Annotated[
    int | None,
    typer.Option("--slice", help="Slice of the scan; the middle one by default.", metavar="NUMBER"),
]
