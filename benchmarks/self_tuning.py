"""The strength chosen by left-out samples against the best one, of MOL and its rivals.

    MOLRECON_DATA=… python benchmarks/self_tuning.py [--methods NAME …] [--scans N]

Simulated scans of images that no shipped model was trained on (cine, natural pictures, drawings;
noise-free reference), each at two noise levels, and the real 8-coil scan at 4× and 6×. Per scan:
PSNR at the noise level as it is estimated, at the chosen strength and at the best of a grid of
factors 10^¼ (`oracle`), and the processor time with the choice over that without.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from common import brain, data_root, magnitude_psnr, oracle
from molrecon import Reconstruction, Scan, reconstruct
from molrecon.data.coil_maps import combine_coils, estimate_coil_maps
from molrecon.data.formats import read_image
from molrecon.data.procedural import procedural_image
from molrecon.data.randomness import make_generator
from molrecon.data.simulation import simulate_acquisition
from molrecon.data.simulation.parallel_mri import fitted
from molrecon.data.simulation.retrospective import undersample
from molrecon.errors import ConvergenceError
from molrecon.reconstructors.methods import build_method

SIZE = (160, 128)
LEVELS = (1e-3, 1e-2)


def images() -> Iterator[tuple[str, Tensor]]:
    """Images that no shipped model of slices was trained on, peak 1."""
    for number in (3, 8):
        with np.load(data_root() / f"cine/cardiac{number:02d}.npz") as file:
            frame = torch.from_numpy(file["img"][10].astype(np.float32))
        yield f"cine {number}", frame
    for number in ("101085", "103070"):
        path = data_root() / f"natural/bsds300/test/{number}.jpg"
        picture = torch.from_numpy(np.asarray(read_image(path).array, dtype=np.float32)).squeeze()
        yield f"picture {number}", picture
    for kind in ("ellipses", "dead-leaves"):
        yield kind, procedural_image(kind, SIZE, make_generator(7))


def scans() -> Iterator[tuple[str, Scan, Tensor]]:
    """Name, scan without noise level and with maps, and reference."""
    for number, (name, image) in enumerate(images()):
        image = fitted(image / image.max(), SIZE).clamp_min(0)
        for level in LEVELS:
            found = simulate_acquisition(
                image / image.max(),
                coils=(1, 4, 8)[number % 3],
                acceleration=(3.0, 4.0, 6.0)[number % 3],
                mask_kind=("variable-density", "poisson-disc")[number % 2],
                calibration=20,
                sigma=level,
                seed=100 + number,
            )
            scan = Scan(found.kspace, found.mask, found.coil_maps)
            yield f"{name}, σ {level:g}", scan, found.image
    full = brain()
    for acceleration in (4, 6):
        for seed in (0, 1):
            scan = undersample(full, acceleration, seed=seed)
            maps = estimate_coil_maps(scan.kspace, scan.mask)
            scan = Scan(scan.kspace, scan.mask, maps)
            yield f"brain, {acceleration}×, {seed}", scan, combine_coils(full.kspace, maps)


def image_at(run: Callable[..., Reconstruction], otherwise: Tensor, strength: float) -> Tensor:
    """Reconstruct at a strength; what cannot be solved to the tolerance is no candidate."""
    try:
        return run(strength=strength).image
    except ConvergenceError:
        return otherwise


def main() -> None:
    """Print a line for every scan, and the mean and worst of every method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="*", default=["brain2d-sn", "sense", "tikhonov"])
    parser.add_argument("--scans", type=int, default=None, help="the first of them alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.methods:
        model = None if "-" not in name or name == "l1-wavelet" else name
        method = build_method("mol" if model else name, model=model)
        losses, ratios, plain = [], [], []
        print(f"{name}: PSNR at the estimated noise, self-tuned (strength), best; time ×")
        for label, scan, reference in list(scans())[: arguments.scans]:
            run = partial(reconstruct, scan, method, device="cpu")
            started = time.process_time()
            base = magnitude_psnr(run(strength=1.0).image, reference)
            middle = time.process_time()
            found = run(strength="auto")
            ended = time.process_time()
            tuned = magnitude_psnr(found.image, reference)
            tuning = found.tunings[0]
            assert tuning is not None

            at = partial(image_at, run, torch.zeros_like(reference))
            best = max(tuned, base, oracle(at, reference, tuning.strength))
            losses.append(best - tuned)
            plain.append(best - base)
            ratios.append((ended - middle) / (middle - started))
            curve = " ".join(f"{value:.4f}" for value in tuning.residuals)
            print(
                f"  {label:24s} {base:6.2f} {tuned:6.2f} ({tuning.strength:.2f}) {best:6.2f} "
                f" × {ratios[-1]:.2f}  left out: {curve}",
                flush=True,
            )
        worst = max(range(len(losses)), key=lambda number: losses[number])
        print(
            f"  below the best: self-tuned {np.mean(losses):.3f} dB in the mean, "
            f"{losses[worst]:.2f} at worst (scan {worst + 1}); at the estimated noise "
            f"{np.mean(plain):.3f}, {max(plain):.2f}; time × {np.mean(ratios):.2f}, over "
            f"{len(losses)} scans",
            flush=True,
        )


if __name__ == "__main__":
    main()
