"""Lesion probe of the real 8-coil scan: time, and recovery of MOL, SENSE, TV and others.

    MOLRECON_DATA=… python benchmarks/probe.py [MODEL …]

Variable density, maps from the 24×24 calibration region. Every method has its best weight by PSNR
against the full scan: TV and SENSE on a grid of factors 10^¼, MOL by the noise level it is told, in
the same steps around the estimate. Features of 1.5 pixels and 5 % contrast; the whole map of the
first model is timed, all else rests on as many shifts of the lattice as asked for.
"""

from __future__ import annotations

import argparse
import time

import torch

import molrecon
from common import brain, magnitude_psnr
from molrecon import SENSE, Reconstructor, TotalVariation, probe_lesions
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem

Told = tuple[Reconstructor, float | None]
"""A method, and the noise level that it is told."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-lr", "brain2d-modl"])
    parser.add_argument("--accelerations", type=int, nargs="+", default=[4, 6])
    parser.add_argument("--size", type=float, default=1.5)
    parser.add_argument("--contrast", type=float, default=0.05)
    parser.add_argument("--shifts", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-tv", action="store_true")
    parser.add_argument("--whole", action="store_true", help="time the whole map of the first")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    full = brain()
    for acceleration in arguments.accelerations:
        problem = retrospective_problem(
            full, acceleration, mask_kind="variable-density", calibration=24, seed=0
        )
        estimate = float(problem.A.estimate_sigma(problem.y))
        print(f"{acceleration}×, {arguments.size:g} pixels, {100 * arguments.contrast:g} %")
        for number, name in enumerate(arguments.models):
            model = molrecon.load(name).requires_grad_(False)
            if arguments.whole and number == 0:
                show(f"{name}, every place", (model, None), problem, arguments, None)
            show(f"{name}, σ estimated", (model, None), problem, arguments, arguments.shifts)
            best, k = oracle(lambda k, m=model: (m, estimate * 10 ** (k / 4)), problem)
            show(f"{name}, best σ (10^{k}/4)", best, problem, arguments, arguments.shifts)
        best, k = oracle(lambda k: (SENSE(10 * 10 ** (k / 4)), None), problem)
        show(f"SENSE, best λ (10·10^{k}/4)", best, problem, arguments, arguments.shifts)
        if not arguments.without_tv:
            best, k = oracle(lambda k: (tv(k, 1e-4), None), problem)
            show(
                f"TV, best λ (4e-3·10^{k}/4)", (tv(k, 3e-5), None), problem, arguments,
                min(2, arguments.shifts),
            )  # fmt: skip


def tv(k: int, change: float) -> Reconstructor:
    """Total variation; the changes of its image need a smaller stopping rule than the image."""
    return TotalVariation(4e-3 * 10 ** (k / 4), change=change, max_iterations=3000)


def oracle(make, problem: ReferenceProblem) -> tuple[Told, int]:  # type: ignore[no-untyped-def]
    """Return the method of best PSNR over k, extended until the maximum is inside."""
    values: dict[int, float] = {}

    def value(k: int) -> float:
        if k not in values:
            method, sigma = make(k)
            image = method(problem.y, problem.A, sigma=sigma, raise_on_failure=False).value
            values[k] = magnitude_psnr(image, problem.reference)
        return values[k]

    best = max((-1, 0, 1), key=value)
    while True:
        better = max((best - 1, best, best + 1), key=value)
        if better == best:
            return make(best), best
        best = better


def show(
    title: str,
    told: Told,
    problem: ReferenceProblem,
    arguments: argparse.Namespace,
    shifts: int | None,
) -> None:
    method, sigma = told
    image = method(problem.y, problem.A, sigma=sigma, raise_on_failure=False).value
    started, used = time.perf_counter(), time.process_time()
    probe = probe_lesions(
        method, problem.y, problem.A, size=arguments.size, contrast=arguments.contrast,
        sigma=sigma, shifts=shifts, x0=image,
    )  # fmt: skip
    wall, processor = time.perf_counter() - started, time.process_time() - used
    one = probe.facts()
    print(
        f"  {title:36s} {magnitude_psnr(image, problem.reference):5.2f} dB, recovery "
        f"{one['recovery']:.3f} ({one['recovery_low']:.2f} at 5 % of the places, least "
        f"{one['recovery_least']:.2f}), width {one['width']:.2f}, echoes {one['echo']:.3f} "
        f"(1 %: {one['echo_high']:.2f}); {one['places']} places, {one['solves']} solves, "
        f"{wall:.1f} s, {processor:.1f} s of processors",
        flush=True,
    )


if __name__ == "__main__":
    main()
