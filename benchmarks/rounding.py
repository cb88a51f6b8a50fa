"""Is a certified bound ever violated, and how far is it from the true distance? Random problems.

    python benchmarks/rounding.py [--start 0] [--count 10000] [--log FILE]

Problem number n is drawn from seed n, so that a run can be split; with a log it goes on where it
was stopped, and the figures are those of all that is in the log. MRI of slices and volumes,
super-resolution, blur, inpainting and denoising of images from 1 pixel on; chains, residual
networks, those of two scales, with a guide and without, and those of planes; measurements in units
from 1e-30 to 1e30, λ‖A‖² from 1e-3 to 1e6, coil maps of unit and of other root sum of squares, m
from 0.005 to 0.5, tolerances from 1e-2 to 1e-7. Half is in single precision, a quarter that under
autocast to bfloat16, which must not reach a proof, a quarter in double. The image that is returned,
of every second batch the full scan, is compared with a solution in double precision of the problem
as it is stored, found apart from the solver that is tested: with dense inverses, to a hundredth of
the bound. One thread.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from molrecon import (
    MOL,
    Blur,
    CartesianMRI,
    Denoising,
    Inpainting,
    LinearOperator,
    SuperResolution,
    ThresholdGuide,
    build_network,
)
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.evaluation.exact import exact_solution
from molrecon.networks import Network
from molrecon.operators.base import norm, per_sample
from molrecon.operators.kernels import box_kernel, gaussian_kernel
from molrecon.reconstructors.learned import Output

BATCH = 32
WEIGHTS = 12
"""Sets of random weights of every kind of network; the norms of their kernels are remembered."""
KINDS = ("mri", "volume", "super-resolution", "blur", "inpainting", "denoising")
NETWORKS = ("residual-strict", "spectral", "multiscale-strict", "guided")
ABOUT = ("status", "kind", "network", "arithmetic", "output")
ARITHMETIC = ("single", "single", "bfloat16 autocast", "double")


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
    network: str
    arithmetic: str
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

    def one_of(values: tuple[str, ...]) -> str:
        return values[whole(0, len(values) - 1)]

    kind, name, arithmetic = one_of(KINDS), one_of(NETWORKS), one_of(ARITHMETIC)
    A = _operator(kind, whole, between, g)
    A = A.in_double if arithmetic == "double" else A
    m, tol = float(between(0.005, 0.5)), float(between(1e-7, 1e-2))
    torch.manual_seed(whole(0, WEIGHTS - 1))
    network, guide = _network(name, A, 1 - m)
    squared = A.norm().double() ** 2
    lam = (between(1e-3, 1e6, BATCH) / squared.clamp_min(1e-12)).to(A.dtype.to_real())
    solver = ForwardBackward()
    equilibrium = Equilibrium(solver, solver)
    model = MOL(
        network,
        Given(lam),  # type: ignore[arg-type]
        monotonicity=m,
        equilibrium=equilibrium,
        guide=guide,
        unshrunk=whole(0, 3) == 0,
    ).eval()
    model = model.double() if arithmetic == "double" else model
    shape = (BATCH, *A.shape_in)
    x = torch.randn(shape, generator=g, dtype=A.dtype)
    if whole(0, 1):
        x = x.cumsum(-1).cumsum(-2)
    y, level = A(x), between(1e-4, 1.0, BATCH)
    y = y + per_sample(level, y) * _like(y, g) * (y != 0)
    unit = between(1e-30, 1e30, BATCH)
    sigma = (level * unit).to(lam)
    return Case(kind, name, arithmetic, A, y * per_sample(unit, y).to(y.dtype), sigma, model, tol)


def _network(name: str, A: LinearOperator, bound: float) -> tuple[Network, ThresholdGuide | None]:
    """Return a network with random weights for the images of A, and a guide that sets something."""
    settings: dict[str, Any] = {
        "channels": 2 if A.dtype.is_complex else 1,
        "features": 4,
        "lipschitz": bound,
    }
    if name in ("multiscale-strict", "guided"):
        settings |= {"kind": "multiscale-strict", "scales": [1, 2], "coarse_channels": 2}
        settings |= {"coarse_features": 8}
    else:
        settings |= {"kind": name, "layers": 2}
    if len(A.shape_in) == 4:
        return build_network({"kind": "planes", "ndim": 3, "plane": settings}), None
    network = build_network(settings)
    if name != "guided":
        return network, None
    guide = ThresholdGuide(network, features=4, coarse_features=8)
    for part in (guide.fine_factors, guide.coarse_factors):
        nn.init.normal_(part.weight)
    return network, guide


def _like(y: Tensor, g: torch.Generator) -> Tensor:
    return torch.randn(y.shape, generator=g, dtype=y.dtype)


def _operator(kind: str, whole: Any, between: Any, g: torch.Generator) -> LinearOperator:
    if kind in ("mri", "volume"):
        shape = tuple(whole(1, 9 if kind == "mri" else 4) for _ in range(2 + (kind == "volume")))
        maps = torch.randn(1, whole(1, 5), *shape, generator=g, dtype=torch.complex64)
        maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
        if whole(0, 1):
            maps = maps * between(0.1, 10.0)
        if whole(0, 3) == 0:
            maps[..., :1] = 0
        mask = torch.rand(1, 1, *shape, generator=g) < between(0.2, 1.0)
        mask[(..., *(n // 2 for n in shape))] = True
        return CartesianMRI(maps, mask)
    if kind == "super-resolution":
        factor = whole(2, 4)
        shape = factor * whole(1, 4), factor * whole(1, 4)
        return SuperResolution((1, *shape), factor, box_kernel(factor))
    shape = whole(3, 10), whole(3, 10)
    if kind == "blur":
        return Blur(gaussian_kernel(float(between(0.3, 1.5)), size=3), (1, *shape))
    if kind == "denoising":
        return Denoising((1, *shape))
    mask = torch.rand(1, 1, *shape, generator=g) < between(0.2, 1.0)
    mask[..., 0, 0] = True
    return Inpainting(mask)


def run(seed: int) -> dict[str, Any]:
    """Solve one batch; return what to count, and the ratio of the bound to the distance of each."""
    case = draw(seed)
    counts: Counter[str] = Counter()
    ratios: list[float] = []
    found = {"seed": seed, "counts": counts, "ratios": ratios}
    if not bool((case.y != 0).flatten(1).any(1).all()):
        counts["nothing was measured, left out"] += BATCH
        return found
    captured: list[Any] = []
    solve = MOL._solution

    def capturing(model: MOL, problem: Any, network: Network) -> Any:
        captured.append((problem, network))
        return solve(model, problem, network)

    output: Output = "full-scan" if seed % 2 else "fixed-point"
    mixed = case.arithmetic == "bfloat16 autocast"
    around = torch.autocast("cpu", dtype=torch.bfloat16) if mixed else nullcontext()
    with torch.no_grad(), patch.object(MOL, "_solution", capturing), around:
        solution = case.model(
            case.y, case.A, sigma=case.sigma, tol=case.tol, raise_on_failure=False, output=output
        )
    (scaled, network), wide = captured[-1], case.A.in_double.dtype
    assert solution.error_bound is not None
    bound, value = solution.error_bound.double(), solution.value.to(wide)
    unit = per_sample(scaled.measured[1].double(), value)
    start = value / unit if output == "fixed-point" else scaled.start.to(wide)
    # At the thresholds that a guide has set: their equation is the one that is solved.
    exact, uncertain = exact_solution(
        case.model, case.A, *scaled.measured, scaled.sigma, case.model.weight.lam, start, bound,
        network=network,
    )  # fmt: skip
    exact = exact * unit
    if output == "full-scan":
        inner = norm(exact)
        exact = case.A.in_double.completed(exact, case.y.to(wide))
        uncertain = uncertain * case.A.completion_gain.double() * inner / norm(exact)
    distance = norm(value - exact) / norm(value).clamp_min(1e-300)
    for n in range(BATCH):
        status = solution.status[n].value
        about = (status, case.kind, case.network, case.arithmetic, output)
        for name, what in zip(ABOUT, about, strict=True):
            counts[f"{name}: {what}"] += 1
        counts["problems"] += 1
        counts["certified"] += solution.certified
        counts["above the tolerance"] += bool(bound[n] > case.tol)
        counts["converged above the tolerance"] += bool(
            bound[n] > case.tol and status == "converged"
        )
        counts["bound of zero"] += bool(bound[n] == 0 and distance[n] > 0)
        # In double precision bounds reach the error of the reference itself.
        if not bool(uncertain[n] <= 0.1 * bound[n] + 1e-11):
            counts["reference not good enough"] += 1
            continue
        violated = solution.certified and bool(distance[n] - uncertain[n] > bound[n])
        counts["violated"] += violated
        if distance[n] > 10 * uncertain[n]:
            ratios.append(float(bound[n] / distance[n]))
        if violated:
            print(
                f"seed {seed}, sample {n}: {case.kind} {case.A.shape_in}, {case.network}, "
                f"{case.arithmetic}, {status}, m = {case.model.monotonicity:.3g}, λ = "
                f"{case.model.weight.lam[n]:.3g}, tol {case.tol:.1e}, bound {bound[n]:.3e}, "
                f"distance {distance[n]:.3e}",
                flush=True,
            )
    return found


def main() -> None:
    """Run and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--start", type=int, default=0, help="number of the first problem")
    parser.add_argument("--count", type=int, default=10_000, help="how many problems")
    parser.add_argument("--log", type=Path, help="where batches are written down, line by line")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    log: Path | None = arguments.log
    lines = log.read_text().splitlines() if log is not None and log.exists() else []
    done = {found["seed"]: found for found in map(json.loads, lines)}
    began = time.perf_counter()
    first = arguments.start // BATCH
    for seed in range(first, first + -(-arguments.count // BATCH)):
        if seed in done:
            continue
        done[seed] = run(seed)
        if log is not None:
            with log.open("a") as file:
                file.write(json.dumps(done[seed]) + "\n")
        if seed % 10 == 9:
            print(f"{BATCH * len(done)} problems, {time.perf_counter() - began:.0f} s", flush=True)
    show(list(done.values()))


def show(found: list[dict[str, Any]]) -> None:
    """Print the counts of all batches."""
    counts: Counter[str] = Counter()
    for one in found:
        counts.update(one["counts"])
    for name, number in sorted(counts.items()):
        print(f"{name:32s} {number:6d}  {number / max(counts['problems'], 1):8.3%}")
    ratios = torch.tensor([ratio for one in found for ratio in one["ratios"]])
    print(
        f"bound / distance, of {len(ratios)}: smallest {float(ratios.min()):.6f}, median "
        f"{float(ratios.median()):.1f}"
    )


if __name__ == "__main__":
    main()
