"""Speed and work of solvers, operators, network and training: all of docs/performance.md.

    MOLRECON_DATA=… python benchmarks/performance.py            # or: make bench

On an idle machine, about twenty minutes; the numbers go to ``benchmarks/results.json`` and the page
is written from them (``--page`` writes it again). All ratios are of one run, times are medians, one
after the other in turns. Distances are relative, to the solution of the same equation in double
precision at 1e-8. torchdeq is compared with if it can be imported (``pip install --no-deps
torchdeq``); it gets the same map, with our inner solver or with plain conjugate gradients to 1e-6.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gpu
import molrecon
from common import brain
from molrecon import CartesianMRI, ConjugateGradient, DynamicMRI, Equilibrium, ForwardBackward
from molrecon.data.simulation import simulate_acquisition
from molrecon.equilibrium.fixed_point import Step
from molrecon.equilibrium.implicit import published_equilibrium
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.learned import LearnedReconstructor
from performance_page import written

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
TARGET, SIGMA = 1e-3, 0.01
LADDER = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
"""Distances to the solution of which time and work are told."""
PUBLISHED_SHIFT = 0.1

Facts = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="small sizes, for a rehearsal")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument("--only", nargs="+", help="names of parts to measure anew")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = {
        "solves": solves,
        "rivals": rivals,
        "series": series,
        "pieces": pieces,
        "training": training,
        "scaling": scaling,
    }
    facts: Facts = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not options.page:
        facts["machine"] = {
            "processor": processor(),
            "threads": options.threads,
            "torch": torch.__version__,
            "molrecon": molrecon.__version__,
            "repeats": options.repeats,
        }
        for name, part in parts.items():
            if options.only is None or name in options.only:
                started = time.perf_counter()
                facts[name] = part(options)
                print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
                RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    PAGE.write_text(written(facts))


def processor() -> str:
    """What the machine says that it is."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(one.split(":")[1].strip() for one in lines if one.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def seconds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median times of several calls, in turns, after one of each that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn:
                found[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in found.items()}


class Problem:
    """A scan, a model, and the solution of its equation in double precision."""

    def __init__(self, model: LearnedReconstructor, y: Tensor, A: LinearOperator) -> None:
        self.model, self.y, self.A = model, y, A
        self.held = model.held(y, A)
        self._exact: dict[float, Tensor] = {}

    def solve(
        self, equilibrium: Equilibrium | None = None, shift: float = 0.0, *, first: bool = False
    ) -> Any:
        """Solve with unit and noise level held fixed, and thresholds but for ``first``."""
        self.model.shift = shift
        fixed = {k: v for k, v in self.held.fixed.items() if not (first and k == "guide")}
        with torch.no_grad():
            return self.model(
                self.y,
                self.A,
                **fixed,
                equilibrium=equilibrium,
                raise_on_failure=False,
                output="fixed-point",
            )

    def exact(self, shift: float = 0.0) -> Tensor:
        """The solution, in double precision to 1e-8."""
        if shift not in self._exact:
            inner = ConjugateGradient(rtol=1e-3, max_iterations=500)
            solver = ForwardBackward(
                tol=1e-8, stopping="residual", max_iterations=2000, memory=20, inner=inner
            )
            model = deepcopy(self.model).double()
            model.shift = shift
            fixed = {
                name: one.to(torch.complex128 if one.is_complex() else torch.float64)
                for name, one in self.held.fixed.items()
            }
            with torch.no_grad():
                self._exact[shift] = model(
                    self.y.to(torch.complex128),
                    self.A.in_double,
                    equilibrium=Equilibrium(solver, solver),
                    raise_on_failure=False,
                    output="fixed-point",
                    **fixed,
                ).value
        return self._exact[shift]

    def distance(self, image: Tensor, shift: float = 0.0) -> float:
        """Relative distance of an image to the solution."""
        exact = self.exact(shift)
        return float((image - exact).norm() / exact.norm())

    def stopped(self, target: float, equilibrium: Equilibrium) -> Equilibrium:
        """Return the settings that stop after the first iteration within a distance."""
        for iterations in range(1, equilibrium.forward.max_iterations):
            solver = replace(equilibrium.forward, tol=1e-12, max_iterations=iterations)
            settings = replace(equilibrium, forward=solver)
            if self.distance(self.solve(settings).value) <= target:
                return settings
        raise SystemExit(f"a distance of {target} is not reached")


def real(model: str, acceleration: float, options: argparse.Namespace) -> Problem:
    """The real scan, undersampled afterwards; of a rehearsal a small simulated one."""
    if options.small:
        item = gpu.scan((64, 56))
        return Problem(molrecon.load(model), *gpu.on(item, torch.device("cpu")))
    scan = retrospective_problem(
        brain(), acceleration, mask_kind="variable-density", calibration=24, seed=0
    )
    return Problem(molrecon.load(model), scan.y, scan.A)


def solves(options: argparse.Namespace) -> list[Facts]:
    """Ours, to distances and to the proof, beside the published settings."""
    rows = []
    for model in ("brain2d-sn", "brain2d-guided"):
        for acceleration in (4.0, 6.0):
            problem = real(model, acceleration, options)
            own = problem.model.equilibrium
            runs: dict[str, Any] = {
                f"distance {d:g}": partial(problem.solve, problem.stopped(d, own)) for d in LADDER
            }
            runs["proved"] = partial(problem.solve, own)
            if "guide" in problem.held.fixed:
                runs["proved, with the first image"] = partial(problem.solve, own, first=True)
            published, times = published_equilibrium(), seconds(runs, options.repeats)
            row: Facts = {"model": model, "acceleration": acceleration, "steps": []}
            for name, run in runs.items():
                found = run()
                row["steps"].append(
                    {
                        "to": name,
                        "seconds": times[name],
                        "networks": found.network_evaluations,
                        "normals": found.normal_evaluations,
                        "distance": problem.distance(found.value),
                        "bound": float(found.error_bound),
                    }
                )
            if model == "brain2d-sn":
                row["published"] = published_rows(problem, published)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def published_rows(problem: Problem, published: Equilibrium) -> list[Facts]:
    """The published settings, to their own stop and on to `TARGET`, once each."""
    rows, forward = [], published.forward
    for name in ("own stop", "run on"):
        started = time.perf_counter()
        found = problem.solve(replace(published, forward=forward), PUBLISHED_SHIFT)
        taken = time.perf_counter() - started
        away = problem.distance(found.value, PUBLISHED_SHIFT)
        rows.append(
            {
                "to": name,
                "seconds": taken,
                "networks": found.network_evaluations,
                "distance": away,
            }
        )
        # Near the solution the change per step and the distance fall together.
        tol = forward.tol * min(1.0, TARGET / away)
        forward = replace(forward, tol=tol, max_iterations=4000)
    return rows


def rivals(options: argparse.Namespace) -> list[Facts]:
    """torchdeq on the same map, to a true `TARGET`."""
    if importlib.util.find_spec("torchdeq") is None:
        return []
    from torchdeq.solver import get_solver  # type: ignore[import-not-found]

    problem = real("brain2d-sn", 4.0, options)
    own, equation = problem.model.equilibrium, captured(problem)
    exact = problem.exact() / float(problem.held.fixed["scale"])
    inner = {
        "our inner solver": own.forward.inner,
        "conjugate gradients to 1e-6": ConjugateGradient(rtol=1e-6, max_iterations=200),
    }
    ours = problem.stopped(TARGET, own)
    rows = []
    for kind, solver in inner.items():
        step = equation.step(1.0, solver)
        start = torch.view_as_real(equation.x0).flatten(1)

        def mapped(z: Tensor, step: Step = step) -> Tensor:
            image = torch.view_as_complex(z.reshape(*equation.x0.shape, 2))
            return torch.view_as_real(step(image).image).flatten(1)

        for name in ("fixed_point_iter", "anderson", "broyden"):
            solve = get_solver(name)
            for most in range(1, 60):
                with torch.no_grad():
                    z = solve(mapped, start, max_iter=most, tol=0.0, return_final=True)[0]
                image = torch.view_as_complex(z.reshape(*equation.x0.shape, 2).contiguous())
                if float((image - exact).norm() / exact.norm()) <= TARGET:
                    break
            calls: dict[str, Callable[[], object]] = {
                "torchdeq": lambda solve=solve, most=most, mapped=mapped: solve(
                    mapped, start, max_iter=most, tol=0.0, return_final=True
                ),
                "ours": lambda: problem.solve(ours),
            }
            with torch.no_grad():
                times = seconds(calls, options.repeats)
            row = {"solver": name, "inner": kind, "iterations": most} | times
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


class Captured:
    """The equation of a solve and where it starts, taken from the inside of a solver."""

    def __init__(self, equation: Any, x0: Tensor) -> None:
        self.step, self.x0 = equation.step, x0


def captured(problem: Problem) -> Captured:
    """Return the equation that a model solves for a scan, in units of the image peak."""
    found: list[Captured] = []

    class Spy(ForwardBackward):
        def __call__(self, equation: Any, x0: Tensor, **how: Any) -> Any:
            found.append(Captured(equation, x0))
            return super().__call__(equation, x0, **how)

    own = problem.model.equilibrium
    settings = {name: getattr(own.forward, name) for name in ("alpha", "tol", "memory", "inner")}
    problem.solve(replace(own, forward=Spy(**settings)))
    return found[-1]


def series(options: argparse.Namespace) -> list[Facts]:
    """A volume and a series, to the proof."""
    rows = []
    for model, shape in (("brain3d-planes", (32, 64, 64)), ("series-strict", (12, 96, 80))):
        shape = tuple(n // 2 for n in shape) if options.small else shape
        problem = Problem(molrecon.load(model), *volume(model, shape))
        found = problem.solve()
        times = seconds({"proved": problem.solve}, 1 if options.small else 2)
        row = {
            "model": model,
            "shape": shape,
            "seconds": times["proved"],
            "networks": found.network_evaluations,
            "distance": problem.distance(found.value),
            "bound": float(found.error_bound),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def volume(model: str, shape: tuple[int, ...]) -> tuple[Tensor, LinearOperator]:
    """Measurements of a drawn volume, or of a series whose frames it is."""
    item = gpu.scan(shape)
    if "series" not in model:
        return item.y, CartesianMRI(item.coil_maps, item.mask)
    frames = item.image
    maps = simulate_acquisition(
        frames[0, 0, 0],
        coils=8,
        acceleration=1.0,
        mask_kind="variable-density",
        calibration=8,
        sigma=SIGMA,
        seed=0,
    ).coil_maps[:, :, None]
    mask = molrecon.make_mask("frames-variable-density", shape, 6, calibration=6, seed=0)
    A = DynamicMRI(maps, mask.expand(1, 1, *shape))
    noise = torch.Generator().manual_seed(0)
    return molrecon.add_noise(A(frames), SIGMA, generator=noise) * mask, A


@torch.no_grad()
def pieces(options: argparse.Namespace) -> Facts:
    """AᴴA, the regularised inverse and the network, beside what the machine can do."""
    facts: Facts = {}
    device = torch.device("cpu")
    gpu.operator(device, options, facts)
    gpu.network(device, options, facts)
    a = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / seconds({"product": lambda: a @ a}, 4 * options.repeats)["product"] / 1e12
    large = torch.randn(2**26)
    copied = seconds({"copy": lambda: large.clone()}, options.repeats)["copy"]
    facts |= {"machine TFLOP/s": rate, "machine GB/s": 8 * large.numel() / copied / 1e9}
    model = molrecon.load("brain2d-sn")
    x = torch.randn(1, 1, 256, 232, dtype=torch.complex64)
    sigma = torch.tensor([SIGMA])

    def mixed() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model.network(x, sigma)

    calls = {"single": lambda: model.network(x, sigma), "bf16": mixed}
    return facts | {f"network {k} s": v for k, v in seconds(calls, 4 * options.repeats).items()}


def training(options: argparse.Namespace) -> Facts:
    """A training step of 256 × 256 × 12, ours and at the published settings."""
    item = gpu.scan((64, 56) if options.small else (256, 256))
    y, A = gpu.on(item, torch.device("cpu"))
    model = molrecon.load("brain2d-sn").requires_grad_()
    own = Equilibrium(
        ForwardBackward(tol=1e-2, stopping="residual"),
        ForwardBackward(tol=1e-1, stopping="residual"),
    )

    def step(equilibrium: Equilibrium, shift: float) -> list[Tensor]:
        model.shift = shift
        model.zero_grad()
        value = model(y, A, sigma=SIGMA, equilibrium=equilibrium, raise_on_failure=False).value
        (value - item.image).abs().square().mean().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    exact = ForwardBackward(tol=1e-6, stopping="residual", max_iterations=500)
    facts: Facts = {}
    for name, equilibrium, shift in (
        ("ours", own, 0.0),
        ("published", published_equilibrium(), PUBLISHED_SHIFT),
    ):
        gradients = step(equilibrium, shift)
        started = time.perf_counter()
        step(equilibrium, shift)
        facts[f"{name} s"] = time.perf_counter() - started
        true = step(Equilibrium(exact, exact), shift)
        rest = math.sqrt(
            sum(float((a - b).square().sum()) for a, b in zip(gradients, true, strict=True))
        )
        facts[f"{name} gradient error"] = rest / math.sqrt(
            sum(float(b.square().sum()) for b in true)
        )
    return facts


def scaling(options: argparse.Namespace) -> Facts:
    """Time of a step (network and AᴴA) against pixels, coils and batch, with exponents."""
    model, facts = molrecon.load("brain2d-sn"), {}
    sigma = torch.tensor([SIGMA])
    sizes = (32, 48, 64) if options.small else (96, 128, 192, 256, 384)
    plans: dict[str, list[tuple[int, int, int]]] = {
        "pixels": [(n, 8, 1) for n in sizes],
        "coils": [(sizes[1], c, 1) for c in (4, 8, 16, 32)],
        "batch": [(sizes[1], 8, b) for b in (1, 2, 4, 8)],
    }
    for name, plan in plans.items():
        points = []
        for n, coils, batch in plan:
            maps = torch.randn(batch, coils, n, n, dtype=torch.complex64)
            A = CartesianMRI(
                maps / maps.norm(dim=1, keepdim=True), torch.rand(batch, 1, n, n) < 0.3
            )
            x = torch.randn(batch, 1, n, n, dtype=torch.complex64)
            with torch.no_grad():
                times = seconds(
                    {
                        "network": lambda x=x: model.network(x, sigma.expand(len(x))),
                        "AHA": lambda A=A, x=x: A.normal(x),
                    },
                    2 * options.repeats,
                )
            variable = {"pixels": n * n, "coils": coils, "batch": batch}[name]
            points.append({"at": variable} | times)
        facts[name] = {"points": points} | {
            f"exponent of {part}": exponent([(p["at"], p[part]) for p in points])
            for part in ("network", "AHA")
        }
    return facts


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Slope of a line through logarithms, by least squares."""
    xs = torch.tensor([math.log(x) for x, _ in points], dtype=torch.float64)
    ys = torch.tensor([math.log(y) for _, y in points], dtype=torch.float64)
    xs = xs - xs.mean()
    return float((xs * ys).sum() / xs.square().sum())


if __name__ == "__main__":
    main()
