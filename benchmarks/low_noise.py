"""By which power of the noise level should thresholds fall below 1 % of the peak? A search.

    MOLRECON_DATA=… python benchmarks/low_noise.py [MODEL] [--powers 0 0.3 0.5 0.75]
    … --sizes 128 --levels 1e-4 7e-4

`low_noise_power` of the network is changed, nothing is trained; persons that the model was trained
on, so that those it is judged by decide nothing. Variable density 4×, eight coils, true maps and σ;
PSNR in dB against the noise-free image, mean of the persons, and network evaluations.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from itertools import product

import torch

import molrecon
import noise_levels
from common import magnitude_psnr
from molrecon.networks.layers import SoftClip

PERSONS = {"F6A": "T2w", "F7A": "FLAIR", "F6B": "T1w"}


def main() -> None:
    """Print a row for every size and noise level."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="brain2d-guided")
    parser.add_argument("--powers", type=float, nargs="+", default=[0.0, 0.3, 0.5, 0.75])
    parser.add_argument("--levels", type=float, nargs="+", default=[1e-4, 2e-4, 7e-4, 2e-3])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {power: with_power(arguments.model, power) for power in arguments.powers}
    for size, sigma in product(arguments.sizes, arguments.levels):
        found: dict[float, list[tuple[float, int]]] = {power: [] for power in models}
        for person, contrast in PERSONS.items():
            scan = noise_levels.simulated(
                contrast, sigma, 4.0, "variable-density", size, person=person
            )
            for power, model in models.items():
                with torch.no_grad():
                    solution = model(scan.y, scan.A, sigma=sigma, output="fixed-point")
                psnr = magnitude_psnr(solution.value, scan.image)
                found[power].append((psnr, int(solution.network_evaluations)))
        cells = (
            f"{power:g}: {sum(psnr for psnr, _ in each) / len(each):.2f} dB, "
            f"{sum(count for _, count in each) / len(each):.0f}"
            for power, each in found.items()
        )
        print(f"{size}², σ = {sigma:g}   " + "   ".join(cells), flush=True)


def with_power(name: str, power: float) -> molrecon.LearnedReconstructor:
    """Load a model with another `low_noise_power`."""
    model = deepcopy(molrecon.load(name))
    for clip in model.network.modules():
        if isinstance(clip, SoftClip):
            clip.low_noise_power = power
    return model


if __name__ == "__main__":
    main()
