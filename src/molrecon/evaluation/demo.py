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
from molrecon.pipeline.measurements import ensure_coil_maps
from molrecon.progress import Advance, silent
from molrecon.reconstructors.base import Reconstructor

SETTINGS: dict[str, Any] = {"coils": 8, "acceleration": 4.0, "calibration": 24, "sigma": 0.01}
TITLE = f"{SAMPLE_NAME[0].upper()}{SAMPLE_NAME[1:]}\n8 coils, 1 % noise, 4× undersampled"
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
    report: Advance = silent,
) -> dict[str, Any]:
    """Simulate a scan of the sample image, reconstruct and draw it; return facts and files.

    Parameters
    ----------
    folder
        Folder for the scan, its reference and the figure; made if need be.
    methods
        The methods, on ``device``.
    seed
        Seed of coil maps, phase, noise and mask.
    report
        Told what is being done and how many methods are done.

    Returns
    -------
    dict
        The settings, the paths of ``"scan"``, ``"reference"`` and ``"figure"``, and a list of the
        facts and figures of every method under ``"methods"``.
    """
    acquisition = simulate_acquisition(
        sample_image(), mask_kind="variable-density", seed=seed, **SETTINGS
    )
    scan = Scan(acquisition.kspace, acquisition.mask, source="of the sample image")
    for method in methods:
        require_mri(method)
        match_whole(scan, method.axes, method.model)
    target = make_folder(folder)
    report("coil maps", 0)
    with_maps = ensure_coil_maps(scan)
    results, images = [], []
    for number, method in enumerate(methods, start=1):
        report(method.name, number)
        found = reconstruct(with_maps, method, tol=TOLERANCE, device=device)
        images.append(found.image)
        results.append(_result(found, acquisition.image))
    files = {"scan": "under.npz", "reference": "reference.npy", "figure": "comparison.png"}
    paths = {name: target / file for name, file in files.items()}
    write_scan(paths["scan"], scan)
    write_image(paths["reference"], acquisition.image)
    figure = methods_figure(
        acquisition.image[0, 0],
        [
            Shown(title_of(result), image[0, 0], caption(result))
            for result, image in zip(results, images, strict=True)
        ],
        zoom=BRAIN,
        mask=scan.mask[0, 0],
        title=TITLE,
    )
    save_figure(figure, paths["figure"], dots_per_inch=DOTS_PER_INCH)
    named = {name: str(path) for name, path in paths.items()}
    return {"image": SAMPLE_NAME, **SETTINGS, "seed": seed, **named, "methods": results}


def title_of(result: dict[str, Any]) -> str:
    """Return what the method of a result is called in tables and figures."""
    title = _NAMES[result["method"]]
    return f"{title}, {Path(result['model']).stem}" if result["model"] else title


def _result(found: Reconstruction, reference: Tensor) -> dict[str, Any]:
    figures = {name: score.value for name, score in scores(found.image, reference).items()}
    (facts,) = found.facts()["slices"]
    return {"method": found.method, "model": found.model, **figures, **facts}
