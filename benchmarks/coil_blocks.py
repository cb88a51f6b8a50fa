"""Time and memory of AᴴA for blocks of coils of several sizes, on the CPU or a GPU.

    python benchmarks/coil_blocks.py [--device cuda] [--small]

A block holds as many coil images as its size allows, one at least. Memory is the peak of one
application above its start, in images. The block that `molrecon` uses is marked.
"""

from __future__ import annotations

import argparse
import time

import torch

from molrecon import CartesianMRI, DynamicMRI
from molrecon.evaluation.resources import PeakMemory
from molrecon.operators import multi_coil
from molrecon.operators.multi_coil import MultiCoilMRI

SCANS: dict[str, tuple[type[MultiCoilMRI], int, tuple[int, ...]]] = {
    "slice, 8 coils, 230 × 180": (CartesianMRI, 8, (230, 180)),
    "slice, 20 coils, 320 × 320": (CartesianMRI, 20, (320, 320)),
    "12 frames, 12 coils, 128 × 128": (DynamicMRI, 12, (12, 128, 128)),
    "volume, 8 coils, 64 × 96 × 96": (CartesianMRI, 8, (64, 96, 96)),
    "volume, 8 coils, 192 × 192 × 137": (CartesianMRI, 8, (192, 192, 137)),
}
BLOCKS = {"one coil": 1, **{f"{2**k} MiB": 2 ** (20 + k) for k in range(0, 8)}, "all": 2**40}


def make(kind: type[MultiCoilMRI], coils: int, spatial: tuple[int, ...]) -> MultiCoilMRI:
    maps = torch.randn(1, coils, *spatial, dtype=torch.complex64) / coils**0.5
    if kind is DynamicMRI:
        maps = maps[:, :, :1].contiguous()
    return kind(maps, torch.rand(1, 1, *spatial) < 0.25)


def measure(A: MultiCoilMRI, device: str, seconds: float) -> tuple[float, float]:
    """Fastest time of one application in ms, and its memory in images."""
    x = torch.randn(1, *A.shape_in, dtype=torch.complex64, device=device)
    A.normal(x)
    with PeakMemory(device) as memory:
        A.normal(x)
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        A.normal(x)
        if device != "cpu":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    image = x.numel() * x.element_size()
    return 1e3 * min(times), (memory.bytes or 0) / image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="leave out the full volume")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    used = multi_coil.BLOCK_BYTES
    for name, (kind, coils, spatial) in list(SCANS.items())[: -1 if arguments.small else None]:
        A = make(kind, coils, spatial).to(arguments.device)
        print(f"{name}: one image is {8 * torch.Size(spatial).numel() / 2**20:.2f} MiB")
        for label, size in BLOCKS.items():
            multi_coil.BLOCK_BYTES = size
            milliseconds, images = measure(A, arguments.device, arguments.seconds)
            mark = "  <- in use" if size == used else ""
            print(f"  {label:>8s}: {milliseconds:9.2f} ms, {images:6.1f} images{mark}", flush=True)
        multi_coil.BLOCK_BYTES = used


if __name__ == "__main__":
    main()
