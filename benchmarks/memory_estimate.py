"""The memory that a reconstruction is said to need, against the memory it takes.

    python benchmarks/memory_estimate.py [CASE …] [--runs N]

Every case is simulated, written to a file and reconstructed from it in a process of its own, which
has reconstructed a small slice before; its peak resident memory above what it held then stands
beside the estimate (`Reconstruction.memory`), which the limit ``max_memory`` is held against. The
peak is not the same twice, since holes in the heap depend on addresses: mean and range of runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch

from molrecon import Scan, make_mask, reconstruct, simulate_coil_maps, write_scan
from molrecon.evaluation.resources import PeakMemory
from molrecon.operators.fourier import fft_centred
from molrecon.pipeline.free_memory import resident_memory


@dataclass(frozen=True)
class Case:
    size: tuple[int, ...]
    coils: int = 8
    slices: int = 1
    method: str = "mol"
    model: str | None = "brain2d-sn"
    tiles: float | None = None  # GiB beside the process, less than the whole network takes


CASES = {
    "2d": Case((256, 256)),
    "2d-guided": Case((256, 256), model="brain2d-guided"),
    "2d-tv": Case((256, 256), method="tv", model=None),
    "2d-large": Case((512, 400)),
    "2d-strict": Case((256, 256), model="brain2d-strict"),
    "2d-sense": Case((320, 320), 12, method="sense", model=None),
    "2d-tiled": Case((640, 512), tiles=0.35),
    "slices": Case((192, 192), 8, 40),
    "slices-guided": Case((128, 128), 8, 24, model="brain2d-guided"),
    "slices-sense": Case((192, 192), 8, 60, method="sense", model=None),
    "3d": Case((32, 96, 96), model="brain3d-planes"),
    "3d-large": Case((32, 128, 128), 4, model="brain3d-planes"),
    "3d-tiled": Case((32, 128, 128), 4, model="brain3d-planes", tiles=0.38),
}


def scan(case: Case) -> Scan:
    generator = torch.Generator().manual_seed(0)
    ndim = len(case.size)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in case.size), indexing="ij")
    radius = sum(axis.square() for axis in axes)
    image = torch.sigmoid(20 * (0.6 - radius)) * (1 + 0.3 * torch.cos(9 * axes[-1]))
    maps = simulate_coil_maps(case.size, case.coils, generator=generator)
    acceleration = 3 if ndim == 2 else 4
    plane = make_mask("variable-density", case.size[-2:], acceleration, calibration=24)
    mask = plane.expand(case.size)[None, None]
    kspace = fft_centred(maps * image, ndim)[None]
    kspace = kspace.expand(case.slices, *kspace.shape[1:])
    noise = torch.randn(kspace.shape, generator=generator, dtype=kspace.dtype)
    return Scan((kspace + 0.01 * noise) * mask, mask)


def child(case: Case, file: str) -> None:
    torch.set_num_threads(1)
    settings = {"method": case.method, "model": case.model, "device": "cpu"}
    small = Case(tuple(min(n, 48) for n in case.size), 4)
    reconstruct(scan(small), **settings, sigma=0.01)
    limit = None
    with PeakMemory("cpu") as peak:
        if case.tiles is not None:
            limit = case.tiles + resident_memory("cpu") / 2**30
        found = reconstruct(file, **settings, sigma=0.01, max_memory=limit)
    print(found.memory.total, peak.bytes, found.memory.tile, sep=";")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(CASES[arguments.child[0]], arguments.child[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.cases:
            file = os.fspath(Path(folder) / "scan.h5")
            write_scan(file, scan(CASES[name]))
            command = [sys.executable, __file__, "--child", name, file]
            found = []
            for _ in range(arguments.runs):
                output = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(output.stdout.strip().split(";"))
            estimate, peaks = mean(int(one[0]) for one in found), [int(one[1]) for one in found]
            print(
                f"{name:14s} estimate {estimate / 2**20:4.0f} MiB, measured "
                f"{mean(peaks) / 2**20:4.0f} MiB ({min(peaks) / 2**20:.0f} to "
                f"{max(peaks) / 2**20:.0f}): {100 * (estimate / mean(peaks) - 1):+.0f} %, "
                f"tile {found[0][2]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
