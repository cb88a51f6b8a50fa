"""``molrecon reconstruct``: an image from an undersampled scan."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.cohort import Spread, reconstruct_cohort
from molrecon.cli.command import Command
from molrecon.cli.options import (
    CalibrationData,
    Centre,
    CoilMaps,
    Despike,
    Device,
    FieldOfView,
    Force,
    Frames,
    Json,
    Latency,
    MaskFile,
    Matrix,
    MaxMemory,
    Report,
    Robust,
    Scan,
    Sigma,
    Trajectory,
    Unit,
)
from molrecon.cli.reconstructed import print_reconstruction, write_records
from molrecon.defaults import DEFAULT_MODEL

if TYPE_CHECKING:
    from molrecon.pipeline import Reconstruction
    from molrecon.pipeline.parts import AnyScan
    from molrecon.pipeline.reconstruction import MapName
    from molrecon.reconstructors.base import Reconstructor

Out = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="Image to write: .npy, .npz, .h5, .cfl, .nii.gz, .dcm or .png. Of a folder or list of "
        "scans, the folder of their images.",
        metavar="FILE|DIR",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="mol, modl, admm-net, de-grad, mnm-mol or unet, which use a model; sense, "
        "tikhonov, l1-wavelet, tv or zero-filled. By default that of the model; mol without one.",
        metavar="NAME",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help=f"A shipped model or a weights file, trained for the method ({DEFAULT_MODEL} by "
        "default).",
        metavar="NAME|FILE",
    ),
]
Whiten = Annotated[
    bool,
    typer.Option(
        "--whiten/--no-whiten",
        help="Make the noise of the coils uncorrelated and equal, by the noise scan of the file.",
    ),
]
CutReadout = Annotated[
    bool,
    typer.Option(
        "--cut-readout/--keep-readout",
        help="Cut an oversampled readout to the field of view that the file asks for.",
    ),
]
Crop = Annotated[
    bool,
    typer.Option(
        "--crop/--no-crop",
        help="Cut the image to the field of view that the file asks for when it is written.",
    ),
]
Coils = Annotated[
    str | None,
    typer.Option(
        help="Compress the coils to so many virtual ones; auto for the fewest that lose a ten "
        "thousandth of the energy. All are kept by default.",
        metavar="N|auto",
    ),
]
Compression = Annotated[
    str,
    typer.Option(
        help="Virtual coils of each position along the readout (geometric) or the same "
        "everywhere (svd).",
        metavar="KIND",
    ),
]
NoiseMap = Annotated[
    str | None,
    typer.Option(
        help="Image of the standard deviation of every pixel under the noise of the scan, to "
        "write; in the formats of the image.",
        metavar="FILE",
    ),
]
SnrMap = Annotated[
    str | None,
    typer.Option(
        help="Image of the signal-to-noise ratio of every pixel, magnitude over noise, to write.",
        metavar="FILE",
    ),
]
GFactor = Annotated[
    str | None,
    typer.Option(
        help="Image of the g-factor to write: the noise of every pixel over √R times that of a "
        "full scan, R the acceleration; for samples on a grid.",
        metavar="FILE",
    ),
]
Draws = Annotated[
    int,
    typer.Option(
        help="Draws of the noise for the maps of noise, SNR and g-factor, each a reconstruction."
    ),
]
Share = Annotated[
    str | None,
    typer.Option(
        help="Image of the share of the data in every pixel (1 measured, 0 inferred), to write; as "
        "much work as 32 reconstructions of a slice.",
        metavar="FILE",
    ),
]
MapSets = Annotated[
    int,
    typer.Option(
        help="Sets of coil maps to estimate: 2 where the object may be larger than the field of "
        "view (soft SENSE).",
        metavar="1|2",
    ),
]
PartialFourier = Annotated[
    bool,
    typer.Option(
        "--partial-fourier/--no-partial-fourier",
        help="Complete an edge of k-space that was not measured by the conjugate of the other.",
    ),
]
Strength = Annotated[
    str | None,
    typer.Option(
        help="Factor on the strength of regularisation; auto to choose it by predicting samples "
        "that are left out, which takes about twice the time. Chosen by default where the noise "
        "level is uncertain; 1 otherwise.",
        metavar="auto|NUMBER",
    ),
]
Tolerance = Annotated[
    float, typer.Option(help="Largest relative distance to the exact solution of the method.")
]
Correct = Annotated[
    bool,
    typer.Option(
        "--correct/--no-correct",
        help="Leave out dead coils and zero padding, make very unequal noise of the coils and coil "
        "maps of any size alike.",
    ),
]
Intensity = Annotated[
    bool,
    typer.Option(
        "--intensity", help="Put back the intensity of coil maps that are not normalised."
    ),
]
Beside = Annotated[
    str,
    typer.Option(
        help="Methods or models that the report shows beside, on the same scan; '' for none.",
        metavar="NAME|FILE,…",
    ),
]
Ending = Annotated[
    str,
    typer.Option(help="Extension of the images of a folder or list of scans.", metavar="EXTENSION"),
]
Processes = Annotated[
    int,
    typer.Option(help="Processes that share a folder or list of scans, the cores and the GPUs."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Scheduler of a Dask cluster whose workers share a folder or list of scans.",
        metavar="ADDRESS",
    ),
]
Retry = Annotated[
    bool,
    typer.Option("--retry", help="Try scans of a folder or list again that failed before."),
]

MAPS: dict[str, MapName] = {
    "--noise-map": "noise",
    "--snr-map": "snr",
    "--g-factor": "g-factor",
    "--share": "share",
}


def reconstruct(
    under: Scan,
    out: Out,
    method: Method = None,
    model: Model = None,
    coil_maps: CoilMaps = None,
    mask: MaskFile = None,
    calibration: CalibrationData = None,
    trajectory: Trajectory = None,
    matrix: Matrix = None,
    unit: Unit = None,
    field_of_view: FieldOfView = None,
    frames: Frames = None,
    latency: Latency = None,
    whiten: Whiten = True,
    cut_readout: CutReadout = True,
    crop: Crop = True,
    coils: Coils = None,
    compression: Compression = "geometric",
    map_sets: MapSets = 1,
    partial_fourier: PartialFourier = True,
    sigma: Sigma = None,
    strength: Strength = None,
    robust: Robust = None,
    noise_map: NoiseMap = None,
    snr_map: SnrMap = None,
    g_factor: GFactor = None,
    draws: Draws = 32,
    share: Share = None,
    report: Report = None,
    beside: Beside = "sense,zero-filled",
    centre: Centre = None,
    despike: Despike = False,
    correct: Correct = True,
    intensity: Intensity = False,
    force: Force = False,
    tol: Tolerance = 1e-3,
    max_memory: MaxMemory = None,
    device: Device = "auto",
    ending: Ending = ".nii.gz",
    processes: Processes = 1,
    cluster: Cluster = None,
    retry: Retry = False,
    json: Json = False,
) -> None:
    """Reconstruct an image, a volume or a series of frames and say how far it can be trusted.

    Where the scan has no coil maps they are estimated from its calibration region (ESPIRiT), and
    where it has no noise level it is measured in k-space. A model of slices takes a volume with a
    fully sampled readout apart. A scan that the data check contradicts is refused (see 'molrecon
    check'). The figures are those of the slice (or volume, or series) with the
    largest error bound; --json lists all.

    Samples along spokes, spirals or other lines come with a trajectory, in their file or by
    --trajectory; its unit is found from its range, and said.

    Of a folder, or of a list (.txt, a scan a line), every scan is reconstructed on its own, and
    what is done already, by content, settings and weights, is skipped. The same command goes on
    where it was stopped, and several at once, on machines that share the folder, share the work.
    """
    from molrecon import pipeline
    from molrecon.cli.reading import Along, check_images, check_report, parse_centre, read_any
    from molrecon.data.non_cartesian_scan import NonCartesianScan
    from molrecon.errors import InputError
    from molrecon.pipeline.cohort_files import is_cohort
    from molrecon.pipeline.provenance import check_record_path

    many = is_cohort(under)
    maps = dict(zip(MAPS, (noise_map, snr_map, g_factor, share), strict=True))
    images = (out, *maps.values())
    for option, value in (*maps.items(), ("--report", report)):
        if many and value is not None:
            raise InputError(f"{option} is given for {under}, expected for one scan; leave it out.")
    if not many:
        for option, given in (
            ("--processes", processes != 1),
            ("--cluster", cluster is not None),
            ("--retry", retry),
        ):
            if given:
                raise InputError(
                    f"{option} is given for {under}, expected for a folder or list; leave it out."
                )
        check_images(images, under, mask, coil_maps, calibration, trajectory, model)
        check_report(report, out, under)
        for image in images:
            if image is not None:
                check_record_path(image)
    preparation = pipeline.Preparation(
        whiten=whiten,
        cut_readout=cut_readout,
        crop=crop,
        coils=_number(coils),
        compression=compression,
        map_sets=map_sets,
        partial_fourier=partial_fourier,
        centre=parse_centre(centre),
        despike=despike,
        correct=correct,
    )
    noisy = any(path is not None for path in (noise_map, snr_map, g_factor))
    if noisy and draws < 2:
        raise InputError(f"--draws is {draws}, expected at least 2; correct it or leave it out.")
    shared: dict[str, Any] = {
        **{"preparation": preparation, "tol": tol, "sigma": sigma, "intensity": intensity},
        **{"force": force, "max_memory": max_memory, "device": device},
    }
    own: dict[str, Any] = {
        **{"method": method, "model": model, "robust": robust},
        "strength": _strength(strength),
        "noise_draws": draws if noisy else 0,
        "share": share is not None,
        "latency": latency,
    }
    along = Along(trajectory, matrix, unit, field_of_view, frames)
    parts = (mask, coil_maps, calibration, max_memory, along)
    if many:
        spread = Spread(ending=ending, processes=processes, cluster=cluster, retry=retry)
        reconstruct_cohort(under, out, parts, own | shared, spread, json=json)
        return
    scan = read_any(under, *parts)
    if g_factor is not None and isinstance(scan, NonCartesianScan):
        raise InputError(
            f"--g-factor is given for {under}, which has a trajectory, expected for samples on a "
            "grid; leave it out."
        )
    found = _run(scan, own | {"output": out}, shared, report, beside)
    for option, path in maps.items():
        if path is not None:
            found.save_map(MAPS[option], path)
    print_reconstruction(found, under, out, coil_maps, report, json)
    made_of = (*parts[:3], along.trajectory)
    settings = own | shared | {"along": asdict(along)}
    write_records(found, under, images, made_of, settings)


def _run(
    scan: AnyScan, own: dict[str, Any], shared: dict[str, Any], report: str | None, beside: str
) -> Reconstruction:
    """Reconstruct, and write the report if one is wanted; what it shows beside is ``shared``."""
    from molrecon import pipeline

    others = [] if report is None else _methods(beside, shared["device"])
    with output.progress() as show:
        found = pipeline.reconstruct(
            scan, progress=show, made_by=output.command_line(), **own, **shared
        )
        if report is not None:
            tuned = own["strength"] == "auto"
            _write_report(report, found, scan, others, tuned=tuned, progress=show, **shared)
    return found


def _methods(names: str, device: str) -> list[Reconstructor]:
    """Build the methods that are shown beside, before any work is done."""
    from molrecon.arguments import resolve_device
    from molrecon.reconstructors.methods import named_method

    device = resolve_device(device)
    return [named_method(name, device=device) for name in names.split(",") if name]


def _write_report(
    path: str,
    found: Reconstruction,
    scan: AnyScan,
    others: list[Reconstructor],
    **settings: Any,
) -> None:
    from molrecon.reports.beside import reconstruct_beside
    from molrecon.reports.report import report

    own = (found.method, found.model)
    different = [one for one in others if (one.name, one.model) != own]
    report([found, *reconstruct_beside(scan, different, **settings)], path)


def _strength(text: str | None) -> float | str | None:
    from molrecon.errors import InputError

    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"strength is {text!r}, expected auto or a number; correct it.") from None


def _number(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


COMMAND = Command(
    "reconstruct", reconstruct, "molrecon reconstruct under.npz --model brain2d-sn -o image.nii.gz"
)
