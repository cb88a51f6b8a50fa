"""Time to a reconstruction: molrecon's solver against the published settings, same model.

    MOLRECON_DATA=… python benchmarks/speed.py [MODEL]

Real 8-coil scan, 4×, variable density. Distances are relative, to a solution of the same equation
at 1e-6; the published settings solve a slightly different one (1.001·I in the linear system), so
theirs is measured against that equation's own solution.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

import molrecon
from common import brain, magnitude_psnr, undersample
from molrecon import ConjugateGradient, Equilibrium, ForwardBackward, Solution
from molrecon.reconstructors.mol import published_equilibrium

PUBLISHED_SHIFT = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="brain2d-lr")
    parser.add_argument("--acceleration", type=float, default=4)
    parser.add_argument("--tol", type=float, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = molrecon.load(arguments.model)
    scan = undersample(brain(), "variable-density", arguments.acceleration, seed=0)
    exact = ForwardBackward(
        tol=1e-6,
        stopping="residual",
        max_iterations=500,
        inner=ConjugateGradient(rtol=1e-2, relative_to="start", max_iterations=300),
    )

    def solve(equilibrium: Equilibrium, shift: float = 0.0, tol: float | None = None) -> Solution:
        model.shift = shift
        quiet = replace(equilibrium, raise_on_failure=False)
        with torch.no_grad():
            return model(scan.y, scan.A, equilibrium=quiet, tol=tol)

    def timed(repeats: int, equilibrium: Equilibrium, shift: float, tol: float | None):
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            solution = solve(equilibrium, shift, tol)
            seconds.append(time.perf_counter() - started)
        return solution, sorted(seconds)[len(seconds) // 2]

    solve(model.equilibrium)  # first call: threads, caches, certificates
    ours, our_seconds = timed(arguments.repeats, model.equilibrium, 0.0, arguments.tol)
    theirs, their_seconds = timed(1, published_equilibrium(), PUBLISHED_SHIFT, None)
    print(f"{arguments.acceleration:g}×, {arguments.threads} threads, λ = {float(ours.lam):.1f}")
    for name, solution, seconds, shift in (
        ("molrecon", ours, our_seconds, 0.0),
        ("published settings", theirs, their_seconds, PUBLISHED_SHIFT),
    ):
        reference = solve(Equilibrium(exact, exact), shift).value
        distance = (solution.value - reference).norm() / reference.norm()
        print(
            f"  {name:20s} {solution.status[0].value:16s} {seconds:7.2f} s  "
            f"{solution.network_evaluations:4d} network and {solution.normal_evaluations:5d} "
            f"normal evaluations, distance {float(distance):.1e}, bound "
            f"{float(solution.error_bound):.1e}, "
            f"{magnitude_psnr(solution.value, scan.reference):.2f} dB"
        )
    print(f"  {their_seconds / our_seconds:.1f} times faster")


if __name__ == "__main__":
    main()
