"""What adaptation to undersampled scans gains on others of their kind, which it did not see.

    MOLRECON_DATA=… python benchmarks/adapt.py [MODEL …] [--scenes cine …]

cine: short-axis hearts, no model was trained on any; 96 × 96 pixels, 4 simulated coils, 4× variable
density, σ = 1 % of the peak, true maps. Four persons to adapt to, three others to judge, by PSNR
against the image without noise. cine-lines: the same at 3×, equispaced lines. low-field: 0.055 T
FSE, one coil, 2× variable density; two slices of each of three persons, judged on those of the
fourth. brain: the real 8-coil scan at 4× (ESPIRiT maps), three masks to adapt to and three others
to judge. The references of real scans hold their noise, which favours images that keep it;
"noise-free" is an estimate of the PSNR without it (`corrected`). Mean ± SD over what is judged; *
marks the image that the model returns.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

import molrecon
from common import brain, data_root, magnitude_psnr, summary
from molrecon import LearnedReconstructor, Scan
from molrecon.data.simulation import simulate_acquisition
from molrecon.data.simulation.retrospective import reference_image, undersample
from molrecon.operators.fourier import fft_centred
from molrecon.pipeline.measurements import ensure_coil_maps, estimated_noise, operator_of

OUTPUTS = ("fixed-point", "full-scan")


@dataclass(frozen=True)
class Judged:
    """A scan with what is known of the truth."""

    scan: Scan  # undersampled, with coil maps
    reference: Tensor
    full: Scan | None = None  # with its noise; None where the reference has none


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-strict"])
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--output", choices=OUTPUTS, help="image to adapt for; the model's own")
    parser.add_argument("--draws", type=int, default=4, help="of the noise; 0 for no noise-free")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.scenes:
        scans, judged = SCENES[name]()
        for model in arguments.models:
            start = molrecon.load(model)
            start.output = arguments.output or start.output
            before = figures(start, judged, arguments.draws)
            for seed in arguments.seeds:
                found = molrecon.adapt(
                    scans,
                    model,
                    steps=arguments.steps,
                    learning_rate=arguments.rate,
                    time_limit=3600,
                    output=arguments.output,
                    seed=seed,
                )
                after = figures(found.model, judged, arguments.draws)
                bound = molrecon.certified_bound(found.model.network)
                print(
                    f"{name}, {model}, seed {seed}: {found.steps} steps, best {found.best_step}, "
                    f"{found.seconds:.0f} s, samples held out {found.gain:+.2f} dB, "
                    f"certified {found.certified}, Lip(H) ≤ {bound:.4f}"
                )
                for key, values in after.items():
                    gains = [b - a for a, b in zip(before[key], values, strict=True)]
                    print(
                        f"  {key:28s} {summary(before[key])} → {summary(values)}, "
                        f"{summary(gains)} dB",
                        flush=True,
                    )


def figures(
    model: LearnedReconstructor, judged: list[Judged], draws: int
) -> dict[str, list[float]]:
    """Return the figures of both images of a model; its own one is marked."""
    rows: dict[str, list[float]] = {}
    for one in judged:
        images = both(model, one, one.scan.kspace, one.scan.sigma)
        without_noise = corrected(model, one, draws) if draws and one.full is not None else {}
        for output, image in images.items():
            label = f"{output}{' *' if output == model.output else ''}"
            rows.setdefault(f"{label}, PSNR", []).append(magnitude_psnr(image, one.reference))
            if output in without_noise:
                rows.setdefault(f"{label}, noise-free", []).append(without_noise[output])
    return rows


def both(
    model: LearnedReconstructor, one: Judged, y: Tensor, sigma: float | None
) -> dict[str, Tensor]:
    """Return the image of every kind."""
    A = operator_of(one.scan)
    with torch.no_grad():
        x = model(y, A, sigma=sigma, output="fixed-point").value
        return {output: model.returned(x, A, y, output) for output in OUTPUTS}


def corrected(
    model: LearnedReconstructor, one: Judged, draws: int, *, eta: float = 0.5
) -> dict[str, float]:
    """Return the PSNR in dB of a real scan's images, without the noise of the full scan.

    They are made of y + ηn and compared with y − n/η where samples were measured and with y
    elsewhere, whose noise is independent of them and is subtracted.
    """
    assert one.full is not None
    full, mask, A = one.full, one.scan.mask, operator_of(one.scan)
    sigma = float(estimated_noise(full).sigma[0])
    total = dict.fromkeys(OUTPUTS, 0.0)
    for draw in range(draws):
        generator = torch.Generator().manual_seed(draw)
        noise = torch.randn(full.kspace.shape, generator=generator, dtype=full.kspace.dtype)
        noise = sigma * noise
        y = (full.kspace + eta * noise) * mask
        wanted = torch.where(mask, full.kspace - noise / eta, full.kspace)
        variance = torch.where(mask, sigma**2 * (1 + eta**-2), sigma**2)
        for output, image in both(model, one, y, sigma * (1 + eta**2) ** 0.5).items():
            error = (fft_centred(A.coil_maps * image, 2) - wanted).abs().square() - variance
            total[output] += float((error * full.mask).sum()) / draws
    energy = float(one.reference.abs().max() ** 2) * one.reference.numel()
    return {name: 10 * math.log10(energy / error) for name, error in total.items()}


def cine(
    kind: str = "variable-density", acceleration: float = 4
) -> tuple[list[Scan], list[Judged]]:
    """Hearts with simulated coils."""
    scans, judged = [], []
    for person in (1, 2, 3, 4, 9, 10, 11):
        with np.load(data_root() / f"cine/cardiac{person:02d}.npz") as archive:
            image = torch.from_numpy(archive["img"][0].astype(np.float32))[80:176, 80:176]
        one = simulate_acquisition(
            image / image.max(),
            coils=4,
            acceleration=acceleration,
            mask_kind=kind,
            calibration=16,
            sigma=0.01,
            seed=person,
        )
        scan = Scan(one.kspace, one.mask, coil_maps=one.coil_maps, sigma=0.01)
        if person < 9:
            scans.append(scan)
        else:
            judged.append(Judged(scan, one.image))
    return scans, judged


def low_field() -> tuple[list[Scan], list[Judged]]:
    """0.055 T, one coil."""
    scans, judged = [], []
    for number, person in enumerate(("F6A", "F6B", "F7A", "F7B")):
        with np.load(data_root() / f"single_coil_mri/hku/{person}_ksp.npz") as archive:
            kspace = torch.from_numpy(archive["FSE"])
        for place in (1, 2):
            full = Scan(kspace[place][None, None])
            scan = undersample(full, 2, calibration=16, seed=10 * number + place)
            if person == "F7B":
                judged.append(_judged(full, scan))
            else:
                scans.append(scan)
    return scans, judged


def brain_scan() -> tuple[list[Scan], list[Judged]]:
    """The real 8-coil scan through different masks."""
    full = brain()
    masks = [undersample(full, 4, seed=seed) for seed in (10, 11, 12, 0, 1, 2)]
    return masks[:3], [_judged(full, scan) for scan in masks[3:]]


def _judged(full: Scan, scan: Scan) -> Judged:
    scan = ensure_coil_maps(scan)
    if scan.coil_maps is None:
        scan = scan.with_coil_maps(torch.ones_like(scan.kspace))
    return Judged(scan, reference_image(full, scan), full)


SCENES: dict[str, Callable[[], tuple[list[Scan], list[Judged]]]] = {
    "cine": cine,
    "cine-lines": partial(cine, "equispaced", 3),
    "low-field": low_field,
    "brain": brain_scan,
}


if __name__ == "__main__":
    main()
