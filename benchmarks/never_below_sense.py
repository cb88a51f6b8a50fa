"""Is MOL ever below SENSE at its default weight? PSNR differences on all data at hand.

    MOLRECON_DATA=… python benchmarks/never_below_sense.py [MODEL …]

The real 8-coil scan, the 0.055 T single-coil scans (every person and contrast, two slices; noisy
references), and simulated scans of the 3 T slices, the volumes and the cine frames; several masks
and accelerations. Magnitudes, range = the reference's maximum.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

import molrecon
from common import brain, data_root, magnitude_psnr
from molrecon import SENSE, Scan, read_image
from molrecon.data.simulation.acquisition import simulate_acquisition
from molrecon.evaluation.reference_problem import (
    ReferenceProblem,
    retrospective_problem,
    simulated_problem,
)

ACCELERATIONS = (2, 4, 6)


def real_brain() -> Iterator[tuple[str, ReferenceProblem]]:
    full = brain()
    for acceleration in ACCELERATIONS:
        for kind in ("variable-density", "poisson-disc", "random"):
            scan = retrospective_problem(full, acceleration, mask_kind=kind, calibration=24, seed=0)
            yield f"8-coil brain {acceleration}× {kind}", scan


def low_field() -> Iterator[tuple[str, ReferenceProblem]]:
    for path in sorted((data_root() / "single_coil_mri/hku").glob("*.npz")):
        with np.load(path) as file:
            for contrast in file.files:
                for number, plane in enumerate(file[contrast][1:3]):
                    kspace = torch.from_numpy(plane.astype(np.complex64))[None, None]
                    for acceleration in ACCELERATIONS:
                        scan = retrospective_problem(
                            Scan(kspace),
                            acceleration,
                            mask_kind="variable-density",
                            calibration=16,
                            seed=number,
                        )
                        yield f"0.055 T {contrast} {acceleration}×", scan


def simulated() -> Iterator[tuple[str, ReferenceProblem]]:
    for name, image in _images():
        peak = float(image.abs().max())
        for acceleration in ACCELERATIONS:
            for sigma in (0.002, 0.01, 0.04):
                scan = simulate_acquisition(
                    image,
                    coils=8,
                    acceleration=acceleration,
                    mask_kind="variable-density",
                    calibration=24,
                    sigma=sigma * peak,
                    seed=acceleration,
                )
                # The phase of estimated maps is their own: only magnitudes are compared.
                yield f"{name} {acceleration}×", simulated_problem(scan)


def _images() -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted((data_root() / "brain_slices_3t").glob("*.npz")):
        with np.load(path) as file:
            for contrast in file.files:
                plane = torch.from_numpy(file[contrast][1].astype(np.float32))[::2, ::2]
                yield f"3 T {contrast}", plane
    for path in sorted((data_root() / "volumes").glob("*.nii.gz")):
        volume = read_image(path).tensor()[0, 0].real
        yield f"{path.name.split('.')[0]}", volume[:, :, volume.shape[2] * 3 // 5]
    for path in sorted((data_root() / "cine").glob("*.npz")):
        with np.load(path) as file:
            yield "cine frame", torch.from_numpy(file["img"][0].astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-lr", "brain2d-sn"])
    parser.add_argument("--only", choices=sorted(SOURCES), action="append")
    parser.add_argument("--start", type=int, default=0, help="leave out the first n scans")
    parser.add_argument("--every", type=int, default=1, help="take every n-th scan only")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {name: molrecon.load(name) for name in arguments.models}
    gains: dict[str, dict[str, list[float]]] = {name: {} for name in models}
    for source in arguments.only or SOURCES:
        for label, scan in islice(SOURCES[source](), arguments.start, None, arguments.every):
            sense = magnitude_psnr(SENSE()(scan.y, scan.A).value, scan.reference)
            for name, model in models.items():
                with torch.no_grad():
                    image = model(scan.y, scan.A).value
                gain = magnitude_psnr(image, scan.reference) - sense
                gains[name].setdefault(label, []).append(gain)
                print(f"{label:36s} {name} {gain:+6.2f}", file=sys.stderr, flush=True)
    for name, rows in gains.items():
        print(f"{name}: PSNR above SENSE (default weight), dB: smallest, mean, number of scans")
        for label, values in rows.items():
            mean = sum(values) / len(values)
            print(f"  {label:36s} {min(values):+6.2f} {mean:+6.2f} {len(values):4d}")
        everything = [v for values in rows.values() for v in values]
        below = sum(v < 0 for v in everything)
        print(f"  below SENSE: {below} of {len(everything)}; smallest {min(everything):+.2f} dB")


SOURCES = {"brain": real_brain, "low-field": low_field, "simulated": simulated}

if __name__ == "__main__":
    main()
