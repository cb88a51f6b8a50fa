"""What do the steps from raw data to the input of a method bring?

    python benchmarks/raw_data.py [--seeds 2] [--size 96] [--method sense]

Simulated scans of a head with known noise are reconstructed with and without each step. Printed
are means over seeds of the PSNR in dB of magnitudes, the scale fitted:

* coil compression: the share of the energy that is lost, and the PSNR, against the virtual coils;
* partial Fourier: one side left out, completed by the conjugate or taken as zero;
* coils of unequal, correlated noise, prewhitened by a noise scan or not; and one loud coil without
  a noise scan, divided by its noise or not. Coil maps are known here, and the image gets their
  intensity: those of weighted coils have another, which would be taken for an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from molrecon import Preparation, Scan, reconstruct, simulate_acquisition
from molrecon.data.masks.partial_fourier import partial_fourier
from molrecon.data.resampling import fourier_resample
from molrecon.data.sample_image import sample_image

SIGMA = 0.01
NOISE_SAMPLES = 4000

Row = tuple[float, ...]


def fitted_psnr(image: Tensor, truth: Tensor) -> float:
    """PSNR of magnitudes in dB, the scale of the image fitted."""
    a, b = image.abs().flatten().double(), truth.abs().flatten().double()
    a = a * (a @ b) / (a @ a)
    return float(10 * torch.log10(b.max() ** 2 / (a - b).square().mean()))


def head(size: int) -> Tensor:
    """The image, of peak 1."""
    image = fourier_resample(sample_image(), (size, size)).clamp_min(0)
    return image / image.max()


def measured(
    size: int,
    seed: int,
    *,
    coils: int = 8,
    acceleration: float = 3,
    mask_kind: str = "variable-density",
    sigma: float = SIGMA,
    maps: bool = False,
) -> tuple[Scan, Tensor]:
    """A scan and its image."""
    made = simulate_acquisition(
        head(size),
        coils=coils,
        acceleration=acceleration,
        mask_kind=mask_kind,
        calibration=20,
        sigma=sigma,
        seed=seed,
    )
    return Scan(made.kspace, made.mask, made.coil_maps if maps else None), made.image


def compression(size: int, seed: int, method: str, coils: int, kind: str) -> Row:
    """Share of the energy lost in %, and the PSNR, of 24 coils made so many."""
    scan, truth = measured(size, seed, coils=24, mask_kind="equispaced")
    prepared = Preparation(coils=coils, compression=kind)
    found = reconstruct(scan, method, preparation=prepared, sigma=SIGMA, device="cpu")
    (step,) = (one for one in found.steps if one.name == "coil compression")
    return 100 * step.error, fitted_psnr(found.image, truth)


def half_fourier(size: int, seed: int, method: str, share: float) -> Row:
    """PSNR with zeros on the side that was left out, and with it completed."""
    scan, truth = measured(size, seed, acceleration=2)
    mask = partial_fourier(scan.mask, share, axis=-2, low_end=True)
    scan = Scan(scan.kspace * mask, mask)
    return with_and_without(
        scan, truth, method, lambda on: Preparation(partial_fourier=on), sigma=SIGMA
    )


def unequal(size: int, seed: int, method: str, spread: float) -> Row:
    """PSNR of coils of unequal, correlated noise, as they are and prewhitened.

    Their levels lie evenly between 1 and ``spread`` on a logarithmic scale, their mean square is
    that of the other tables, and neighbours are correlated by a half.
    """
    scan, truth = measured(size, seed, sigma=1e-6, maps=True)
    coils = scan.kspace.shape[1]
    generator = torch.Generator().manual_seed(seed)
    levels = spread ** torch.linspace(0, 1, coils)[torch.randperm(coils, generator=generator)]
    levels = levels / levels.square().mean().sqrt()
    place = torch.arange(coils)
    mixing = torch.linalg.cholesky(0.5 ** (place[:, None] - place).abs().float())
    mixing = (SIGMA * levels[:, None] * mixing).to(torch.complex64)

    def noise(*shape: int) -> Tensor:
        drawn = torch.randn(coils, *shape, dtype=torch.complex64, generator=generator)
        return torch.tensordot(mixing, drawn, dims=1)

    kspace = scan.kspace + noise(*scan.kspace.shape[2:]) * scan.mask
    scan = replace(scan, kspace=kspace, noise=noise(NOISE_SAMPLES))
    return with_and_without(scan, truth, method, lambda on: Preparation(whiten=on))


def loud(size: int, seed: int, method: str, factor: float) -> Row:
    """PSNR with so many times the noise in one coil, as it is and divided by it."""
    scan, truth = measured(size, seed, maps=True)
    generator = torch.Generator().manual_seed(seed)
    extra = torch.randn(scan.kspace.shape[2:], dtype=torch.complex64, generator=generator)
    kspace = scan.kspace.clone()
    kspace[0, 2] += SIGMA * (factor**2 - 1) ** 0.5 * extra * scan.mask[0, 0]
    scan = replace(scan, kspace=kspace)
    return with_and_without(scan, truth, method, lambda on: Preparation(correct=on))


def with_and_without(
    scan: Scan,
    truth: Tensor,
    method: str,
    prepared: Callable[[bool], Preparation],
    sigma: float | None = None,
) -> Row:
    """PSNR without a step, and with it."""
    options: dict[str, Any] = {"sigma": sigma, "device": "cpu", "intensity": True, "force": True}
    return tuple(
        fitted_psnr(reconstruct(scan, method, preparation=prepared(on), **options).image, truth)
        for on in (False, True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--method", default="sense")
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    def show(text: str, measure: Callable[..., Row], *what: object) -> None:
        rows = [measure(chosen.size, seed, chosen.method, *what) for seed in range(chosen.seeds)]
        means = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        print(f"{text:44s}" + "".join(f"{one:10.2f}" for one in means), flush=True)

    print(f"{'coil compression':44s}{'lost, %':>10s}{'PSNR, dB':>10s}")
    for kind in ("geometric", "svd"):
        for coils in (24, 12, 8, 6, 4):
            show(f"24 coils made {coils}, {kind}", compression, coils, kind)
    print(f"{'partial Fourier':44s}{'zeros':>10s}{'completed':>10s}")
    for share in (0.875, 0.75, 0.625):
        show(f"{share:.1%} of k-space along y", half_fourier, share)
    print(f"{'noise of the coils':44s}{'as it is':>10s}{'corrected':>10s}")
    for spread in (1.0, 3.0, 10.0):
        show(f"correlated, unequal up to {spread:g}×, noise scan", unequal, spread)
    for factor in (6.0, 30.0):
        show(f"one coil with {factor:g} times the noise", loud, factor)


if __name__ == "__main__":
    main()
