"""``molrecon reconstruct``: an image from an undersampled scan."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
from molrecon.cli.reconstruct_options import (
    Beside,
    Cluster,
    Coils,
    Compression,
    Correct,
    Crop,
    CutReadout,
    Draws,
    Ending,
    GFactor,
    Intensity,
    MapSets,
    Method,
    Model,
    NoiseMap,
    Out,
    PartialFourier,
    Processes,
    Retry,
    Share,
    SnrMap,
    Strength,
    Tolerance,
    Whiten,
)
from molrecon.cli.reconstructed import print_reconstruction, write_records

if TYPE_CHECKING:
    from molrecon.pipeline import Reconstruction
    from molrecon.pipeline.parts import AnyScan
    from molrecon.pipeline.reconstruction import MapName
    from molrecon.reconstructors.base import Reconstructor

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
    from molrecon.errors import ConvergenceError, InputError
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
    written = [out]
    for option, path in maps.items():
        if path is not None and MAPS[option] not in found.missing_maps:
            found.save_map(MAPS[option], path)
            written.append(path)
    print_reconstruction(found, under, out, coil_maps, report, json)
    made_of = (*parts[:3], along.trajectory)
    settings = own | shared | {"along": asdict(along)}
    write_records(found, under, written, made_of, settings)
    if found.map_failures:  # after the image, which is right without them
        raise ConvergenceError(" ".join(found.map_failures.values()))


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
