"""Time to a reconstruction: molrecon's solver against the published settings, same model.

    MOLRECON_DATA=… python benchmarks/speed.py [MODEL]

Real 8-coil scan, 4×, variable density. Distances are relative, of x*, to a solution of the same
equation at 1e-6; the published settings solve a slightly different one (1.001·I in the linear
system), so theirs is measured against that equation's own solution. molrecon is timed three times:
to the distance at which the published settings stop, to 1e-3, and to its own default, a bound of
1e-3. Medians over repeats; the published settings run as often as molrecon, in turns. With
``--equal`` the published settings also run on until they are as near as 1e-3, once.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import torch

import molrecon
from common import brain, magnitude_psnr
from molrecon import MOL, ConjugateGradient, Equilibrium, ForwardBackward, Solution
from molrecon.equilibrium.implicit import published_equilibrium
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem

PUBLISHED_SHIFT = 0.1
TARGET = 1e-3
EXACT = ForwardBackward(
    tol=1e-6,
    stopping="residual",
    max_iterations=500,
    inner=ConjugateGradient(rtol=1e-2, max_iterations=300),
)


@dataclass(frozen=True)
class Run:
    """Settings under a name."""

    name: str
    equilibrium: Equilibrium
    shift: float = 0.0


@torch.no_grad()
def solve(model: MOL, scan: ReferenceProblem, run: Run) -> Solution:
    model.shift = run.shift
    return model(
        scan.y,
        scan.A,
        equilibrium=run.equilibrium,
        raise_on_failure=False,
        output="fixed-point",
    )


def distance(solution: Solution, reference: Solution) -> float:
    return float((solution.value - reference.value).norm() / reference.value.norm())


def to_distance(
    model: MOL, scan: ReferenceProblem, own: Equilibrium, target: float, exact: Solution
) -> Run:
    """Stop after the first iteration at which the distance is reached."""
    for iterations in range(1, own.forward.max_iterations):
        solver = replace(own.forward, tol=1e-12, max_iterations=iterations)
        run = Run(f"molrecon to {target:.1e}", replace(own, forward=solver))
        if distance(solve(model, scan, run), exact) <= target:
            return run
    raise SystemExit(f"{target} is not reached")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="brain2d-lr")
    parser.add_argument("--acceleration", type=float, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--equal", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = molrecon.load(arguments.model)
    scan = retrospective_problem(
        brain(),
        arguments.acceleration,
        mask_kind="variable-density",
        calibration=24,
        seed=0,
    )
    published = Run("published settings", published_equilibrium(), PUBLISHED_SHIFT)
    own = Run("molrecon, default", model.equilibrium)
    exact = {
        shift: solve(model, scan, Run("exact", Equilibrium(EXACT, EXACT), shift))
        for shift in (0.0, PUBLISHED_SHIFT)
    }
    theirs = distance(solve(model, scan, published), exact[PUBLISHED_SHIFT])
    runs = [published]
    runs += [to_distance(model, scan, own.equilibrium, d, exact[0.0]) for d in (theirs, TARGET)]
    runs.append(own)
    once = []
    if arguments.equal:
        # Near the solution the change per step and the distance fall together.
        forward = replace(
            published.equilibrium.forward,
            tol=published.equilibrium.forward.tol * TARGET / theirs,
            max_iterations=2000,
        )
        equilibrium = replace(published.equilibrium, forward=forward)
        once.append(Run("published, run on", equilibrium, PUBLISHED_SHIFT))
    seconds: dict[str, list[float]] = {run.name: [] for run in once + runs}
    for turn in range(arguments.repeats):
        for run in runs if turn else once + runs:
            started = time.perf_counter()
            solution = solve(model, scan, run)
            seconds[run.name].append(time.perf_counter() - started)
    medians = {name: sorted(values)[len(values) // 2] for name, values in seconds.items()}
    print(
        f"{arguments.model}, {arguments.acceleration:g}×, {arguments.threads} threads, "
        f"λ = {float(solution.lam):.1f}"
    )
    for run in once + runs:
        solution = solve(model, scan, run)
        print(
            f"  {run.name:22s} {medians[run.name]:6.2f} s, "
            f"{medians[published.name] / medians[run.name]:5.1f} times faster, "
            f"{solution.network_evaluations:4d} network and {solution.normal_evaluations:4d} "
            f"normal evaluations, distance {distance(solution, exact[run.shift]):.1e}, bound "
            f"{float(solution.error_bound):.1e}, "
            f"{magnitude_psnr(solution.value, scan.reference):.2f} dB"
        )


if __name__ == "__main__":
    main()
