"""Radial and spiral scans: PSNR of learned and other methods, norm bounds, time of AᴴA.

    MOLRECON_DATA=… python benchmarks/radial.py images [MODEL …] --kinds radial spiral --size 256
    … python benchmarks/radial.py norm
    … python benchmarks/radial.py speed
    … python benchmarks/radial.py scan --model brain2d-sn --picture scan.png
    … python benchmarks/radial.py cine [MODEL_2DT …] --flat brain2d-sn --spokes 16

images: three contrasts (T1w, T2w, FLAIR) of a person that no model was trained on, 8 simulated
coils, 10× (of 256 pixels, 40 of 402 spokes), σ = 1 % of the peak; true maps and σ, seeds are fixed,
the reference is the image without noise; PSNR of magnitudes, mean ± standard deviation.
SENSE is conjugate gradients on the normal equations without regularisation, stopped after the
number of steps that is best for each image (oracle); TV and L1-wavelet have the best weight of a
grid of factors of two. norm: the bound over the largest singular value of the dense matrix, with
and without weights. speed: AᴴA over that of Cartesian sampling, 256², 8 coils. scan: a measured
scan, proved to 1e-3.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import molrecon
from common import data_root, magnitude_psnr, oracle_image, summary
from dynamic import MAPS
from model_pictures import save_small
from molrecon import (
    SENSE,
    CartesianMRI,
    NonCartesianMRI,
    TotalVariation,
    add_noise,
    make_trajectory,
    psnr,
    radial_trajectory,
    ssim,
)
from molrecon.data.simulation import simulate_coil_maps, simulate_phase
from molrecon.data.simulation.cine_mri import CineMRISimulation
from molrecon.data.simulation.measured_maps import read_measured_maps, resized_maps
from molrecon.evaluation.figure import Shown, methods_figure, save_figure
from noise_levels import CONTRASTS, RIVALS, held_out_slice, rival
from pictures import profiles

STEPS = 60
"""Steps of conjugate gradients among which the oracle chooses."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    tasks = parser.add_subparsers(required=True)
    images = tasks.add_parser("images")
    images.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-guided"])
    images.add_argument("--kinds", nargs="+", default=["radial", "spiral"])
    images.add_argument("--size", type=int, default=256)
    images.add_argument("--acceleration", type=float, default=10)
    images.add_argument("--sigma", type=float, default=0.01)
    images.add_argument("--contrasts", nargs="+", default=CONTRASTS)
    images.add_argument("--rivals", nargs="*", choices=tuple(RIVALS), default=["tv"])
    images.add_argument("--factors", type=float, nargs="+", default=[1.0], help="on y, A and sigma")
    images.add_argument("--picture", type=Path, help="folder of one picture per image")
    images.set_defaults(run=compare_images)
    tasks.add_parser("norm").set_defaults(run=norm_bounds)
    tasks.add_parser("speed").set_defaults(run=speed)
    scan = tasks.add_parser("scan")
    scan.add_argument("--model", default="brain2d-sn")
    scan.add_argument("--picture", type=Path)
    scan.set_defaults(run=measured_scan)
    cine = tasks.add_parser("cine")
    cine.add_argument("models", nargs="*", help="of series, names or weights files")
    cine.add_argument("--flat", nargs="*", default=["brain2d-sn"], help="models of frames")
    cine.add_argument("--persons", nargs="+", default=["cardiac10", "cardiac11"])
    cine.add_argument("--spokes", type=int, default=16)
    cine.add_argument("--sigma", type=float, default=0.01)
    cine.add_argument("--frames", type=int, default=12)
    cine.add_argument("--size", type=int, default=128)
    cine.add_argument("--latency", type=float, help="soft limit of a solve, in seconds")
    cine.add_argument("--without-tv", action="store_true")
    cine.add_argument("--out", type=Path, default=Path("out/radial"))
    cine.set_defaults(run=compare_cine)
    for one in tasks.choices.values():
        one.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.no_grad():
        arguments.run(arguments)


def compare_images(arguments: argparse.Namespace) -> None:
    """Print the PSNR of every method, mean ± standard deviation of the contrasts."""
    models = {Path(name).stem: molrecon.load(name) for name in arguments.models}
    for kind in arguments.kinds:
        rows: dict[str, list[float]] = {}
        for contrast in arguments.contrasts:
            image, A, y = simulated(contrast, kind, arguments)
            found = {f"SENSE, best of {STEPS} steps": stopped_early(y, A, image)}
            for name in arguments.rivals:
                found[f"{name}, oracle weight"] = rival(name, y, A, image, arguments.sigma)
            for name, model in models.items():
                for factor in arguments.factors:
                    label = name if factor == 1 else f"{name}, y, A and σ times {factor:g}"
                    scaled = factor * A if factor != 1 else A
                    started = time.perf_counter()
                    solved = model(factor * y, scaled, sigma=factor * arguments.sigma, tol=1e-3)
                    found[label] = solved.value
                    print(
                        f"  {kind} {contrast} {label}: {time.perf_counter() - started:.1f} s, "
                        f"{solved.network_evaluations} network and {solved.normal_evaluations} "
                        f"operator evaluations, bound {float(solved.error_bound):.1e}, proved "
                        f"{bool(solved.guarantee.proved)}",
                        flush=True,
                    )
            for name, one in found.items():
                rows.setdefault(name, []).append(magnitude_psnr(one, image))
                print(f"  {kind} {contrast} {name}: {rows[name][-1]:.2f} dB", flush=True)
            if arguments.picture:
                title = f"{contrast}, {kind}, {arguments.acceleration:g}×"
                methods_picture(found, image, arguments.picture, title)
        print(f"{kind}, {arguments.acceleration:g}×, σ = {arguments.sigma:g}: PSNR / dB")
        for name, values in rows.items():
            print(f"  {name:36s} {summary(values)}", flush=True)


def simulated(
    contrast: str, kind: str, arguments: argparse.Namespace
) -> tuple[Tensor, NonCartesianMRI, Tensor]:
    """Return a slice of the held-out person, peak 1, its operator and its samples."""
    shape = (arguments.size, arguments.size)
    generator = torch.Generator().manual_seed(CONTRASTS.index(contrast))
    phase = simulate_phase(shape, generator=generator)
    image = (held_out_slice(contrast, arguments.size) * phase)[None, None]
    image = image.reshape(1, 1, *shape).to(torch.complex64)
    maps = simulate_coil_maps(shape, 8, generator=generator)[None]
    A = NonCartesianMRI(maps, make_trajectory(kind, shape, arguments.acceleration))
    return image, A, add_noise(A(image), arguments.sigma, generator=generator)


def stopped_early(y: Tensor, A: NonCartesianMRI, reference: Tensor) -> Tensor:
    """Return the best iterate of conjugate gradients for ``AᴴAx = Aᴴy``."""
    x = torch.zeros_like(reference)
    residual = A.H(y)
    direction, square = residual, residual.abs().square().sum()
    best, score = x, -torch.inf
    for _ in range(STEPS):
        product = A.normal(direction)
        step = square / torch.vdot(direction.flatten(), product.flatten()).real
        x, residual = x + step * direction, residual - step * product
        before, square = square, residual.abs().square().sum()
        direction = residual + square / before * direction
        if (found := magnitude_psnr(x, reference)) > score:
            best, score = x, found
    return best


def norm_bounds(arguments: argparse.Namespace) -> None:
    """Print bound over norm of small operators, with and without density weights."""
    shape, worst = (24, 24), 1.0
    maps = simulate_coil_maps(shape, 4, generator=torch.Generator().manual_seed(0))[None]
    for kind in ("radial", "golden-angle", "spiral"):
        for acceleration in (1, 3):
            places = make_trajectory(kind, shape, acceleration)
            radius = places.norm(dim=-1)
            for label, weights in {"": None, ", weights |k|": radius.clamp_min(0.25)}.items():
                A = NonCartesianMRI(maps.to(torch.complex128), places, weights)
                basis = torch.eye(A.shape_in[1] ** 2, dtype=A.dtype).reshape(-1, *A.shape_in)
                matrix = A.normal(basis).flatten(1)
                exact = float(torch.linalg.eigvalsh((matrix + matrix.mH) / 2)[-1]) ** 0.5
                ratio = float(A.norm_bound) / exact
                worst = max(worst, ratio)
                print(f"{kind}, {acceleration}×{label}: bound / norm = {ratio:.6f}", flush=True)
    print(f"worst: {worst:.6f}")


def speed(arguments: argparse.Namespace) -> None:
    """Print the processor time of AᴴA, radial and Cartesian, the median of 31, and the ratio."""
    shape = (256, 256)
    maps = simulate_coil_maps(shape, 8, generator=torch.Generator().manual_seed(0))[None]
    mask = torch.ones(1, 1, *shape, dtype=torch.bool)
    operators = {
        "radial": NonCartesianMRI(maps, make_trajectory("radial", shape, 10)),
        "Cartesian": CartesianMRI(maps, mask),
    }
    x = torch.randn(1, 1, *shape, dtype=torch.complex64)
    times: dict[str, list[float]] = {name: [] for name in operators}
    for _ in range(32):
        for name, A in operators.items():
            started = time.process_time()
            A.normal(x)
            times[name].append(time.process_time() - started)
    for name, values in times.items():
        print(f"{name}: {1000 * statistics.median(values[1:]):.1f} ms")
    radial, cartesian = (values[1:] for values in times.values())
    # Of neighbouring calls, which a busy machine slows down alike.
    ratio = statistics.median(a / b for a, b in zip(radial, cartesian, strict=True))
    print(f"radial / Cartesian: {ratio:.2f}")


def measured_scan(arguments: argparse.Namespace) -> None:
    """Reconstruct the measured single-coil radial scan by the pipeline."""
    folder = data_root() / "raw_formats"
    scan = molrecon.read_samples(folder / "radial_ksp.npy", trajectory=folder / "radial_coord.npy")
    found = molrecon.reconstruct(scan, model=arguments.model)
    print(found)
    if arguments.picture:
        shown = {arguments.model: found.image, "zero-filled": scan_gridded(scan)}
        scan_picture(shown, arguments.picture)


def compare_cine(arguments: argparse.Namespace) -> None:
    """Print what every method makes of series of frames, and draw their x–t profiles."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    for person in arguments.persons:
        truth, scan = simulated_cine(data_root() / "cine" / f"{person}.npz", arguments)
        y, A = scan.kspace, scan.operator()
        print(f"{person}: {scan}, σ = {arguments.sigma:g}", flush=True)
        print(f"  {'':28s} PSNR, series   PSNR, frames   SSIM, frames", flush=True)
        images: dict[str, Tensor] = {}

        def show(
            name: str, image: Tensor, images: dict[str, Tensor] = images, truth: Tensor = truth
        ) -> None:
            images[name] = image
            whole, frames = psnr(image, truth, over="volume").value, psnr(image, truth).value
            similarity = ssim(image, truth).value
            print(f"  {name:28s} {whole:12.2f} {frames:14.2f} {similarity:14.3f}", flush=True)

        for name in [*arguments.flat, *arguments.models]:
            model = molrecon.load(name)
            found = molrecon.reconstruct(scan, model, device="cpu", latency=arguments.latency)
            show(Path(name).stem, found.image)
            bound, solved = found.facts()["error_bound"], found.solutions
            evaluations = [one.network_evaluations for one in solved]
            print(
                f"    {found.seconds:.1f} s, {evaluations} evaluations, largest bound {bound:.1e}, "
                f"proved {all(bool(one.guarantee.proved) for one in solved)}",
                flush=True,
            )
        show("SENSE, oracle", oracle_image(lambda w, y=y, A=A: SENSE(w)(y, A).value, truth, 10.0))
        if not arguments.without_tv:
            tv = {"sigma": arguments.sigma, "raise_on_failure": False}
            show(
                "temporal TV, oracle",
                oracle_image(
                    lambda w, y=y, A=A, tv=tv: (
                        TotalVariation(w, difference_axes=(0,))(y, A, **tv).value
                    ),
                    truth,
                    5e-3,
                ),
            )
        title = f"{person}, {arguments.spokes} golden-angle spokes a frame"
        profiles(images, truth, arguments.out / f"{person}-{arguments.spokes}.png", title)


def simulated_cine(
    source: Path, arguments: argparse.Namespace
) -> tuple[Tensor, molrecon.NonCartesianScan]:
    """Return a series of a person, peak 1, and its scan: golden-angle spokes, true maps and σ."""
    frames, shape = arguments.frames, (arguments.size, arguments.size)
    (series,) = CineMRISimulation().held_out([source], 1, (frames, *shape))
    generator = torch.Generator().manual_seed(0)
    image = (series * simulate_phase(shape, generator=generator))[None, None]
    image = (image / image.abs().max()).to(torch.complex64)
    maps = resized_maps(read_measured_maps(str(data_root() / MAPS)), shape)[None, :, None]
    spokes = radial_trajectory(shape, frames * arguments.spokes, golden=True)
    places = spokes.unflatten(0, (frames, arguments.spokes))
    y = add_noise(NonCartesianMRI(maps, places)(image), arguments.sigma, generator=generator)
    known = {"coil_maps": maps, "sigma": arguments.sigma}
    return image, molrecon.NonCartesianScan(y, places, (frames, *shape), **known)


def scan_gridded(scan: molrecon.NonCartesianScan) -> Tensor:
    """Return the gridded image, its density compensated."""
    maps = torch.ones(1, 1, *scan.shape, dtype=torch.complex64)
    return NonCartesianMRI(maps, scan.trajectory).zero_filled(scan.kspace)


def methods_picture(found: dict[str, Tensor], reference: Tensor, folder: Path, title: str) -> None:
    """Draw what every method computes, its error and a part of it, enlarged."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [
        Shown(name.partition(",")[0], one[0, 0], f"{magnitude_psnr(one, reference):.1f} dB")
        for name, one in found.items()
    ]
    target = folder / f"{title.replace(', ', '-').removesuffix('×')}.png"
    save_figure(methods_figure(reference[0, 0], shown, title=title), target, dots_per_inch=100)
    save_small(target, target)
    print(f"wrote {target}")


def scan_picture(images: dict[str, Tensor], path: Path) -> None:
    """Draw magnitudes side by side, each in a window of its own."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(images), figsize=(3 * len(images), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (name, one) in zip(axes[0], images.items(), strict=True):
        magnitude = one[0, 0].abs().numpy()
        axis.imshow(magnitude, cmap="gray", vmin=0, vmax=np.quantile(magnitude, 0.998))
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    figure.savefig(path, dpi=100)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
