"""How often does a conformal band hold the true values? On slices that it was not calibrated on.

    MOLRECON_DATA=… python benchmarks/conformal.py [--model brain2d-sn] [--slices 40] [--draws 6]

Slices of one head (MTw, 1.5 mm; a contrast that no shipped model saw), simulated with four coils,
4×, noise of 1 % of the peak, shuffled: half of them calibrate the band, the others show how often
it holds. The right image is the slice itself, the scale of a pixel its noise map by replicas,
smoothed, with a floor (`local_scale`), or the same number everywhere; pixels above a tenth of the
peak count. Printed are the factor, the mean half-width relative to the peak, the share of new
slices in which the band holds the share of pixels that was asked for, and the share of all pixels;
beside it what the error bound, which is proved, says of the same images.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import torch
from torch import Tensor

import molrecon
from common import data_root
from molrecon import CartesianMRI, noise_map
from molrecon.data.simulation import simulate_acquisition
from molrecon.trust.conformal import calibrate, local_scale
from molrecon.trust.features import convolved, gaussian

VOLUME = "volumes/qmrlab_mtsat_MTw.nii.gz"
FIRST, LAST = 16, 80
SIGMA, SMOOTHING = 0.01, 6.0


class Slice(NamedTuple):
    """What is known of one slice."""

    error: Tensor
    noise: Tensor
    counts: Tensor
    bound: float


def examine(method: molrecon.LearnedReconstructor, plane: Tensor, seed: int, draws: int) -> Slice:
    plane = plane / plane.max()
    scan = simulate_acquisition(
        plane,
        coils=4,
        acceleration=4,
        mask_kind="variable-density",
        calibration=20,
        sigma=SIGMA,
        seed=seed,
    )
    A = CartesianMRI(scan.coil_maps, scan.mask)
    with torch.no_grad():
        solution = method(scan.kspace, A, sigma=SIGMA)
    found = noise_map(
        method, scan.kspace, A, sigma=SIGMA, count=draws, batch=draws, x0=solution.value
    )
    kernel = gaussian(SMOOTHING, plane.shape)
    smooth = convolved(found.std.square(), kernel / kernel.sum()).clamp_min(0).sqrt()
    assert solution.error_bound is not None
    error = solution.value.abs() - plane
    return Slice(error, smooth, (plane > 0.1)[None, None], float(solution.error_bound))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="brain2d-sn")
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    method = molrecon.load(arguments.model)
    volume = torch.from_numpy(molrecon.read_image(data_root() / VOLUME).array).abs().float()
    volume = volume.reshape(volume.shape[-3:])
    axis = min(range(3), key=lambda k: volume.shape[k])
    generator = torch.Generator().manual_seed(0)
    order = (FIRST + torch.randperm(LAST - FIRST, generator=generator))[: arguments.slices]
    started = time.perf_counter()
    slices = [
        examine(method, volume.select(axis, int(place)), seed, arguments.draws)
        for seed, place in enumerate(order)
    ]
    held_out, new = slices[: len(slices) // 2], slices[len(slices) // 2 :]
    print(
        f"{arguments.model}: {len(held_out)} slices calibrate, {len(new)} are new; "
        f"{time.perf_counter() - started:.0f} s; proved distance to x* at most "
        f"{100 * max(one.bound for one in slices):.2g} % of the image"
    )
    for name in ("noise map", "one number"):

        def scale(one: Slice, name: str = name) -> Tensor:
            return local_scale(one.noise if name == "noise map" else torch.ones_like(one.noise))

        for share in (0.9, 0.95):
            band = calibrate(
                [one.error for one in held_out],
                [scale(one) for one in held_out],
                pixels=share,
                scans=0.9,
                where=[one.counts for one in held_out],
            )
            found = [band.coverage(one.error, scale(one), one.counts) for one in new]
            widths = [band.factor * float(scale(one)[one.counts].mean()) for one in new]
            held = sum(one >= share for one in found)
            print(
                f"  {name}, {share:.0%} of the pixels: factor {band.factor:.3g}, half-width "
                f"{100 * sum(widths) / len(widths):.2f} % of the peak; held in {held} of "
                f"{len(new)} new slices (asked: 90 %), {sum(found) / len(found):.1%} of their "
                "pixels",
                flush=True,
            )


if __name__ == "__main__":
    main()
