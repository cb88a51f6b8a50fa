"""PSNR and SSIM at four noise levels against the noise-free image, beside TV with oracle weight.

    MOLRECON_DATA=… python benchmarks/noise_levels.py [MODEL …] --cache tv.json

Three contrasts (T1w, T2w, FLAIR) of a person that no model was trained on, 256², 8 simulated coils,
4×, σ = 2e-4, 2e-3, 1e-2 and 4e-2 of the image peak. Maps and σ are the true ones, the reference is
the image without noise; magnitudes, range = the reference's maximum. Total variation has for every
image the best of four weights, by PSNR; its values go to the cache, because they take minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import molrecon
from common import data_root, magnitude_psnr
from molrecon import TotalVariation
from molrecon.data.simulation import Acquisition, simulate_acquisition
from molrecon.data.simulation.parallel_mri import fitted
from molrecon.evaluation.metrics import ssim

PERSON = "brain_slices_3t/F7B_3T_img_u16_scale2.npz"
LEVELS = (2e-4, 2e-3, 1e-2, 4e-2)
CONTRASTS = ("T1w", "T2w", "FLAIR")
FACTORS = (0.25, 0.5, 1.0, 2.0)
"""Weights of total variation, in units of the noise level relative to the peak."""
SLICE, SIZE = 2, (256, 256)

Score = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-strict"])
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS)
    parser.add_argument("--kind", default="variable-density")
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--output-kind", choices=("fixed-point", "full-scan"), default=None)
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the values of TV")
    parser.add_argument("--without-tv", action="store_true")
    parser.add_argument("--pictures", type=Path, help="folder for one .npz per level")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {name: molrecon.load(name) for name in arguments.models}
    print(f"{arguments.acceleration:g}×, {arguments.kind}: PSNR / dB, SSIM; mean of 3 contrasts")
    for sigma in arguments.levels:
        rows: dict[str, list[Score]] = {}
        for contrast in CONTRASTS:
            scan = simulated(contrast, sigma, arguments.acceleration, arguments.kind)
            images = {"reference": scan.image}
            for name, model in models.items():
                with torch.no_grad():
                    solution = model(scan.y, scan.A, sigma=sigma, output=arguments.output_kind)
                images[name] = solution.value
                rows.setdefault(name, []).append(score(solution.value, scan.image))
            if not arguments.without_tv:
                key = f"{contrast} {sigma:g} {arguments.acceleration:g} {arguments.kind}"
                rows.setdefault("TV*", []).append(total_variation(scan, sigma, key, arguments))
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                arrays = {name: image[0, 0].abs().numpy() for name, image in images.items()}
                np.savez(arguments.pictures / f"{contrast}-{sigma:g}.npz", **arrays)
        for name, values in rows.items():
            first, second = (sum(v) / len(v) for v in zip(*values, strict=True))
            print(f"  σ = {sigma:<7g} {name:40s} {first:6.2f}  {second:.3f}", flush=True)


def simulated(contrast: str, sigma: float, acceleration: float, kind: str) -> Acquisition:
    """Measure a slice of the held-out person, its peak 1."""
    with np.load(data_root() / PERSON) as archive:
        image = torch.from_numpy(archive[contrast][SLICE].astype(np.float32))
    image = fitted(image / image.max(), SIZE).clamp_min(0)
    return simulate_acquisition(
        image / image.max(),
        coils=8,
        acceleration=acceleration,
        mask_kind=kind,
        calibration=24,
        sigma=sigma,
        seed=CONTRASTS.index(contrast),
    )


def score(image: Tensor, reference: Tensor) -> Score:
    """PSNR and SSIM of magnitudes."""
    return magnitude_psnr(image, reference), ssim(image, reference).value


def total_variation(
    scan: Acquisition, sigma: float, key: str, arguments: argparse.Namespace
) -> Score:
    """Best score over the weights, by PSNR, from the cache if it is there."""
    cache: Path | None = arguments.cache
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    if key not in known:
        found = []
        for factor in FACTORS:
            method = TotalVariation(factor * sigma, max_iterations=300)
            image = method(scan.y, scan.A, sigma=sigma, raise_on_failure=False).value
            found.append(score(image, scan.image))
        known[key] = max(found)
        if cache:
            cache.write_text(json.dumps(known, indent=1))
    first, second = known[key]
    return first, second


if __name__ == "__main__":
    main()
