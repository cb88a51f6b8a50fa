"""The demonstration: one simulated scan, reconstructed by several methods and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from molrecon.data.atomic import make_folder
from molrecon.data.formats import write_image, write_scan
from molrecon.data.sample_image import SAMPLE_NAME, sample_image
from molrecon.data.scan import Scan
from molrecon.data.simulation import simulate_acquisition
from molrecon.evaluation.figure import Shown, methods_figure, save_figure
from molrecon.evaluation.metrics import caption, scores
from molrecon.pipeline import Reconstruction, reconstruct
from molrecon.pipeline.match import match_whole, require_mri
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor
from molrecon.reports.report import report as write_report

SETTINGS: dict[str, Any] = {"coils": 8, "acceleration": 4.0, "calibration": 24, "sigma": 0.01}
TITLE = f"{SAMPLE_NAME[0].upper()}{SAMPLE_NAME[1:]}\n8 coils, 1 % noise, 4× undersampled"
HEADING = TITLE.replace("\n", ": ")
FILES = {
    "report": "report.html",
    "figure": "comparison.png",
    "scan": "under.npz",
    "reference": "reference.npy",
}
TOLERANCE = 1e-3
DOTS_PER_INCH = 200
BRAIN = (66, 122, 112, 168)
"""Rows and columns of the sample image that are magnified: folded cortex and white matter."""
_NAMES = {"zero-filled": "Zero-filled", "sense": "SENSE", "mol": "MOL"}


def demonstrate(
    folder: str | Path,
    methods: Sequence[Reconstructor],
    *,
    seed: int = 0,
    device: str = "cpu",
    report: Progress = silent,
) -> dict[str, Any]:
    """Simulate a scan of the sample image, reconstruct and show it; return facts and files.

    Parameters
    ----------
    folder
        Folder for the scan, its reference, the figure and the report; made if need be.
    methods
        The methods, on ``device``.
    seed
        Seed of coil maps, phase, noise and mask.
    report
        Told what is being done, how many methods are done, and the number of steps.

    Returns
    -------
    dict
        The settings, the paths of ``"report"``, ``"figure"``, ``"scan"`` and ``"reference"``, and
        a list of the facts and figures of every method under ``"methods"``.
    """
    acquisition = simulate_acquisition(
        sample_image(), mask_kind="variable-density", seed=seed, **SETTINGS
    )
    scan = Scan(acquisition.kspace, acquisition.mask, source="of the sample image")
    for method in methods:
        require_mri(method)
        match_whole(scan, method.axes, method.model)
    target = make_folder(folder)
    found = []
    for number, method in enumerate(methods):
        report(method.label, number, len(methods) + 1)
        found.append(reconstruct(scan, method, tol=TOLERANCE, device=device))
    report("drawing", len(methods), len(methods) + 1)
    results = [_result(one, acquisition.image) for one in found]
    paths = {name: target / file for name, file in FILES.items()}
    write_scan(paths["scan"], scan)
    write_image(paths["reference"], acquisition.image)
    _draw(paths["figure"], scan, acquisition.image, found, results)
    # The first is the one that others are shown beside: the last method, the one to look at.
    write_report(found[::-1], paths["report"], reference=acquisition.image, title=HEADING)
    named = {name: str(path) for name, path in paths.items()}
    return {"image": SAMPLE_NAME, **SETTINGS, "seed": seed, **named, "methods": results}


def _draw(
    path: Path,
    scan: Scan,
    reference: Tensor,
    found: Sequence[Reconstruction],
    results: Sequence[dict[str, Any]],
) -> None:
    figure = methods_figure(
        reference[0, 0],
        [
            Shown(title_of(result), one.image[0, 0], caption(result))
            for result, one in zip(results, found, strict=True)
        ],
        zoom=BRAIN,
        mask=scan.mask[0, 0],
        title=TITLE,
    )
    save_figure(figure, path, dots_per_inch=DOTS_PER_INCH)


def title_of(result: dict[str, Any]) -> str:
    """Return what the method of a result is called in tables and figures."""
    title = _NAMES[result["method"]]
    return f"{title}, {Path(result['model']).stem}" if result["model"] else title


def _result(found: Reconstruction, reference: Tensor) -> dict[str, Any]:
    figures = {name: score.value for name, score in scores(found.image, reference).items()}
    (facts,) = found.facts()["slices"]
    return {"method": found.method, "model": found.model, **figures, **facts}
