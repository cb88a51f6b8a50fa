"""The strength chosen by left-out samples against the best one, of MOL and its rivals.

    MOLRECON_DATA=… python benchmarks/self_tuning.py [--methods NAME …] [--scans N …]

Simulated scans of slices that no shipped model was trained on, noise-free reference: two heads of
three contrasts each, a cine frame, a natural picture, a drawing; 1 to 16 coils, 2.5× to 8×, four
kinds of masks, noise of 0.1 % and 1 % of the peak. Then the real 8-coil scan at 4× and 6×. The
noise level is estimated, as for any scan.

Per scan: PSNR at strength 1, at the chosen strength, and at the best of the five that may be tried
(`oracle`), the processor time with the choice over that without, of the whole reconstruction, and
applications of the network without and with it. Both times are taken one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import nibabel
import numpy as np
import torch
from torch import Tensor

from common import brain, data_root, magnitude_psnr
from molrecon import Scan, reconstruct
from molrecon.data.coil_maps import combine_coils, estimate_coil_maps
from molrecon.data.formats import read_image
from molrecon.data.procedural import procedural_image
from molrecon.data.randomness import make_generator
from molrecon.data.simulation import simulate_acquisition
from molrecon.data.simulation.coil_mri import fitted
from molrecon.data.simulation.retrospective import undersample
from molrecon.errors import ConvergenceError
from molrecon.pipeline.tuning import STRENGTHS, CannotTuneError
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.methods import build_method

SIZE = (160, 128)
LEVELS = (1e-3, 1e-2)
COILS = (8, 4, 12, 1, 8, 16)
ACCELERATIONS = (4.0, 6.0, 3.0, 2.5, 8.0, 5.0)
MASKS = ("variable-density", "poisson-disc", "equispaced", "variable-density", "random")


def images() -> Iterator[tuple[str, Tensor]]:
    """Images that no shipped model of slices was trained on."""
    with np.load(data_root() / "brain_slices_3t/F7B_3T_img_u16_scale2.npz") as file:
        for contrast in ("T1w", "T2w", "FLAIR"):
            yield f"F7B {contrast}", torch.from_numpy(file[contrast][2].astype(np.float32))
    for contrast in ("T1w", "PDw", "MTw"):
        volume = nibabel.load(data_root() / f"volumes/qmrlab_mtsat_{contrast}.nii.gz")
        array = np.asarray(volume.dataobj, dtype=np.float32)[:, :, 50]
        yield f"qmrlab {contrast}", torch.from_numpy(array.copy())
    with np.load(data_root() / "cine/cardiac03.npz") as file:
        yield "cine 3", torch.from_numpy(file["img"][10].astype(np.float32))
    picture = read_image(data_root() / "natural/bsds300/test/101085.jpg").array
    yield "picture 101085", torch.from_numpy(np.asarray(picture, dtype=np.float32)).squeeze()
    yield "dead leaves", procedural_image("dead-leaves", SIZE, make_generator(7))


def scans() -> Iterator[tuple[str, Scan, Tensor]]:
    """Name, scan without noise level and with maps, and reference."""
    for number, (name, image) in enumerate(images()):
        image = fitted(image / image.max(), SIZE).clamp_min(0)
        for which, level in enumerate(LEVELS):
            turn = 2 * number + which
            coils, acceleration = COILS[turn % 6], ACCELERATIONS[turn % 6]
            mask = MASKS[turn % 5]
            # Lines through the whole centre leave few others at high accelerations.
            lines = mask in ("equispaced", "random")
            found = simulate_acquisition(
                image / image.max(),
                coils=coils,
                acceleration=min(acceleration, 4.0) if lines else acceleration,
                mask_kind=mask,
                calibration=16 if lines else 20,
                sigma=level,
                seed=100 + turn,
            )
            scan = Scan(found.kspace, found.mask, found.coil_maps)
            times = scan.mask.numel() / int(scan.mask.sum())
            yield (
                f"{name}, {coils} coils, {times:.1f}× {mask}, {level:g}",
                scan,
                found.image,
            )
    full = brain()
    for acceleration in (4, 6):
        scan = undersample(full, acceleration, seed=0)
        maps = estimate_coil_maps(scan.kspace, scan.mask)
        scan = Scan(scan.kspace, scan.mask, maps)
        yield f"real scan, {acceleration}×", scan, combine_coils(full.kspace, maps)


@dataclass
class Row:
    """What came of one scan: PSNR in dB, and the time with the choice over that without."""

    name: str
    fixed: float
    tuned: float
    best: float
    ratio: float


def measured(name: str, scan: Scan, reference: Tensor, method: Reconstructor) -> Row | None:
    """Measure a scan; None where too few samples can be left out."""
    run = partial(reconstruct, scan, method, device="cpu")
    started = time.process_time()
    fixed = run(strength=1.0)
    middle = time.process_time()
    try:
        found = run(strength="auto")
    except CannotTuneError as error:
        print(f"  {name}: {error}", flush=True)
        return None
    ratio = (time.process_time() - middle) / (middle - started)
    levels = {1.0: magnitude_psnr(fixed.image, reference)}
    for strength in STRENGTHS:
        # What cannot be solved to the tolerance is no candidate.
        try:
            levels.setdefault(strength, -np.inf)
            if strength != 1:
                levels[strength] = magnitude_psnr(run(strength=strength).image, reference)
        except ConvergenceError:
            continue
    best = max(levels, key=lambda strength: levels[strength])
    tuned, tuning = magnitude_psnr(found.image, reference), found.tunings[0]
    assert tuning is not None
    work = (
        f"{fixed.solutions[0].network_evaluations} / {tuning.network_evaluations} + "
        f"{found.solutions[0].network_evaluations}"
    )
    noise = found.noises[0]
    doubt = "" if noise is None else f" σ ± {float(noise.uncertainty[0]):.0%}"
    curve = " ".join(
        f"{one:g}: {residual:.4f}"
        for one, residual in zip(tuning.tried, tuning.residuals, strict=True)
    )
    print(
        f"  {name:52s} {levels[1.0]:6.2f} {tuned:6.2f} ({tuning.strength:.2f}) "
        f"{levels[best]:6.2f} ({best:g}) × {ratio:.2f} [{work}]{doubt}  left out {curve}",
        flush=True,
    )
    return Row(name, levels[1.0], tuned, levels[best], ratio)


def main() -> None:
    """Print a line for every scan, and the mean and worst of every method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--methods",
        nargs="*",
        default=["brain2d-sn", "sense", "tikhonov", "l1-wavelet", "tv"],
        help="methods without weights, and models",
    )
    parser.add_argument("--scans", type=int, nargs="*", help="numbers of scans, from 0")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.methods:
        model = None if name in ("sense", "tikhonov", "l1-wavelet", "tv") else name
        method = build_method(None if model else name, model=model)
        print(f"{name}: PSNR at strength 1, self-tuned (strength), best of five; time ×")
        found = [
            measured(*one, method)
            for number, one in enumerate(scans())
            if arguments.scans is None or number in arguments.scans
        ]
        rows = [row for row in found if row is not None]
        lost = {row.name: row.best - row.tuned for row in rows}
        untuned = {row.name: row.best - row.fixed for row in rows}
        ratios = [row.ratio for row in rows]
        print(
            f"  {len(found) - len(rows)} scans refused; below the best of five, {len(rows)} scans:"
        )
        for what, values in (("self-tuned", lost), ("at strength 1", untuned)):
            worst = max(values, key=lambda one: values[one])
            mean = np.mean(list(values.values()))
            print(f"  {what}: {mean:.3f} dB in the mean, {values[worst]:.2f} at worst ({worst})")
        print(f"  time × {statistics.median(ratios):.2f} in the median, {max(ratios):.2f} at most")


if __name__ == "__main__":
    main()
