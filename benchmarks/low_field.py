"""0.055 T, one coil, fully sampled: noise removed from tissue, and small structures that are kept.

    MOLRECON_DATA=… python benchmarks/low_field.py [MODEL …]

A middle slice of every contrast of four persons, against the zero-filled image, which is what the
scanner shows and, fully sampled, SENSE up to a factor. Noise is the standard deviation over
replicas, median over tissue; contrast is that of Gaussian features added to the measurements, in
units of what was added. TV has the weight at which it removes as much noise as the first model.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import molrecon
from common import data_root
from molrecon import CartesianMRI, Reconstructor, TotalVariation, ZeroFilled, probe_lesions
from molrecon.trust.features import Tissue
from molrecon.trust.noise import noise_map

SLICE = 1


def main() -> None:
    """Print a row for every scan and method, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-guided"])
    parser.add_argument("--size", type=float, default=2.5, help="full width of features, pixels")
    parser.add_argument("--contrast", type=float, default=0.3)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--shifts", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0])
    parser.add_argument("--without-tv", action="store_true")
    parser.add_argument("--pictures", type=Path, help="folder for one .npz per scan")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {}
    for name, strength in product(arguments.models, arguments.strengths):
        label = f"{name}, strength {strength:g}" if strength != 1 else str(name)
        models[label] = molrecon.load(name).requires_grad_(False)
        models[label].strength = strength
    rows: dict[str, list[tuple[float, float, float]]] = {}
    print(f"features of {arguments.size:g} pixels, contrast {arguments.contrast:g}")
    print(f"{'scan':12s} {'σ/peak':>7s}  method: noise removed ×, contrast kept (lowest 5 %)")
    for name, y, A in scans():
        sigma = float(A.estimate_sigma(y))
        plain = ZeroFilled()(y, A).value
        noise = noise_of(ZeroFilled(), y, A, sigma, arguments.draws)
        images = {"zero-filled": plain}
        methods: dict[str, Reconstructor] = dict(models)
        if not arguments.without_tv:
            methods["TV, as much noise removed"] = matched_tv(
                next(iter(models.values())), y, A, sigma, arguments.draws
            )
        for method_name, method in methods.items():
            probe = probe_lesions(
                method, y, A, size=arguments.size, contrast=arguments.contrast, sigma=sigma,
                shifts=arguments.shifts,
            ).facts()  # fmt: skip
            less = noise / noise_of(method, y, A, sigma, arguments.draws)
            kept = (less, float(probe["recovery"]), float(probe["recovery_low"]))
            rows.setdefault(method_name, []).append(kept)
            share = sigma / float(plain.abs().max())
            print(
                f"{name:12s} {share:7.4f}  {method_name}: {less:.2f}, {kept[1]:.3f} ({kept[2]:.3f})"
            )
            images[method_name] = method(y, A, sigma=sigma, raise_on_failure=False).value
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            shown = {key: image[0, 0].abs().numpy() for key, image in images.items()}
            np.savez(arguments.pictures / f"{name.replace(' ', '-')}.npz", **shown)
    for method_name, values in rows.items():
        mean = torch.tensor(values)
        print(
            f"mean of {len(values)}, {method_name}: noise removed {mean[:, 0].mean():.2f} "
            f"(least {mean[:, 0].min():.2f}), contrast kept {mean[:, 1].mean():.3f} (least "
            f"{mean[:, 1].min():.3f})",
            flush=True,
        )


def scans() -> Iterator[tuple[str, Tensor, CartesianMRI]]:
    """Every person and contrast."""
    for path in sorted((data_root() / "single_coil_mri/hku").glob("*.npz")):
        with np.load(path) as file:
            for contrast in file.files:
                y = torch.from_numpy(file[contrast][SLICE].astype(np.complex64))[None, None]
                mask = torch.ones(1, 1, *y.shape[2:], dtype=torch.bool)
                yield f"{path.stem[:3]} {contrast}", y, CartesianMRI(torch.ones_like(y), mask)


def noise_of(method: Reconstructor, y: Tensor, A: CartesianMRI, sigma: float, draws: int) -> float:
    """Median standard deviation over tissue."""
    found = noise_map(method, y, A, sigma=sigma, count=draws)
    region = Tissue.of(ZeroFilled()(y, A).value, A.support).mask
    return float(found.std[region].median())


def matched_tv(
    method: Reconstructor, y: Tensor, A: CartesianMRI, sigma: float, draws: int
) -> TotalVariation:
    """TV with the weight that leaves as much noise as a method, within a step of 10^⅛."""
    wanted = noise_of(method, y, A, sigma, draws)
    for k in range(40):
        tv = TotalVariation(2e-3 * 10 ** (k / 8), change=1e-4, max_iterations=500)
        if noise_of(tv, y, A, sigma, draws) <= wanted:
            break
    return tv


if __name__ == "__main__":
    main()
