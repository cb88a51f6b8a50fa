"""Thresholds and λ times a factor, and by which power of the noise level thresholds fall: a search.

    MOLRECON_DATA=… python benchmarks/thresholds.py [MODEL] --powers 0 0.3 0.5 0.75
    … --sizes 128 --levels 1e-4 7e-4 --powers 0 0.5
    … --factors 1 0.8 0.65 --lam-factors 1 1.4 --kind equispaced --acceleration 3 --levels 1e-2
    … --factors 0.57 --lam-factors 0.7 --levels 1e-2 --tol 3e-3 --coils 4

`low_noise_power` of the network, its thresholds and λ are changed, nothing is trained; persons that
the model was trained on, so that those it is judged by decide nothing. Eight coils, true maps and
σ; PSNR in dB, SSIM, contrast of details and PSNR of tissue alone against the noise-free image, mean
of the persons, and network evaluations. Factors are on λ and thresholds without the
`determined_factor`. With every sampling stands the share of a typical image that it leaves
undetermined (`LinearOperator.undetermined`).
"""

from __future__ import annotations

import argparse
import math
from copy import deepcopy
from itertools import product

import torch
from torch import Tensor

import molrecon
import noise_levels
from molrecon.networks.layers import SoftClip

PERSONS = {"F6A": "T2w", "F7A": "FLAIR", "F6B": "T1w"}


def main() -> None:
    """Print a row for every size, noise level and change."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="brain2d-guided")
    parser.add_argument("--powers", type=float, nargs="+", help="by default the model's own")
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0], help="on thresholds")
    parser.add_argument("--lam-factors", type=float, nargs="+", default=[1.0])
    parser.add_argument("--levels", type=float, nargs="+", default=[1e-4, 2e-4, 7e-4, 2e-3])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--kind", default="variable-density")
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--tol", type=float, help="by default the model's own")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    changes = list(product(arguments.powers or [None], arguments.factors, arguments.lam_factors))
    for size, sigma in product(arguments.sizes, arguments.levels):
        print(f"{size}², {arguments.kind}, {arguments.acceleration:g}×, σ = {sigma:g}")
        scans = [
            noise_levels.simulated(
                contrast,
                sigma,
                arguments.acceleration,
                arguments.kind,
                size,
                person=person,
                coils=arguments.coils,
            )
            for person, contrast in PERSONS.items()
        ]
        shares = [float(scan.A.undetermined) for scan in scans]
        print(f"  undetermined {sum(shares) / len(shares):.4f}", flush=True)
        for power, factor, lam_factor in changes:
            model = changed(arguments.model, power, factor, lam_factor)
            rows = []
            for scan in scans:
                with torch.no_grad():
                    found = model(
                        scan.y, scan.A, sigma=sigma, tol=arguments.tol, output="fixed-point"
                    )
                figures = noise_levels.figures(found.value, scan.image)
                inside = tissue_psnr(found.value, scan.image)
                rows.append((*figures, inside, float(found.network_evaluations)))
            ratio, similarity, detail, inside, count = torch.tensor(rows).mean(0).tolist()
            print(
                f"  power {'own' if power is None else format(power, 'g')}, thresholds × "
                f"{factor:g}, λ × {lam_factor:g}: {ratio:.2f} dB, SSIM {similarity:.4f}, "
                f"detail {detail:.3f}, tissue alone {inside:.2f} dB, {count:.0f} evaluations",
                flush=True,
            )


def tissue_psnr(image: Tensor, reference: Tensor) -> float:
    """PSNR of the magnitudes where the reference is above 5 % of its peak, in dB."""
    right, peak = reference.abs(), reference.abs().max()
    error = (image.abs() - right)[right > 0.05 * peak].square().mean()
    return float(10 * torch.log10(peak**2 / error))


def changed(
    name: str, power: float | None, factor: float, lam_factor: float
) -> molrecon.LearnedReconstructor:
    """Load a model and change its thresholds and λ."""
    model = deepcopy(molrecon.load(name))
    model.determined_factor = 1.0
    for clip in model.network.modules():
        if isinstance(clip, SoftClip):
            clip.log_threshold.data += math.log(factor) / clip.speed
            clip.low_noise_power = clip.low_noise_power if power is None else power
    assert model.weight is not None
    own = model.weight.forward

    def weight(sigma: Tensor) -> Tensor:
        return own(sigma) * lam_factor

    model.weight.forward = weight  # type: ignore[method-assign]
    return model


if __name__ == "__main__":
    main()
