"""What a smaller proved gain costs: PSNR against it, clean and under attack.

    MOLRECON_DATA=… python benchmarks/robust.py [MODEL …] [--gains 1,0.7,0.5,…] [--epsilon 0.02]
        [--goal loss] [--rivals brain2d-modl brain2d-unet] [--acceleration 4] [--size 112 88]

The real 8-coil scan, variable density, maps from the 24×24 calibration region, σ estimated. Each
model stands with its own gain and with shares of it (`MOL.with_gain`); a
worst-case error of the measurements is sought (``--epsilon`` of their norm; one restart, eight
steps), which makes the change of the image or the loss against the reference as large as it can.
``--steps 0`` leaves the attacks out; ``--size`` takes the centre of k-space alone, which is faster.
``--ways`` compares other ways to half of the gain: λ, m and thresholds by themselves and together.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor, nn

import molrecon
from common import brain, magnitude_psnr
from molrecon import MOL, DataWeight, Scan
from molrecon.evaluation.attack import AttackEffort, attack
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.methods import named_method

WAYS = (
    (0.25, 1, 1, False),
    (1, 4, 1, False),
    (1, 4, 1, True),
    (0.25, 1, 0.25, False),
    (0.5, 2, 1, False),
    (0.5, 2, 0.5, True),
)
"""Factors on λ, m and thresholds, and whether what m shrinks is made up for."""

MODELS = ("brain2d-sn", "brain2d-strict", "brain2d-wide")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--gains", default="1,0.7,0.5,0.35,0.25,0.18", help="shares of its own")
    parser.add_argument("--rivals", nargs="*", default=["brain2d-modl"])
    parser.add_argument("--epsilon", type=float, default=0.02)
    parser.add_argument("--goal", choices=["change", "loss"], default="loss")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--acceleration", type=float, default=4)
    parser.add_argument("--size", type=int, nargs=2, help="of the centre of k-space; default all")
    parser.add_argument("--ways", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scan = brain() if arguments.size is None else centre(brain(), *arguments.size)
    problem = retrospective_problem(
        scan, arguments.acceleration, mask_kind="variable-density", calibration=24, seed=0
    )
    if arguments.ways:
        for name in arguments.models:
            ways(name, problem)
        return
    effort = None
    if arguments.steps:
        effort = AttackEffort(restarts=1, steps=arguments.steps, draws=2, goal=arguments.goal)
    print(
        f"real 8-coil scan at {arguments.acceleration:g}×: PSNR, and under the worst error found "
        f"of {100 * arguments.epsilon:g} % (goal: {arguments.goal})"
    )
    for name in (*arguments.rivals, *arguments.models):
        method = named_method(name)
        line(method, problem, effort, arguments.epsilon)
        if name in arguments.rivals:
            continue
        with torch.no_grad():
            own = method(problem.y, problem.A).robustness
        assert own is not None
        for share in map(float, arguments.gains.split(",")):
            if share < 1:
                line(method.with_gain(share * float(own)), problem, effort, arguments.epsilon)


def centre(scan: Scan, height: int, width: int) -> Scan:
    """Return the centre of k-space as a scan of its own, of a lower resolution."""
    y, x = (scan.kspace.shape[-2] - height) // 2, (scan.kspace.shape[-1] - width) // 2
    place = (..., slice(y, y + height), slice(x, x + width))
    mask = None if scan.mask is None else scan.mask[place]
    return replace(scan, kspace=scan.kspace[place], mask=mask)


class Scaled(nn.Module):
    """A data weight times a number, of a noise level that is told too small or large."""

    def __init__(self, own: DataWeight, factor: float, told: float) -> None:
        super().__init__()
        self.own, self.factor, self.told = own, factor, told

    def forward(self, sigma: Tensor) -> Tensor:
        lam: Tensor = self.factor * self.own(sigma / self.told)
        return lam


def ways(name: str, problem: ReferenceProblem) -> None:
    """Print what half of the gain costs in several ways; nothing is trained."""
    for lam, m, thresholds, unshrunk in WAYS:
        model = molrecon.load(name)
        assert isinstance(model, MOL)
        own = model.monotonicity
        model.network_gain, model.monotonicity = (1 - m * own) / (1 - own), m * own * (1 - 1e-9)
        model.weight = Scaled(model.weight, lam, thresholds)  # type: ignore[assignment]
        model.strength, model.unshrunk = thresholds, unshrunk
        print(f"λ × {lam:g}, m × {m:g}, thresholds × {thresholds:g}, unshrunk {unshrunk}:")
        line(model, problem, None, 0.0)


def line(
    method: Reconstructor, problem: ReferenceProblem, effort: AttackEffort | None, epsilon: float
) -> None:
    """Print one row."""
    started = time.perf_counter()
    with torch.no_grad():
        clean = method(problem.y, problem.A)
    psnr = magnitude_psnr(clean.value, problem.reference)
    bound = "no bound"
    if clean.robustness is not None:
        basis = "proved" if clean.certified else "conditional"
        bound = f"gain ≤ {float(clean.robustness):.2f} {basis}"
    text = f"  {method.label:32s} {bound:26s} {psnr:6.2f} dB"
    if effort is not None:
        one = attack(
            method, problem.y, problem.A, [epsilon], reference=problem.reference, effort=effort
        )
        worst = one.points[0].worst
        assert worst is not None
        text += f" → {worst.psnr:6.2f} ({worst.psnr - psnr:+.2f}), gain found {worst.gain:.2f}"
    print(f"{text}; {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
