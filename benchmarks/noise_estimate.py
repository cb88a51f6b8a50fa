"""Estimated noise over the true one, of simulated scans.

    MOLRECON_DATA=… python benchmarks/noise_estimate.py [--sizes N] [--coils N …]

Slices of heads of three contrasts and procedural images, 64² to 490×417; smooth, rough and measured
coil maps; σ from 1e-4 to 4e-2 of the peak; fully sampled, and 2× to 8× with a calibration region of
16² to 24². Per number of coils: range of the ratio, share within 15 % and within 30 %, how many of
those within 30 % and of those further off were said to be sure or uncertain, and the largest ratio
of the outer k-space alone. Then real scans, beside the background of their images.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from common import brain, data_root
from molrecon.data.masks import make_mask
from molrecon.data.phase import simulate_phase
from molrecon.data.procedural import PROCEDURAL, procedural_image
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.acquisition import acquire
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.data.simulation.coil_mri import fitted
from molrecon.data.simulation.measured_maps import read_measured_maps, resized_maps
from molrecon.operators.noise import UNCERTAIN, estimate_noise
from molrecon.operators.outer_noise import outer_noise

SIZES = ((64, 64), (128, 128), (256, 208), (490, 417))
SIGMAS = (1e-4, 1e-3, 1e-2, 4e-2)
COILS = (1, 2, 4, 8, 12, 16, 32)
SAMPLING = ((1.0, 24), (2.0, 16), (4.0, 24), (8.0, 16))


def images(size: tuple[int, int]) -> Iterator[tuple[str, Tensor]]:
    """Slices of heads and procedural images, peak 1."""
    folder = data_root() / "brain_slices_3t"
    for path, contrast in zip(sorted(folder.glob("*.npz")), ("T1w", "T2w", "FLAIR"), strict=False):
        with np.load(path) as file:
            array = file[contrast][1].astype(np.float32)
        # The noise of the picture itself is taken off: with one coil it could not be told apart.
        head = fitted(torch.from_numpy(array / array.max()) - 0.04, size).clamp_min(0)
        yield f"{path.stem[:3]} {contrast}", head / head.max()
    for kind in PROCEDURAL:
        drawn = procedural_image(kind, size, make_generator(1))
        yield kind, drawn / drawn.max()


def coil_maps(kind: str, size: tuple[int, int], coils: int, generator: torch.Generator) -> Tensor:
    """Maps of that many coils of one kind."""
    if kind == "measured":
        path = data_root() / "coil_maps/cine_cardiac_R6_sens_96x96x12.npy"
        return resized_maps(read_measured_maps(str(path)), size)
    close = {"distance": (1.0, 1.1), "loop_size": (0.2, 0.35)} if kind == "rough" else {}
    return simulate_coil_maps(size, coils, generator=generator, **close)


def main() -> None:
    """Print the figures for every number of coils, and of the real scans."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="so many, the smallest first")
    parser.add_argument("--coils", type=int, nargs="*", default=COILS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "coils scans  ratio min–max  within 15 %  30 %  right: sure, unsure  "
        "off: sure, unsure  outer"
    )
    for coils in arguments.coils:
        rows = []
        for row in measured(coils, SIZES[: arguments.sizes]):
            rows.append(row)
        report(coils, rows)
    real()


def measured(
    coils: int, sizes: tuple[tuple[int, int], ...]
) -> Iterator[tuple[float, float, float, str]]:
    """Ratio, uncertainty, ratio of the outer k-space alone, and what it was."""
    kinds = ("smooth", "rough", "measured") if coils == 12 else ("smooth", "rough")
    number = 0
    for size in sizes:
        for (name, image), kind in itertools.product(images(size), kinds):
            generator = make_generator(coils, number)
            maps = coil_maps(kind, size, coils, generator)
            picture = image * simulate_phase(size, generator=generator)
            for sigma in SIGMAS:
                # In turn: all combinations of images and noise meet all samplings in the end.
                acceleration, width = SAMPLING[number % len(SAMPLING)]
                number += 1 + (number % 5 == 4)
                mask = torch.ones(size, dtype=torch.bool)
                if acceleration > 1:
                    mask = make_mask(
                        "variable-density", size, acceleration, calibration=width, seed=number
                    )
                scan = acquire(
                    picture[None, None],
                    maps[None],
                    mask[None, None],
                    torch.tensor([sigma]),
                    generator=generator,
                )
                found = estimate_noise(scan.kspace, scan.mask)
                yield (
                    float(found.sigma) / sigma,
                    float(found.uncertainty),
                    float(outer_noise(scan.kspace[0], scan.mask[0, 0], 0)[1]) / sigma,
                    f"{name}, {size}, {kind} maps, σ {sigma:g}, {acceleration:g}×, {width}²",
                )


def report(coils: int, rows: list[tuple[float, float, float, str]]) -> None:
    """Print one line, and the scan that is furthest off."""
    ratios = torch.tensor([ratio for ratio, *_ in rows])
    said = torch.tensor([row[1] for row in rows]) > UNCERTAIN
    far = ratios.log().abs()
    good = far <= torch.tensor(1.3).log()
    near = (far <= torch.tensor(1.15).log()).double().mean()
    print(
        f"{coils:5d} {len(rows):5d}  {ratios.min():6.3f}–{ratios.max():<6.3f} {near:10.1%} "
        f"{good.double().mean():6.1%} {int((good & ~said).sum()):12d} "
        f"{int((good & said).sum()):7d} "
        f"{int((~good & ~said).sum()):10d} {int((~good & said).sum()):7d} "
        f"{max(row[2] for row in rows):7.1f}"
    )
    worst = rows[int(torch.where(said, 0 * far, far).argmax())]
    print(
        f"      furthest off, not said to be: {worst[0]:.3f} ± {worst[1]:.2f}, {worst[3]}",
        flush=True,
    )


def real() -> None:
    """Print levels of real scans beside the background of their images."""
    full = brain()
    scans = {"brain, 8 coils": (full.kspace, full.mask)}
    for path in sorted((data_root() / "single_coil_mri/hku").glob("*.npz")):
        with np.load(path) as file:
            for key in file.files:
                array = torch.from_numpy(file[key].astype(np.complex64))
                if array.ndim == 3:
                    kspace = array[1:2, None]
                    scans[f"{path.stem} {key}"] = (
                        kspace,
                        torch.ones(1, 1, *kspace.shape[2:], dtype=torch.bool),
                    )
    for name, (kspace, mask) in scans.items():
        found = estimate_noise(kspace, mask)
        image = torch.fft.fftshift(
            torch.fft.ifftn(torch.fft.ifftshift(kspace, (-2, -1)), dim=(-2, -1), norm="ortho"),
            (-2, -1),
        )
        corners = torch.cat(
            [
                image[..., a, b].flatten(1)
                for a in (slice(4, 16), slice(-16, -4))
                for b in (slice(4, 16), slice(-16, -4))
            ],
            1,
        )
        print(
            f"{name}: σ {float(found.sigma):.4g} ± {float(found.uncertainty):.0%}, outer k-space "
            f"{float(outer_noise(kspace[0], mask[0, 0], 0)[1]):.4g}, corners of the image "
            f"{float(corners.abs().square().mean().sqrt()):.4g}"
        )


if __name__ == "__main__":
    main()
