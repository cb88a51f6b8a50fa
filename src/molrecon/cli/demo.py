"""``molrecon demo``: everything once, on an image that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import Device, Folder, Json, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.scan import Scan
    from molrecon.pipeline import Reconstruction
    from molrecon.reconstructors.base import Reconstructor

SETTINGS: dict[str, Any] = {"coils": 8, "acceleration": 4.0, "calibration": 24, "sigma": 0.01}
SUMMARY = "8 coils, 1 % noise, 4× undersampled"
TOLERANCE = 1e-3
MODELS = ["brain2d-lr", "brain2d-sn"]
DOTS_PER_INCH = 200
BRAIN = (66, 122, 112, 168)
"""Rows and columns of the sample image that are magnified: folded cortex and white matter."""


def demo(
    folder: Folder = "demo",
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Model to show ({' and '.join(MODELS)} by default); may be repeated.",
            metavar="NAME|FILE",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Reconstruct a real MR image end to end and compare methods, without any download.

    A scan of 8 coils with a smooth phase and 1 % noise is simulated from an MR image that comes
    with matplotlib, undersampled four times, and reconstructed by zero filling, SENSE and MOL.
    The folder receives the scan, the reference and comparison.png.
    """
    from molrecon.data.atomic import make_folder
    from molrecon.data.formats import write_image, write_scan
    from molrecon.data.sample_image import SAMPLE_NAME, sample_image
    from molrecon.data.scan import Scan
    from molrecon.data.simulation import simulate_acquisition
    from molrecon.pipeline.arguments import resolve_device
    from molrecon.reconstructors.methods import build_method

    device = resolve_device(device)
    methods = [build_method(name, device=device) for name in ("zero-filled", "sense")]
    methods += [build_method("mol", model=name, device=device) for name in model or MODELS]
    acquisition = simulate_acquisition(
        sample_image(), mask_kind="variable-density", seed=seed, **SETTINGS
    )
    target = make_folder(folder)
    scan = Scan(acquisition.kspace, acquisition.mask, source="the simulated scan")
    found = _reconstructed(scan, methods, device)
    reference = acquisition.image
    results = [_result(one, reference) for one in found]
    paths = {
        "scan": target / "under.npz",
        "reference": target / "reference.npy",
        "figure": target / "comparison.png",
    }
    write_scan(paths["scan"], scan)
    write_image(paths["reference"], reference)
    _draw(paths["figure"], scan, reference, results, [one.image for one in found])
    if json:
        files = {name: str(path) for name, path in paths.items()}
        output.print_json(
            {"image": SAMPLE_NAME, **SETTINGS, "seed": seed, **files, "methods": results}
        )
        return
    _print(SAMPLE_NAME, results)
    output.print_facts("Files", [(name, str(path)) for name, path in paths.items()])


def _reconstructed(
    scan: Scan, methods: Sequence[Reconstructor], device: str
) -> list[Reconstruction]:
    """Reconstruct with every method, on coil maps that are estimated once."""
    from molrecon.pipeline import reconstruct
    from molrecon.pipeline.measurements import ensure_coil_maps

    found = []
    with output.progress(len(methods) + 1) as show:
        show("coil maps")
        with_maps = ensure_coil_maps(scan)
        for number, method in enumerate(methods, start=1):
            show(method.name, number)
            found.append(reconstruct(with_maps, method, tol=TOLERANCE, device=device))
    return found


def _result(found: Reconstruction, reference: Tensor) -> dict[str, Any]:
    from molrecon.evaluation.metrics import scores

    figures = {name: score.value for name, score in scores(found.image, reference).items()}
    (facts,) = found.facts()["slices"]
    return {"method": found.method, "model": found.model, **figures, **facts}


def _title(result: dict[str, Any]) -> str:
    names = {"zero-filled": "Zero-filled", "sense": "SENSE", "mol": "MOL"}
    title = names[result["method"]]
    return f"{title}, {Path(result['model']).stem}" if result["model"] else title


def _bound(result: dict[str, Any]) -> str:
    if result["error_bound"] is None:
        return "–"
    return f"{result['error_bound']:.2%}{'' if result['certified'] else ' *'}"


def _print(image: str, results: list[dict[str, Any]]) -> None:
    from molrecon.evaluation.metrics import METRICS

    output.print_table(
        f"{image[0].upper()}{image[1:]}\n{SUMMARY}",
        ("", *(metric.heading for metric in METRICS.values()), "iter.", "error bound", "time/s"),
        [
            (
                _title(result),
                *(f"{result[name]:.{metric.digits}f}" for name, metric in METRICS.items()),
                str(result["iterations"]),
                _bound(result),
                f"{result['seconds']:.2f}",
            )
            for result in results
        ],
    )
    output.print_note(
        "Range of values: the maximum of the reference; magnitudes. Error bound: relative "
        "distance to the exact solution of the method, not to the anatomy; * conditional: it holds "
        "if the network is as monotone here as it was trained to be."
    )


def _draw(
    path: Path,
    scan: Scan,
    reference: Tensor,
    results: list[dict[str, Any]],
    images: list[Tensor],
) -> None:
    from molrecon.data.sample_image import SAMPLE_NAME
    from molrecon.evaluation.figure import Shown, methods_figure, save_figure
    from molrecon.evaluation.metrics import caption

    shown = [
        Shown(_title(result), image[0, 0], caption(result))
        for result, image in zip(results, images, strict=True)
    ]
    figure = methods_figure(
        reference[0, 0],
        shown,
        zoom=BRAIN,
        mask=scan.mask[0, 0],
        title=f"{SAMPLE_NAME[0].upper()}{SAMPLE_NAME[1:]}\n{SUMMARY}",
    )
    save_figure(figure, path, dots_per_inch=DOTS_PER_INCH)


COMMAND = Command("demo", demo, "molrecon demo -o demo")
