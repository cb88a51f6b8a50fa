"""Models of volumes against models of slices and SENSE on the held-out qMRLab head.

    MOLRECON_DATA=… python benchmarks/volume_quality.py MODEL_3D … [--planes MODEL_2D …]

Simulated from the T1w volume, 128 × 128 × 96, with 8 coils, a smooth phase, points of variable
density in the plane of the two phase encodings and noise of 1 % of the peak; readout full. The
models of slices take the volume apart along the readout, which is exact; with ``--planes`` they
take part as models of volumes too, the mean of their networks in three orientations, untrained.
Reference: the noise-free volume. PSNR of magnitudes over the volume, range = its maximum; SSIM:
mean over the slices along the readout. True coil maps for all. Orthogonal views go to ``--out``.
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
from molrecon.data.pictures import centre
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.acquisition import Acquisition, acquire
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.volumes import load_volumes
from molrecon.errors import shape_text
from molrecon.evaluation.metrics import psnr, ssim
from molrecon.networks import PlanesNetwork
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.fourier import ifft_centred
from molrecon.reconstructors.learned import LearnedReconstructor
from pictures import views

HEAD = "volumes/qmrlab_mtsat_T1w.nii.gz"


def simulate(options: argparse.Namespace) -> Acquisition:
    volume = centre(load_volumes([data_root() / HEAD])[0].volume, options.size)
    shape = tuple(volume.shape)
    generator = make_generator(options.seed)
    phase = simulate_phase(shape, generator=generator)
    maps = simulate_coil_maps(shape, options.coils, generator=generator)
    plane = {"calibration": options.calibration, "seed": options.seed, "axes": (0, 1)}
    mask = make_mask(options.kind, shape, options.acceleration, **plane)
    return acquire(
        (volume * phase)[None, None],
        maps[None],
        mask[None, None],
        torch.tensor([options.sigma]),
        generator=generator,
    )


def slice_by_slice(model: LearnedReconstructor, scan: Acquisition) -> Tensor:
    # The readout, the last axis, is full: transformed back, its positions are separate scans.
    planes = ifft_centred(scan.y, 1)
    mask = scan.mask[..., 0]
    images = []
    for y, maps in zip(planes.unbind(-1), scan.coil_maps.unbind(-1), strict=True):
        images.append(model(y, CartesianMRI(maps, mask), sigma=scan.sigma).value)
    return torch.stack(images, dim=-1)


def in_three_orientations(name: str) -> LearnedReconstructor:
    """A model of slices as one of volumes, as it is (`PlanesNetwork`)."""
    model = molrecon.load(name)
    network = PlanesNetwork(plane=model.network.settings)
    network.start_from(model.network)
    model.network = network.eval().requires_grad_(False)
    return model


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="of volumes, names or weights files")
    parser.add_argument("--planes", nargs="+", default=[], help="models of slices, untrained in 3D")
    parser.add_argument("--flat", nargs="+", default=["brain2d-sn"], help="models of slices")
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--acceleration", type=float, default=6)
    parser.add_argument("--kind", default="variable-density")
    parser.add_argument("--calibration", type=int, default=20)
    parser.add_argument("--sigma", type=float, default=0.01)
    parser.add_argument("--size", type=int, nargs=3, default=[128, 128, 96], help="centre taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/volume"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    scan = simulate(options)
    shape = shape_text(scan.image.shape[2:])
    share = scan.mask.numel() / int(scan.mask.sum())
    title = f"qMRLab head, {shape}, {options.coils} coils, {share:.2f}×, σ = {options.sigma:g}"
    print(title)
    images: dict[str, Tensor] = {}

    def record(name: str, image: Tensor, started: float) -> None:
        images[name] = image
        whole = psnr(image, scan.image, over="volume").value
        # The readout is the last axis; its positions are the slices.
        a, b = image[0].movedim(-1, 0), scan.image[0].movedim(-1, 0)
        seconds = time.perf_counter() - started
        print(
            f"  {name:38s} {whole:.2f} dB, SSIM {ssim(a, b).value:.3f}, {seconds:.0f} s", flush=True
        )

    started = time.perf_counter()
    best = oracle_image(lambda w: SENSE(w)(scan.y, scan.A).value, scan.image, 30.0)
    record("SENSE, oracle", best, started)
    for name in options.flat:
        model = molrecon.load(name)
        started = time.perf_counter()
        record(f"{name}, slices", slice_by_slice(model, scan), started)
    volumes = {f"{name}, planes": in_three_orientations(name) for name in options.planes}
    volumes |= {name: molrecon.load(name) for name in options.models}
    for label, model in volumes.items():
        started = time.perf_counter()
        record(label, model(scan.y, scan.A, sigma=scan.sigma).value, started)
    views(images, scan.image, options.out / "views.png", title)


if __name__ == "__main__":
    main()
