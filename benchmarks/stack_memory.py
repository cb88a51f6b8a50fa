"""Does the memory of a command grow with the number of slices?

    python benchmarks/stack_memory.py [--slices 25 50 100 200] [--coils 12] [--size 128]
        [--format h5] [--output nii.gz] [--method sense] [--info]

Stacks of so many slices are simulated and written, one slice repeated with a noise of its own, and
reconstructed by ``molrecon reconstruct``, or described by ``molrecon info``, in a process of its
own. Printed are its peak resident memory, its time, and the largest memory against that of the
fewest slices. Formats: plain arrays (h5, npy, cfl), archives (npz, compressed: packed.npz, in
Fortran order: fortran.npz), MATLAB 5 (mat, compressed: packed.mat) and 7.3 (hdf5.mat), and readouts
of lines (ISMRMRD: mrd, Siemens twix: dat).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import torch

from molrecon import simulate_acquisition

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data/formats"))

import sound_files

FORMATS = (
    *("h5", "npy", "cfl", "npz", "packed.npz", "fortran.npz", "mat", "packed.mat", "hdf5.mat"),
    *("mrd", "dat"),
)

CLASSICAL = ("sense", "tikhonov", "l1-wavelet", "tv", "zero-filled")
"""Methods without a model; another name is that of a model."""


def simulated(size: int, coils: int, kind: str) -> np.ndarray:
    """K-space ``(coil, y, x)`` of one slice of a body."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size) for _ in range(2)), indexing="ij")
    body = torch.sigmoid(20 * (0.7 - (x**2 + y**2).sqrt())) * (1 + 0.3 * torch.cos(9 * x))
    scan = simulate_acquisition(
        body,
        coils=coils,
        acceleration=4,
        mask_kind=kind,
        calibration=20,
        sigma=0.01,
        seed=0,
    )
    kspace: np.ndarray = scan.kspace[0].numpy()
    return kspace


def write(path: Path, one: np.ndarray, slices: int) -> None:
    """Write a stack, slice by slice, with other noise in each."""
    rng = np.random.default_rng(0)
    shape = (slices, *one.shape)

    def item() -> np.ndarray:
        noise = rng.standard_normal((*one.shape, 2), np.float32).view(np.complex64)[..., 0]
        return np.where(one != 0, one + 0.005 * noise, 0).astype(np.complex64)

    if path.suffix == ".h5" or "hdf5" in path.name:
        with h5py.File(path, "w") as file:
            matlab = path.suffix == ".mat"
            exchanged = (*shape[:-2], shape[-1], shape[-2]) if matlab else shape
            kind = sound_files.PAIR if matlab else np.complex64
            stored = file.create_dataset("kspace", exchanged, kind)
            for number in range(slices):
                one_slice = item()
                stored[number] = (
                    sound_files.pairs(one_slice.swapaxes(1, 2)) if matlab else one_slice
                )
    elif path.suffix == ".npy":
        mapped = np.lib.format.open_memmap(path, "w+", np.complex64, shape)
        for number in range(slices):
            mapped[number] = item()
    elif path.suffix == ".npz":
        stack = np.stack([item() for _ in range(slices)])
        stack = np.asfortranarray(stack) if "fortran" in path.name else stack
        (np.savez_compressed if "packed" in path.name else np.savez)(path, kspace=stack)
    elif path.suffix == ".mat":
        stack = np.stack([item().transpose(1, 2, 0) for _ in range(slices)], -1)
        scipy.io.savemat(path, {"kspace": stack}, do_compression="packed" in path.name)
    elif path.suffix == ".mrd":
        rows = [
            row for n in range(slices) for row in measured(sound_files.lines_of(item(), slice=n))
        ]
        sound_files.ismrmrd(path, rows, sound_files.header((one.shape[2], one.shape[1], 1)))
    elif path.suffix == ".dat":
        lines = [({"Lin": y, "Sli": n}, item()[:, y]) for n in range(slices) for y in sampled(one)]
        sound_files.twix(path, lines, (one.shape[1], one.shape[2]))
    else:
        coils, y, x = one.shape
        dimensions = [y, x, 1, coils, *([1] * 9), slices, 1, 1]
        header = "# Dimensions\n" + " ".join(map(str, dimensions)) + "\n"
        path.with_suffix(".hdr").write_text(header)
        with path.open("wb") as stream:
            for _ in range(slices):
                stream.write(item().transpose(0, 2, 1).tobytes())


def sampled(one: np.ndarray) -> list[int]:
    """Numbers of the lines that were measured."""
    return np.flatnonzero(one.any((0, 2))).tolist()


def measured(rows: list[np.ndarray]) -> list[np.ndarray]:
    """Readouts without those of zeros alone."""
    return [row for row in rows if row["data"][0].any()]


def measure(scan: Path, output: Path, method: str, info: bool) -> tuple[float, float]:
    """Return the peak resident memory in MB and the time in s of one command."""
    command = [sys.executable, "-m", "molrecon", "info", str(scan), "--json"]
    if not info:
        command[3:4] = ["reconstruct"]
        command += ["-o", str(output), "--device", "cpu"]
        command += ["--method", method] if method in CLASSICAL else ["--model", method]
    started = time.perf_counter()
    # Large tensors straight from the system: freed memory goes back and does not blur the peak.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return peak_of(used), time.perf_counter() - started


def peak_of(used: resource.struct_rusage) -> float:
    """Peak resident memory in MB."""
    return used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--coils", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--format", choices=FORMATS, default="h5")
    parser.add_argument("--output", default="nii.gz")
    parser.add_argument("--method", default="sense", help="a method without model, or a model")
    parser.add_argument("--info", action="store_true", help="measure molrecon info")
    chosen = parser.parse_args()
    lines = chosen.format in ("mrd", "dat")
    one = simulated(chosen.size, chosen.coils, "equispaced" if lines else "variable-density")
    # Lines lie along the columns of a mask, and readouts along the rows of such files.
    one = np.ascontiguousarray(one.transpose(0, 2, 1)) if lines else one
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for slices in chosen.slices:
            scan = Path(folder) / f"scan.{chosen.format}"
            # In a process of its own: the peak of a process is that of the one it was forked from.
            writer = multiprocessing.get_context("fork").Process(
                target=write, args=(scan, one, slices)
            )
            writer.start()
            writer.join()
            size = scan.stat().st_size / 2**20
            output = Path(folder) / f"image.{chosen.output}"
            peak, seconds = measure(scan, output, chosen.method, chosen.info)
            peaks.append(peak)
            print(
                f"{slices:4d} slices, {size:6.0f} MB: {peak:6.0f} MB at most, {seconds:5.1f} s, "
                f"{1000 * seconds / slices:.0f} ms per slice",
                flush=True,
            )
            scan.unlink()
    per_slice = (peaks[-1] - peaks[0]) / (chosen.slices[-1] - chosen.slices[0])
    print(f"{100 * (max(peaks) / peaks[0] - 1):+.1f} %, {per_slice:.3f} MB per slice")


if __name__ == "__main__":
    main()
