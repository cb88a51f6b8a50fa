"""Is a certified bound ever violated by rounding? Random problems in single precision.

    python benchmarks/rounding.py [--start 0] [--count 10000]

Problem number n is drawn from seed n, so that a run can be split. MRI, super-resolution and blur of
images from 1 pixel on; measurements in units from 1e-30 to 1e30, λ‖A‖² from 1e-3 to 1e6, coil maps
of unit and of other root sum of squares, m from 0.005 to 0.5, tolerances from 1e-2 to 1e-7. The
image that is returned, of every second batch the full scan, is compared with a solution in double
precision of the problem as it is stored, found apart from the solver that is tested: with dense
inverses, to a hundredth of the bound. One thread.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from molrecon import MOL, Blur, CartesianMRI, LinearOperator, ResidualStrictCNN, SuperResolution
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.evaluation.exact import exact_solution
from molrecon.operators.base import norm, per_sample
from molrecon.operators.kernels import box_kernel, gaussian_kernel
from molrecon.reconstructors.learned import Output

BATCH = 8
WEIGHTS = 24
"""Sets of random weights; the norms of their kernels are remembered."""


class Given(nn.Module):
    """A data weight that is given."""

    def __init__(self, lam: Tensor) -> None:
        super().__init__()
        self.lam = lam

    def forward(self, sigma: Tensor) -> Tensor:
        return self.lam


@dataclass(frozen=True)
class Case:
    """A batch of problems that share operator, network, m and tolerance."""

    kind: str
    A: LinearOperator
    y: Tensor
    sigma: Tensor
    model: MOL
    tol: float


def draw(seed: int) -> Case:
    """Draw a batch of problems."""
    g = torch.Generator().manual_seed(seed)

    def between(low: float, high: float, n: int = 1) -> Tensor:
        return torch.exp(math.log(low) + torch.rand(n, generator=g) * math.log(high / low))

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=g))

    kind = ("mri", "super-resolution", "blur")[whole(0, 2)]
    A = _operator(kind, whole, between, g)
    m, tol = float(between(0.005, 0.5)), float(between(1e-7, 1e-2))
    complex_ = A.dtype.is_complex
    torch.manual_seed(whole(0, WEIGHTS - 1))
    network = ResidualStrictCNN(
        channels=2 if complex_ else 1, features=4, layers=2, lipschitz=1 - m
    )
    squared = A.norm().double() ** 2
    lam = (between(1e-3, 1e6, BATCH) / squared.clamp_min(1e-12)).float()
    solver = ForwardBackward()
    equilibrium = Equilibrium(solver, solver)
    model = MOL(network, Given(lam), monotonicity=m, equilibrium=equilibrium).eval()  # type: ignore[arg-type]
    shape = (BATCH, *A.shape_in)
    x = torch.randn(shape, generator=g, dtype=A.dtype)
    if whole(0, 1):
        x = x.cumsum(-1).cumsum(-2)
    y, level = A(x), between(1e-4, 1.0, BATCH)
    y = y + per_sample(level, y) * _like(y, g) * (y != 0)
    unit = between(1e-30, 1e30, BATCH)
    return Case(kind, A, y * per_sample(unit, y), level * unit, model, tol)


def _like(y: Tensor, g: torch.Generator) -> Tensor:
    return torch.randn(y.shape, generator=g, dtype=y.dtype)


def _operator(kind: str, whole: Any, between: Any, g: torch.Generator) -> LinearOperator:
    if kind == "mri":
        shape = whole(1, 9), whole(1, 9)
        maps = torch.randn(1, whole(1, 5), *shape, generator=g, dtype=torch.complex64)
        maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
        if whole(0, 1):
            maps = maps * between(0.1, 10.0)
        if whole(0, 3) == 0:
            maps[..., :1] = 0
        mask = torch.rand(1, 1, *shape, generator=g) < between(0.2, 1.0)
        mask[..., shape[0] // 2, shape[1] // 2] = True
        return CartesianMRI(maps, mask)
    if kind == "blur":
        shape = whole(3, 10), whole(3, 10)
        return Blur(gaussian_kernel(float(between(0.3, 1.5)), size=3), (1, *shape))
    factor = whole(2, 4)
    shape = factor * whole(1, 4), factor * whole(1, 4)
    return SuperResolution((1, *shape), factor, box_kernel(factor))


def run(seed: int, counts: Counter[str], worst: list[float]) -> None:
    """Solve one batch and count."""
    case = draw(seed)
    if not bool((case.y != 0).flatten(1).any(1).all()):
        counts["nothing was measured, left out"] += BATCH
        return
    captured: list[Any] = []
    solve = MOL.solve

    def capturing(model: MOL, problem: Any) -> Any:
        captured.append(problem)
        return solve(model, problem)

    output: Output = "full-scan" if seed % 2 else "fixed-point"
    with torch.no_grad(), patch.object(MOL, "solve", capturing):
        solution = case.model(
            case.y, case.A, sigma=case.sigma, tol=case.tol, raise_on_failure=False, output=output
        )
    scaled, wide = captured[-1], case.A.in_double.dtype
    assert solution.error_bound is not None
    bound, value = solution.error_bound.double(), solution.value.to(wide)
    unit = per_sample(scaled.measured[1].double(), value)
    start = value / unit if output == "fixed-point" else scaled.start.to(wide)
    exact, uncertain = exact_solution(
        case.model, case.A, *scaled.measured, scaled.sigma, case.model.weight.lam, start, bound
    )
    exact = exact * unit
    if output == "full-scan":
        inner = norm(exact)
        exact = case.A.in_double.completed(exact, case.y.to(wide))
        uncertain = uncertain * case.A.completion_gain.double() * inner / norm(exact)
    distance = norm(value - exact) / norm(value).clamp_min(1e-300)
    for n in range(BATCH):
        status = solution.status[n].value
        counts["problems"] += 1
        counts[f"status: {status}"] += 1
        counts[f"kind: {case.kind}"] += 1
        counts[f"output: {output}"] += 1
        counts["certified"] += solution.certified
        counts["above the tolerance"] += bool(bound[n] > case.tol)
        counts["converged above the tolerance"] += bool(
            bound[n] > case.tol and status == "converged"
        )
        counts["bound of zero"] += bool(bound[n] == 0 and distance[n] > 0)
        if not bool(uncertain[n] <= 0.1 * bound[n] + 1e-11):
            counts["reference not good enough"] += 1
            continue
        violated = solution.certified and bool(distance[n] - uncertain[n] > bound[n])
        counts["violated"] += violated
        worst.append(float(distance[n] / bound[n]) if bound[n] > 0 else 0.0)
        if violated:
            print(
                f"seed {seed}, sample {n}: {case.kind} {case.A.shape_in}, {status}, m = "
                f"{case.model.monotonicity:.3g}, λ = {case.model.weight.lam[n]:.3g}, tol "
                f"{case.tol:.1e}, bound {bound[n]:.3e}, distance {distance[n]:.3e}",
                flush=True,
            )


def main() -> None:
    """Run and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--start", type=int, default=0, help="number of the first problem")
    parser.add_argument("--count", type=int, default=10_000, help="how many problems")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    worst: list[float] = []
    began = time.perf_counter()
    first = arguments.start // BATCH
    for seed in range(first, first + -(-arguments.count // BATCH)):
        run(seed, counts, worst)
        if seed % 25 == 24:
            print(dict(counts), f"{time.perf_counter() - began:.0f} s", flush=True)
    for name, number in sorted(counts.items()):
        print(f"{name:32s} {number:6d}  {number / max(counts['problems'], 1):8.3%}")
    print(f"largest distance / bound         {max(worst, default=0):.3f}")


if __name__ == "__main__":
    main()
