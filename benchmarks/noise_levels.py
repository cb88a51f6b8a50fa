"""PSNR, SSIM and detail against the noise-free image, beside TV and L1-wavelet with oracle weights.

    MOLRECON_DATA=… python benchmarks/noise_levels.py [MODEL …] --cache oracles.json
    … --accelerations 2 6 8 --kinds variable-density equispaced --levels 1e-2
    … --sizes 64 96 128 --levels 1e-4 7e-4 --noise estimated

Three contrasts (T1w, T2w, FLAIR) of a person that no model was trained on, 8 simulated coils, by
default 256², 4× and σ = 2e-4, 2e-3, 1e-2 and 4e-2 of the image peak. Maps are the true ones; models
are told σ, or find it in the scan (``--noise estimated``). The reference is the image without
noise; PSNR (mean ± standard deviation of the contrasts) and SSIM of magnitudes, range = the
reference's maximum. Detail is the contrast of small structures that is kept, 1 for all
(`detail_contrast`). Every model has two rows: what it computes, and that completed to a full scan
with the noise of the measured samples. A rival has for every image the weight that is best by PSNR,
on a grid of factors of two that is extended until its maximum is inside, and with ``--self-tuned``
the one that it finds itself, told σ. Their values go to the cache, because they take minutes.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import molrecon
from common import data_root, magnitude_psnr, oracle_image, remembered, summary
from molrecon import L1Wavelet, LearnedReconstructor, LinearOperator, TotalVariation
from molrecon.data.simulation import Acquisition, simulate_acquisition
from molrecon.data.simulation.coil_mri import fitted
from molrecon.evaluation.detail import detail_contrast
from molrecon.evaluation.figure import Shown, methods_figure, save_figure
from molrecon.evaluation.metrics import ssim

PERSON = "F7B"
LEVELS = (2e-4, 2e-3, 1e-2, 4e-2)
CONTRASTS = ("T1w", "T2w", "FLAIR")
RIVALS = {"tv": TotalVariation, "l1-wavelet": L1Wavelet}
SLICE = 2

Figures = tuple[float, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-strict"])
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS)
    parser.add_argument("--kinds", nargs="+", default=["variable-density"])
    parser.add_argument("--accelerations", type=float, nargs="+", default=[4.0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--noise", choices=("known", "estimated"), default="known")
    parser.add_argument("--rivals", nargs="*", choices=tuple(RIVALS), default=tuple(RIVALS))
    parser.add_argument("--self-tuned", action="store_true", help="rivals find weights themselves")
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the values of the rivals")
    parser.add_argument("--contrasts", nargs="+", choices=CONTRASTS, default=CONTRASTS)
    parser.add_argument("--pictures", type=Path, help="folder for one picture per scan")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {Path(name).stem: molrecon.load(name) for name in arguments.models}
    for size, kind, acceleration, sigma in product(
        arguments.sizes, arguments.kinds, arguments.accelerations, arguments.levels
    ):
        title = f"{size}², {kind}, {acceleration:g}×, σ = {sigma:g}"
        print(f"{title}: PSNR / dB, SSIM, detail")
        rows: dict[str, list[Figures]] = {}
        for contrast in arguments.contrasts:
            scan = simulated(contrast, sigma, acceleration, kind, size)
            images = learned(models, scan, sigma if arguments.noise == "known" else None)
            key = f"{contrast}-{sigma:g}-{acceleration:g}-{kind}"
            key += f"-{size}" if size != 256 else ""
            for name, image in images.items():
                rows.setdefault(name, []).append(figures(image, scan.image))
            for name, tuned in product(arguments.rivals, (False, True)[: 1 + arguments.self_tuned]):
                label = f"{name}, {'self-tuned' if tuned else 'oracle weight'}"
                cached = f"self-{name}-{key}" if tuned else f"{name}-{key}"
                image = partial(rival, name, scan.y, scan.A, scan.image, sigma, tuned)
                if arguments.pictures and not tuned:
                    images[label] = image()
                values = remembered(
                    arguments.cache, cached, lambda image=image: figures(image(), scan.image)
                )
                rows.setdefault(label, []).append(values)
            if arguments.pictures:
                picture(images, scan, arguments.pictures / f"{key}.png", f"{contrast}, {title}")
        for name, each in rows.items():
            ratios, similarity, detail = zip(*each, strict=True)
            means = (sum(values) / len(values) for values in (similarity, detail))
            print(f"  {name:32s} {summary(ratios)}  {{:.3f}}  {{:.3f}}".format(*means), flush=True)


def learned(
    models: dict[str, LearnedReconstructor], scan: Acquisition, sigma: float | None
) -> dict[str, Tensor]:
    """Return both images of every model."""
    images = {}
    for name, model in models.items():
        with torch.no_grad():
            x = model(scan.y, scan.A, sigma=sigma, output="fixed-point").value
        images[f"{name}, fixed point"] = x
        images[f"{name}, full scan"] = model.returned(x, scan.A, scan.y, "full-scan")
    return images


def held_out_slice(contrast: str, size: int, person: str = PERSON) -> Tensor:
    """A slice of a person, by default the held-out one, real ``(size, size)``, its peak 1."""
    with np.load(data_root() / f"brain_slices_3t/{person}_3T_img_u16_scale2.npz") as archive:
        image = torch.from_numpy(archive[contrast][SLICE].astype(np.float32))
    image = fitted(image / image.max(), (size, size)).clamp_min(0)
    return image / image.max()


def simulated(
    contrast: str,
    sigma: float,
    acceleration: float,
    kind: str,
    size: int,
    person: str = PERSON,
    coils: int = 8,
) -> Acquisition:
    """Measure a slice of a person, by default the held-out one."""
    return simulate_acquisition(
        held_out_slice(contrast, size, person),
        coils=coils,
        acceleration=acceleration,
        mask_kind=kind,
        calibration=min(24, size // 4),
        sigma=sigma,
        seed=CONTRASTS.index(contrast),
    )


def figures(image: Tensor, reference: Tensor) -> Figures:
    """PSNR and SSIM of magnitudes, and the contrast of details."""
    detail = float(detail_contrast(image, reference))
    return magnitude_psnr(image, reference), ssim(image, reference).value, detail


def rival(
    name: str,
    y: Tensor,
    A: LinearOperator,
    reference: Tensor,
    sigma: float,
    self_tuned: bool = False,
) -> Tensor:
    """The image at the best weight by PSNR, or at the one that the method finds itself."""

    def image(weight: float | None) -> Tensor:
        method = RIVALS[name](weight)
        return method(y, A, sigma=sigma, raise_on_failure=False).value

    return image(None) if self_tuned else oracle_image(image, reference, 0.5 * sigma, 2.0)


def picture(images: dict[str, Tensor], scan: Acquisition, path: Path, title: str) -> None:
    """Draw what every method computes, its error and a part of it, enlarged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = []
    for name, image in images.items():
        if "full scan" not in name:
            ratio, similarity, detail = figures(image, scan.image)
            caption = f"{ratio:.2f} dB, SSIM {similarity:.3f}, detail {detail:.3f}"
            shown.append(Shown(name.removesuffix(", fixed point"), image[0, 0], caption))
    save_figure(methods_figure(scan.image[0, 0], shown, title=title), path)


if __name__ == "__main__":
    main()
