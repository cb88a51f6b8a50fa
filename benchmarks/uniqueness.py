"""Do all starts lead to the same image? Largest distance between results against their bounds.

    MOLRECON_DATA=… python benchmarks/uniqueness.py [MODEL …] [--acceleration 4]

The real 8-coil scan, reconstructed from SENSE, zero, random and adversarial starts; then with the
model's network made expansive (multiplied by 3), where the solver has to say that it failed.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import torch

import molrecon
from common import brain
from molrecon import MOL, Solution
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem
from molrecon.lipschitz import lipschitz_attack
from molrecon.operators.base import norm, per_sample
from molrecon.reconstructors.start import sense_start


def starts(
    model: MOL, scan: ReferenceProblem, solution: Solution
) -> dict[str, torch.Tensor | None]:
    x = solution.value
    scale = sense_start(scan.y, scan.A)[1]
    level = solution.sigma / scale
    # Where H contracts least, the iteration is slowest.
    attack = lipschitz_attack(
        lambda u: model.network(u, level), x / per_sample(scale, x), starts=1, steps=4, radius=10.0
    )
    noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    return {
        "SENSE": None,
        "zero": torch.zeros_like(x),
        "random": per_sample(scale, x) * noise,
        "random, 100 times larger": 100 * per_sample(scale, x) * noise,
        "adversarial": per_sample(scale, x) * attack.other,
        "negative of the solution": -x,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-lr"])
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scan = retrospective_problem(
        brain(), arguments.acceleration, mask_kind="variable-density", calibration=24, seed=0
    )
    for name in arguments.models:
        model = molrecon.load(name)
        with torch.no_grad():
            first = model(scan.y, scan.A, output="fixed-point", tol=arguments.tol)
        found: dict[str, Solution] = {}
        for label, x0 in starts(model, scan, first).items():
            with torch.no_grad():
                found[label] = model(scan.y, scan.A, x0=x0, output="fixed-point", tol=arguments.tol)
        size = norm(first.value)
        worst, excess = 0.0, 0.0
        for one, two in combinations(found.values(), 2):
            distance = norm(one.value - two.value)
            allowed = one.error_bound * norm(one.value) + two.error_bound * norm(two.value)
            worst = max(worst, float(distance / size))
            excess = max(excess, float(distance / allowed))
        print(f"{name}, {'certified' if first.certified else 'not certified'}", flush=True)
        for label, solution in found.items():
            print(
                f"  {label:26s} {int(solution.iterations):4d} iterations, bound "
                f"{float(solution.error_bound):.1e}"
            )
        print(f"  largest distance {worst:.1e} of the image, {excess:.2f} of what the bounds allow")
        with torch.no_grad():
            broken = _expansive(model)(scan.y, scan.A, raise_on_failure=False)
        print(
            f"  network times 3: {broken.status[0].value} after {int(broken.iterations)}",
            flush=True,
        )


def _expansive(model: MOL) -> MOL:
    network = model.network
    original = network.apply_channels
    network.apply_channels = lambda x, code: 3 * original(x, code)  # type: ignore[method-assign]
    return model


if __name__ == "__main__":
    main()
