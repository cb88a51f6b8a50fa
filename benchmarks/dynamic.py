"""Cine on held-out persons: 2D+t MOL against frame-by-frame MOL, SENSE and temporal TV.

    MOLRECON_DATA=… python benchmarks/dynamic.py [MODEL_2DT …] [--flat MODEL …] [--rivals …]

Simulated from magnitude series of two persons no model was trained on, with the measured coil maps
of another scan, a smooth phase, a mask of lines for every frame and noise of 1 % of the peak. The
middle frames, resampled by their k-space to ``--size``. Reference: the noise-free series. PSNR of
magnitudes: over the series as a whole (range = its maximum), and the mean of that of its frames
(range = the frame's maximum); SSIM: mean over frames. SENSE and total variation in time have the
weight that is best against the reference, by the mean over frames. Pictures and a GIF go to
``--out``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

import molrecon
from common import data_root, oracle_image
from molrecon import SENSE
from molrecon.data.masks import make_mask
from molrecon.data.phase import simulate_phase
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.acquisition import acquire
from molrecon.data.simulation.cine_mri import CineMRISimulation, DynamicAcquisition
from molrecon.data.simulation.measured_maps import read_measured_maps, resized_maps
from molrecon.errors import shape_text
from molrecon.evaluation.metrics import psnr, ssim
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.total_variation import TotalVariation
from pictures import animate, profiles

RIVALS = ("sense", "tv")
MAPS = "coil_maps/cine_cardiac_R6_sens_96x96x12.npy"


def simulate(source: Path, options: argparse.Namespace) -> DynamicAcquisition:
    """A scan of one person."""
    frames, side = options.frames, options.size
    (series,) = CineMRISimulation().held_out([source], 1, (frames, side, side))
    generator = make_generator(options.seed)
    phase = simulate_phase((side, side), generator=generator)
    maps = resized_maps(read_measured_maps(str(data_root() / MAPS)), (side, side))
    mask = make_mask(
        options.kind,
        (frames, side, side),
        options.acceleration,
        calibration=options.calibration,
        seed=options.seed,
    )
    scan = acquire(
        (series * phase)[None, None],
        maps[None, :, None],
        mask[None, None],
        torch.tensor([options.sigma]),
        generator=generator,
        kind=DynamicAcquisition,
    )
    assert isinstance(scan, DynamicAcquisition)
    return scan


def frame_by_frame(model: LearnedReconstructor, scan: DynamicAcquisition) -> Tensor:
    images = []
    for y, mask in zip(scan.y.unbind(2), scan.mask.unbind(2), strict=True):
        A = CartesianMRI(scan.coil_maps[:, :, 0], mask)
        images.append(model(y, A, sigma=scan.sigma).value)
    return torch.stack(images, dim=2)


def methods(scan: DynamicAcquisition, options: argparse.Namespace) -> dict[str, Tensor]:
    """The images of all methods, by their names."""
    A: DynamicMRI = scan.A
    y, truth = scan.y, scan.image
    images = {"zero-filled": A.H(y)}
    if "sense" in options.rivals:
        images["SENSE, oracle"] = oracle_image(lambda w: SENSE(w)(y, A).value, truth, 10.0)
    if "tv" in options.rivals:
        tv = {"difference_axes": (0,)}
        images["temporal TV, oracle"] = oracle_image(
            lambda w: TotalVariation(w, **tv)(y, A, sigma=scan.sigma, raise_on_failure=False).value,
            truth,
            5e-3,
        )
    for name in options.flat:
        images[f"{name}, frames"] = frame_by_frame(molrecon.load(name), scan)
    for name in options.models:
        images[Path(name).stem] = molrecon.load(name)(y, A, sigma=scan.sigma).value
    return images


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="of series, names or weights files")
    parser.add_argument("--flat", nargs="*", default=["brain2d-sn"], help="models of frames")
    parser.add_argument("--rivals", nargs="*", choices=RIVALS, default=RIVALS)
    parser.add_argument("--persons", nargs="+", default=["cardiac10", "cardiac11"])
    parser.add_argument("--acceleration", type=float, default=8)
    parser.add_argument("--kind", default="frames-variable-density")
    parser.add_argument("--calibration", type=int, default=6)
    parser.add_argument("--sigma", type=float, default=0.01)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/dynamic"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for person in options.persons:
        scan = simulate(data_root() / "cine" / f"{person}.npz", options)
        shape = shape_text(scan.image.shape[2:])
        share = scan.mask.numel() / int(scan.mask.sum())
        print(f"{person}: {shape}, 12 coils, {options.kind}, {share:.2f}×, σ = {options.sigma:g}")
        print(f"  {'':28s} PSNR, series   PSNR, frames   SSIM, frames")
        started = time.perf_counter()
        images = methods(scan, options)
        for name, image in images.items():
            whole = psnr(image, scan.image, over="volume").value
            frames, similarity = psnr(image, scan.image).value, ssim(image, scan.image).value
            print(f"  {name:28s} {whole:12.2f} {frames:14.2f} {similarity:14.3f}")
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
        title = f"{person}, {options.acceleration:g}×, {options.kind}"
        profiles(images, scan.image, options.out / f"{person}.png", title)
        animate(images[list(images)[-1]], scan.image, options.out / f"{person}.gif", title)


if __name__ == "__main__":
    main()
