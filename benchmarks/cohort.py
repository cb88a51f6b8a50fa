"""A cohort: one process against two, and killed again and again.

    python benchmarks/cohort.py [--scans 64] [--size 128] [--coils 8] [--kills 5]

Reconstructs simulated scans by ``molrecon reconstruct FOLDER`` (brain2d-sn) on one process of one
thread, on two of one thread each, and on two that are killed so many times, all processes of it at
once, at random moments, and go on. Printed are seconds from start to end of the command, with the
start of Python and of the processes; how many images there were at every kill; and how many images
are, bit by bit, those of the one process, and those of single runs of every eighth scan.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from molrecon import Scan, add_noise, make_mask, simulate_coil_maps, write_scan
from molrecon.data.procedural import procedural_image
from molrecon.operators.fourier import fft_centred


def write_scans(folder: Path, count: int, size: int, coils: int) -> None:
    folder.mkdir()
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        image = procedural_image("ellipses", (size, size), generator)
        maps = simulate_coil_maps((size, size), coils, generator=generator)
        mask = make_mask("variable-density", (size, size), 3, calibration=20, seed=number)
        kspace = add_noise(fft_centred(maps * image, 2)[None], 0.01, generator=generator)
        write_scan(folder / f"{number:03d}.npz", Scan(kspace * mask, mask[None, None]))


def command(source: Path, output: Path, *more: str) -> list[str]:
    program = [sys.executable, "-m", "molrecon", "reconstruct", str(source), "-o", str(output)]
    return [*program, "--device", "cpu", *more]


def timed(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - started


def killed(words: list[str], kills: int, about: float, draw: random.Random) -> list[int]:
    """Kill the whole cohort so often, and let it end; return how many images there were."""
    output, there = Path(words[words.index("-o") + 1]), []
    while len(there) < kills:
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(about * draw.uniform(0.2, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        there.append(len(list(output.glob("*.npy"))))
    subprocess.run(words, check=True, capture_output=True)
    return there


def same(one: Path, other: Path) -> int:
    return sum(a.read_bytes() == (other / a.name).read_bytes() for a in one.glob("*.npy"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans, one, two, often = (folder / part for part in ("scans", "one", "two", "often"))
        write_scans(scans, arguments.scans, arguments.size, arguments.coils)
        ending = ("--ending", ".npy")
        load = os.getloadavg()[0]
        single = timed(command(scans, one, *ending))
        double = timed(command(scans, two, *ending, "--processes", "2"))
        print(f"{arguments.scans} scans of {arguments.size}², {arguments.coils} coils")
        print(
            f"one process {single:.0f} s, two {double:.0f} s: {single / double:.2f} times as fast"
        )
        loads = f"{load:.1f}, {os.getloadavg()[0]:.1f}"
        print(f"load of the machine before and after: {loads}", flush=True)
        words = command(scans, often, *ending, "--processes", "2")
        there = killed(words, arguments.kills, double / 3, random.Random(0))
        print(f"killed {arguments.kills} times, with so many images by then: {there}")
        print(
            f"equal to the one process: {same(one, two)} of two, {same(one, often)} of the killed"
        )
        (folder / "alone").mkdir()
        chosen = range(0, arguments.scans, 8)
        for number in chosen:
            alone = folder / "alone" / f"{number:03d}.npy"
            timed(command(scans / f"{number:03d}.npz", alone))
        print(f"equal to single runs: {same(folder / 'alone', often)} of {len(chosen)}")
        print(f"files beside images, records and table: {len(list(often.glob('.*')))}")


if __name__ == "__main__":
    main()
