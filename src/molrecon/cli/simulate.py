"""``molrecon simulate``: an undersampled scan, made from a full one or from an image."""

from __future__ import annotations

from dataclasses import dataclass
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
)
from molrecon.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.scan import Scan

COILS = 8
RELATIVE_SIGMA = 0.01

Number = Annotated[
    int | None,
    typer.Option(
        "--slice",
        help="Slice to take, from 0. By default the middle axial one of a volume, else all.",
    ),
]
Coils = Annotated[
    int | None, typer.Option(help=f"For an image: number of receive coils ({COILS} by default).")
]
Sigma = Annotated[
    float | None,
    typer.Option(
        help="For an image: standard deviation of the noise per complex k-space sample, in the "
        "units of the image (1 % of its peak by default)."
    ),
]


@dataclass(frozen=True)
class _Sampling:
    """How k-space is to be sampled."""

    mask_kind: str
    acceleration: float
    calibration: int
    seed: int


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
    calibration: Calibration = 24,
    seed: Seed = 0,
    reference: Reference = None,
    number: Number = None,
    coils: Coils = None,
    sigma: Sigma = None,
    include_maps: IncludeMaps = False,
    json: Json = False,
) -> None:
    """Make an undersampled scan to try reconstructions on.

    A fully sampled scan is undersampled as it is; its reference is the full scan combined with
    the coil maps of the calibration region that is left. Of an image, a scan with smooth random
    coil maps, a smooth phase and noise is simulated; its reference is the complex image.
    """
    from molrecon.data.atomic import keep_inputs
    from molrecon.data.formats import (
        check_image_path,
        check_scan_path,
        kind_of,
        write_image,
        write_scan,
    )
    from molrecon.pipeline.arguments import require_positive

    check_scan_path(out)
    keep_inputs(out, source)
    if reference is not None:
        check_image_path(reference)
        keep_inputs(reference, source, out)
    require_positive("sigma", sigma)
    how = _Sampling(mask_kind, acceleration, calibration, seed)
    kind = kind_of(source)
    truth: Tensor | None
    if kind == "image":
        scan, truth, number, sigma = _of_image(source, number, how, coils, sigma, include_maps)
    elif coils is None and sigma is None and not include_maps:
        scan, truth = _of_scan(source, number, how, wanted=reference is not None)
    else:
        raise InputError(
            f"{source} is a scan, with coils and noise of its own, but --coils, --sigma and "
            "--include-maps are for images; leave them out."
        )
    write_scan(out, scan)
    if reference is not None and truth is not None:
        write_image(reference, truth, geometry=scan.geometry)
    _print(
        scan,
        {"output": out, "reference": reference, "source": source, "kind": kind}
        | {"slice": number, "sigma": sigma, **vars(how)},
        json,
    )


def _of_scan(
    source: str, number: int | None, how: _Sampling, *, wanted: bool
) -> tuple[Scan, Tensor | None]:
    """Undersample a scan; return it with its reference if that is wanted."""
    from molrecon.data.calibration import calibration_region
    from molrecon.data.formats import read_scan
    from molrecon.data.simulation.retrospective import reference_image, undersample

    full = read_scan(source, slice_range=None if number is None else (number, number + 1))
    scan = undersample(full, **vars(how))
    if not wanted:
        return scan, None
    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        try:
            calibration_region(scan.mask)
        except InputError:
            raise InputError(
                f"--reference needs coil maps, but {source} has none and the calibration region "
                f"left by --calibration {how.calibration} is too small to estimate them; give a "
                "larger one or leave --reference out."
            ) from None
    return scan, reference_image(full, scan)


def _of_image(
    source: str,
    number: int | None,
    how: _Sampling,
    coils: int | None,
    sigma: float | None,
    include_maps: bool,
) -> tuple[Scan, Tensor, int | None, float]:
    """Simulate a scan; return it with its reference, the slice chosen and the noise."""
    from molrecon.data.axial import axial_slices, slice_geometry
    from molrecon.data.formats import read_image
    from molrecon.data.scan import Scan
    from molrecon.data.simulation import simulate_acquisition

    stored = read_image(source)
    image, number = axial_slices(stored, number)
    sigma = RELATIVE_SIGMA * float(image.abs().max()) if sigma is None else sigma
    acquisition = simulate_acquisition(
        image, coils=COILS if coils is None else coils, sigma=sigma, **vars(how)
    )
    scan = Scan(
        kspace=acquisition.kspace,
        mask=acquisition.mask,
        coil_maps=acquisition.coil_maps if include_maps else None,
        source=source,
        geometry=slice_geometry(stored, number),
    )
    return scan, acquisition.image, number, sigma


def _print(scan: Scan, facts: dict[str, Any], json: bool) -> None:
    from molrecon.data.sampling import sampling_of

    sampling = sampling_of(scan)
    if json:
        # What was made, which differs from what was asked for by the rounding to whole samples.
        made = {"coils": sampling.coils, "slices": sampling.slices, "shape": sampling.shape}
        made |= {"acceleration": sampling.acceleration, "sampled": sampling.share}
        output.print_json(facts | made)
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
