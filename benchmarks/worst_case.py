"""Can a certified bound be exceeded? And what does a worst-case error cost each method?

    MOLRECON_DATA=… python benchmarks/worst_case.py [--trials 1000] [--part 1/4] [--only PART]
        [--rivals NAME|FILE …] [--variants]

Part "bound": attacks on simulated scans (random crops of the sample image, 48 × 48, 4 coils, 2× to
6×, noise 0.1 to 4 % of the peak), every trial with ε = 1, 2, 5 or 20 %; counts the trials in which
the exact solutions move further than proved, and the largest measured gain as a share of the bound.
Part "loss": the real 8-coil scan at 4×, ε = 2 %: PSNR of the image, under a worst-case and under a
Gaussian error of the measurements; with ``--variants`` also of the strict model with another weight
of the data or another m, nothing retrained.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from common import brain
from molrecon import MOL, load
from molrecon.data.sample_image import sample_image
from molrecon.data.simulation import simulate_acquisition
from molrecon.evaluation.attack import (
    AttackEffort,
    Target,
    attack,
    gaussian,
    perturbed,
    worst_case,
)
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.methods import named_method

EPSILONS = (0.01, 0.02, 0.05, 0.2)
SIZE, COILS, BATCH = 48, 4, 20
TOL = 1e-4
CERTIFIED = ("brain2d-sn", "brain2d-strict", "sense")
MODELS = ("brain2d-lr", "brain2d-sn", "brain2d-strict")


def scans(number: int) -> tuple[Tensor, CartesianMRI, Tensor]:
    """A batch of simulated scans: measurements, operator and noise levels."""
    image = sample_image()
    parts = []
    for sample in range(BATCH):
        seed = BATCH * number + sample
        draw = torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()
        corner = [int(draw[k] * (image.shape[k] - 2 * SIZE)) for k in (0, 1)]
        crop = image[corner[0] : corner[0] + 2 * SIZE, corner[1] : corner[1] + 2 * SIZE]
        plane = torch.nn.functional.avg_pool2d(crop[None].real, 2)[0]
        sigma = 0.001 * 40 ** draw[2]
        scan = simulate_acquisition(
            plane / plane.max(),
            coils=COILS,
            acceleration=2 + 4 * draw[3],
            mask_kind="variable-density",
            calibration=10,
            sigma=sigma,
            seed=seed,
        )
        parts.append((scan.kspace, scan.coil_maps, scan.mask, torch.tensor([sigma])))
    y, maps, masks, sigmas = (torch.cat(column) for column in zip(*parts, strict=True))
    return y, CartesianMRI(maps, masks), sigmas


def trials(name: str, number: int, epsilon: float, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Worst share of the bound, its uncertainty, and violations, of every scan of a batch."""
    y, A, sigma = scans(number)
    target = Target.of(named_method(name), y, A, sigma)
    with torch.no_grad():
        clean = target.reconstruct(y, tol=TOL)
    assert clean.certified
    assert clean.robustness is not None
    bound = clean.robustness
    delta = worst_case(target, clean, epsilon, restarts=1, steps=steps, seed=number)
    found = [
        perturbed(target, clean, one, tol=TOL) for one in (delta, gaussian(target, epsilon, number))
    ]
    share = torch.stack([one.gain / bound for one in found]).amax(0)
    error = found[0].gain_error / bound
    return share, error, torch.stack([one.exceeds(bound) for one in found]).any(0)


def bound_part(total: int, steps: int, part: tuple[int, int]) -> None:
    kinds = [(name, epsilon) for epsilon in EPSILONS for name in CERTIFIED]
    jobs = [(*kinds[k % len(kinds)], k) for k in range(-(-total // BATCH))]
    shares: dict[str, list[float]] = {name: [] for name in CERTIFIED}
    violations = done = 0
    largest_error = 0.0
    started = time.perf_counter()
    for name, epsilon, number in jobs[part[0] - 1 :: part[1]]:
        share, error, exceeded = trials(name, number, epsilon, steps)
        done += BATCH
        violations += int(exceeded.sum())
        shares[name] += share.tolist()
        largest_error = max(largest_error, float(error.max()))
        print(
            f"  {done:5d} trials, {time.perf_counter() - started:5.0f} s: {name:10s} "
            f"ε = {100 * epsilon:4.1f} %: {100 * float(share.mean()):5.1f} % of the bound on "
            f"average, {100 * float(share.max()):5.1f} % at most",
            flush=True,
        )
    print(f"{violations} violations in {done} trials; solver errors up to ", end="")
    print(f"{100 * largest_error:.2g} % of the bound")
    for name, values in shares.items():
        if values:
            mean = math.fsum(values) / len(values)
            print(f"  {name}: largest gain {100 * max(values):.1f} % of the bound, ", end="")
            print(f"mean {100 * mean:.1f} %, {len(values)} trials")


def variant(lam: float = 1.0, gain: float = 0.98) -> Reconstructor:
    """The strict model with its λ multiplied and its bound 1 − m replaced."""
    model = load("brain2d-strict")
    assert isinstance(model, MOL)
    with torch.no_grad():
        model.weight.log_lam0 += math.log(lam)
    model.network.lipschitz, model.monotonicity = gain, 1 - gain
    model.model = f"{lam:g} λ, m = {1 - gain:.2g}"
    return model


def methods(rivals: list[str], variants: bool) -> Iterator[Reconstructor]:
    yield from map(named_method, MODELS)
    if variants:
        yield from (variant(gain=0.9), variant(gain=0.8), variant(lam=0.3), variant(lam=0.1))
    for rival in rivals:
        if rival.endswith(".safetensors") and not Path(rival).is_file():
            print(f"  {rival}: not there, left out")
        else:
            yield named_method(rival)
    yield named_method("sense")


def loss_part(
    rivals: list[str], epsilon: float, steps: int, part: tuple[int, int], variants: bool
) -> None:
    scan = retrospective_problem(brain(), 4, mask_kind="variable-density", calibration=24, seed=0)
    print(f"real 8-coil scan at 4×, ε = {100 * epsilon:g} %: PSNR in dB (loss), gain")
    effort = AttackEffort(restarts=1, steps=steps, draws=2)
    for method in list(methods(rivals, variants))[part[0] - 1 :: part[1]]:
        started = time.perf_counter()
        one = attack(method, scan.y, scan.A, [epsilon], reference=scan.reference, effort=effort)
        (point,) = one.points
        assert point.worst is not None
        assert one.psnr is not None
        bound = "none" if one.bound is None else f"{one.bound:.2f}"
        basis = "" if one.bound is None else " certified" if one.certified else " conditional"
        print(
            f"  {one.name:14s} {one.psnr:6.2f} → worst {point.worst.psnr:6.2f} "
            f"({point.worst.psnr - one.psnr:+.2f}), Gaussian {point.gaussian.psnr:6.2f} "
            f"({point.gaussian.psnr - one.psnr:+.2f}); gain {point.worst.gain:.2f} ± "
            f"{point.worst.gain_error:.2f}, Gaussian {point.gaussian.gain:.2f}, bound {bound}"
            f"{basis}; {time.perf_counter() - started:.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=8, help="of the ascent")
    parser.add_argument("--epsilon", type=float, default=0.02, help='of the part "loss"')
    parser.add_argument("--part", default="1/1", help="the k-th of n shares of the work, k/n")
    parser.add_argument("--only", choices=["bound", "loss"])
    parser.add_argument("--rivals", nargs="*", default=[], help="models or weights files")
    parser.add_argument("--variants", action="store_true", help="of the strict model")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    first, last = map(int, arguments.part.split("/"))
    if arguments.only != "loss":
        bound_part(arguments.trials, arguments.steps, (first, last))
    if arguments.only != "bound":
        loss_part(
            arguments.rivals,
            arguments.epsilon,
            arguments.steps,
            (first, last),
            arguments.variants,
        )


if __name__ == "__main__":
    main()
