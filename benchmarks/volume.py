"""A whole volume: time, peak memory and PSNR of a model against SENSE.

    python benchmarks/volume.py MODEL [--coils 8] [--acceleration 6] [--max-memory GIB]
    python benchmarks/volume.py untrained [--features 32 --layers 5]

The head of 192 × 192 × 137 voxels (or ``--image``) gets simulated coils, a smooth phase and
noise, and is undersampled along two axes; the readout is full. A model of slices takes it apart.
Every reconstruction is a process of its own, ``molrecon reconstruct``, with coil maps estimated
from the calibration region; memory is the largest resident size of that process. PSNR is of
magnitudes, over the whole volume, range = the reference's maximum. ``untrained`` is a strict
network of volumes with random weights, to measure what one costs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import molrecon
from common import data_root, magnitude_psnr
from molrecon.data.masks import make_mask
from molrecon.data.phase import simulate_phase
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.operators.fourier import fft_centred
from molrecon.reconstructors.configuration import ModelConfig

HEAD = "volumes/datalad_T1w_lowres_192x192x137_x50.nii.gz"


def simulate(image: Path, folder: Path, coils: int, acceleration: float, sigma: float) -> None:
    """Write scan.npz and the reference."""
    generator = torch.Generator().manual_seed(0)
    volume = torch.from_numpy(molrecon.read_image(image).array).float()
    volume /= volume.max()
    spatial = tuple(volume.shape)
    maps = simulate_coil_maps(spatial, coils, generator=generator)
    image = volume * simulate_phase(spatial, generator=generator)
    plane = make_mask("variable-density", spatial[:2], acceleration, calibration=24, seed=0)
    mask = plane[..., None]
    kspace = maps
    for coil in range(coils):
        full = fft_centred(maps[coil] * image, 3)
        kspace[coil] = add_noise(full, sigma, generator=generator) * mask
    np.savez(folder / "scan.npz", kspace=kspace[None].numpy(), mask=mask.expand(spatial).numpy())
    np.save(folder / "reference.npy", volume.numpy())
    print(f"{coils} coils, {spatial}, {mask.numel() / int(mask.sum()):.2f}×, σ = {sigma:g}")


def untrained(folder: Path, features: int, layers: int) -> Path:
    torch.manual_seed(0)
    network = {"kind": "residual-strict", "ndim": 3, "features": features, "layers": layers}
    config = ModelConfig.model_validate({"network": network, "output": "full-scan"})
    return molrecon.save(config.build(), folder / "untrained.safetensors", config)


def reconstruct(folder: Path, label: str, options: list[str]) -> None:
    out = folder / "image.npy"
    command = [sys.executable, "-m", "molrecon", "reconstruct", str(folder / "scan.npz"), "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, *options, "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{label} failed: {' '.join(options)}")
    facts = json.loads(text)
    reference = torch.from_numpy(np.load(folder / "reference.npy"))[None, None]
    score = magnitude_psnr(torch.from_numpy(np.load(out))[None, None], reference)
    evaluations = sum(one["network_evaluations"] for one in facts["slices"])
    print(
        f"{label}: {time.perf_counter() - start:.0f} s, peak {usage.ru_maxrss / 2**20:.2f} GiB "
        f"(estimated {facts['memory_estimate'] / 2**30:.2f}), PSNR {score:.2f} dB, "
        f"{len(facts['slices'])} solves, {evaluations} network evaluations, tile {facts['tile']}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--acceleration", type=float, default=6)
    parser.add_argument("--sigma", type=float, default=0.02, help="relative to the image's peak")
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--max-memory", type=float)
    parser.add_argument("--folder", type=Path, help="for the files, which are kept there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "scan.npz").exists():
            image = arguments.image or data_root() / HEAD
            simulate(image, folder, arguments.coils, arguments.acceleration, arguments.sigma)
        model = arguments.model
        if model == "untrained":
            model = str(untrained(folder, arguments.features, arguments.layers))
        limit = ["--max-memory", str(arguments.max_memory)] if arguments.max_memory else []
        reconstruct(folder, "SENSE", ["--method", "sense"])
        reconstruct(folder, arguments.model, ["--model", model, *limit])


if __name__ == "__main__":
    main()
