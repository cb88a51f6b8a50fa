"""``molrecon info``: what a file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import Json, MaxMemory
from molrecon.errors import AmbiguousError, InputError, shape_text

if TYPE_CHECKING:
    from molrecon.data.formats import ImageData
    from molrecon.data.sampling import Sampling
    from molrecon.data.scan import Scan


def info(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Raw data or an image; FILE::KEY for one array of a file."
        ),
    ],
    max_memory: MaxMemory = None,
    json: Json = False,
) -> None:
    """Say what a file holds and what is missing to reconstruct it.

    Shown are the format, sizes, sampled share of k-space, calibration region and noise. A file is
    recognised by its content: ISMRMRD, Siemens twix, HDF5 (fastMRI, CMRxRecon, Calgary-Campinas,
    MoDL), MATLAB, BART .cfl/.hdr, .npy and .npz; NIfTI, DICOM and pictures.
    """
    from molrecon.data.formats import describe, format_of, kind_of, read_image, read_scan

    kind: str
    try:
        kind = kind_of(file, max_memory=max_memory)
    except AmbiguousError as error:
        kind, several = "several arrays", str(error)
    facts: dict[str, Any] = {
        "file": file,
        "kind": kind,
        "format": format_of(file).name,
        "arrays": {name: str(entry) for name, entry in describe(file).items()},
    }
    if kind == "several arrays":
        facts |= {"missing": [several], "notes": []}
    elif kind == "coil maps":
        facts |= {"missing": ["k-space: these are coil maps; give them with --coil-maps"]}
        facts |= {"notes": []}
    elif kind == "scan":
        facts |= _scan_facts(read_scan(file, max_memory=max_memory))
    else:
        facts |= _image_facts(read_image(file, max_memory=max_memory))
    if json:
        output.print_json(facts)
    else:
        output.print_facts(file, _rows(facts))


def _scan_facts(scan: Scan) -> dict[str, Any]:
    from molrecon.data.sampling import sampling_of

    sampling = sampling_of(scan)
    sigma, source = _noise(scan)
    return {
        "slices": sampling.slices,
        "coils": sampling.coils,
        "shape": sampling.shape,
        "spatial_axes": scan.ndim,
        "axes": scan.axes.letters,
        "sampled": sampling.share,
        "acceleration": sampling.acceleration,
        "calibration": sampling.calibration,
        "separate_calibration": None if scan.calibration is None else scan.calibration.shape[2:],
        "sigma": sigma,
        "sigma_source": source,
        "relative_sigma": None if sigma is None else sigma / _peak(scan),
        "has_coil_maps": scan.coil_maps is not None,
        "has_mask": scan.mask_given,
        "has_noise": scan.noise is not None,
        "image_shape": scan.image_shape,
        "spacing": None if scan.geometry is None else scan.geometry.spacing[-scan.axes.fourier :],
        "has_reference": scan.reference is not None,
        "missing": _missing(scan, sampling, sigma),
        "notes": scan.notes,
    }


def _noise(scan: Scan) -> tuple[float | None, str]:
    from molrecon.pipeline.measurements import estimated_noise

    if scan.sigma is not None:
        return scan.sigma, "given in the file"
    try:
        values = estimated_noise(scan)
    except InputError as error:
        return None, str(error)
    return float(values.median()), "estimated from the outer k-space"


def _peak(scan: Scan) -> float:
    """Return the peak of the root-sum-of-squares image, the unit of relative noise."""
    from molrecon.operators.fourier import ifft_centred

    images = ifft_centred(scan.kspace, scan.axes.fourier)
    return float(images.abs().square().sum(1).sqrt().max())


def _missing(scan: Scan, sampling: Sampling, sigma: float | None) -> list[str]:
    missing = []
    known = scan.coil_maps is not None or scan.calibration is not None
    if not known and sampling.coils > 1 and sampling.calibration is None:
        missing.append(
            "coil maps: there is no calibration region to estimate them from; give --coil-maps"
        )
    if sigma is None:
        missing.append("noise: it cannot be estimated from these data; give --sigma")
    return missing


def _image_facts(image: ImageData) -> dict[str, Any]:
    import numpy as np

    return {
        "shape": image.array.shape,
        "axes": image.axes,
        "spatial_axes": image.ndim,
        "complex": bool(np.iscomplexobj(image.array)),
        "peak": float(np.abs(image.array).max()),
        "spacing": image.spacing,
        "missing": ["k-space: this is an image; make a scan of it with 'molrecon simulate'"],
        "notes": image.notes,
    }


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    arrays = ", ".join(f"{name} ({entry})" for name, entry in facts["arrays"].items())
    rows = [("Holds", f"{facts['kind']}, in {facts['format']}"), ("Arrays", arrays)]
    of_kind = {"scan": _scan_rows, "image": _image_rows}
    rows += of_kind[facts["kind"]](facts) if facts["kind"] in of_kind else []
    rows += [("Read as", "; ".join(facts["notes"]))] if facts["notes"] else []
    rows.append(("To reconstruct", "; ".join(facts["missing"]) or "nothing is missing"))
    return rows


def _scan_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    sigma = facts["sigma"]
    noise = "unknown" if sigma is None else f"σ = {sigma:.4g} per k-space sample"
    if sigma is not None:
        noise += f", {facts['relative_sigma']:.2%} of the peak of the zero-filled image"
    present = [name for name in ("coil_maps", "mask", "noise", "reference") if facts[f"has_{name}"]]
    wanted, spacing = facts["image_shape"], facts["spacing"]
    image = f"; the image wanted is {shape_text(wanted)}" if wanted else ""
    return [
        ("Slices", str(facts["slices"])),
        ("Coils", str(facts["coils"])),
        ("Shape", f"{shape_text(facts['shape'])} ({', '.join(facts['axes'])}){image}"),
        ("Spacing", _spacing(spacing)),
        ("Sampled", f"{facts['sampled']:.1%} of k-space ({facts['acceleration']:.2f}×)"),
        ("Calibration", _calibration(facts)),
        ("Noise", f"{noise} ({facts['sigma_source']})"),
        ("Comes with", ", ".join(present).replace("_", " ") or "k-space alone"),
    ]


def _calibration(facts: dict[str, Any]) -> str:
    if facts["separate_calibration"]:
        return f"{shape_text(facts['separate_calibration'])}, measured by itself"
    return shape_text(facts["calibration"]) if facts["calibration"] else "none"


def _spacing(spacing: Sequence[float] | None) -> str:
    return f"{' × '.join(f'{x:.3g}' for x in spacing)} mm" if spacing else "unknown"


def _image_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    spacing = facts["spacing"]
    return [
        ("Shape", f"{shape_text(facts['shape'])} ({', '.join(facts['axes'])})"),
        ("Values", f"{'complex' if facts['complex'] else 'real'}, peak {facts['peak']:.4g}"),
        ("Spacing", _spacing(spacing)),
    ]


COMMAND = Command("info", info, "molrecon info scan.cfl")
