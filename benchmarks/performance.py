"""Speed and work of solvers, operators, network and training: all of docs/performance.md.

    MOLRECON_DATA=… python benchmarks/performance.py            # or: make bench

On an idle machine, about half an hour; the numbers go to ``benchmarks/results.json`` and the page
is written from them (``--page`` writes it again). All ratios are of one run, times are medians, one
after the other in turns. Distances are relative, to the solution of the same equation in double
precision at 1e-8. torchdeq is compared with if it can be imported (``pip install --no-deps
torchdeq``); it gets the same map, with our inner solver or with plain conjugate gradients to 1e-6.
deepinv is compared with in an environment of its own, which ``--deepinv FOLDER`` names and fills.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gpu
import molrecon
from molrecon import CartesianMRI, ConjugateGradient, Equilibrium, ForwardBackward
from molrecon.equilibrium.fixed_point import Step
from molrecon.equilibrium.implicit import published_equilibrium
from performance_bf16 import bf16
from performance_deepinv import deepinv
from performance_page import written
from performance_plot import drawn_progress
from performance_problem import (
    CLOCKS,
    SIGMA,
    TARGET,
    Facts,
    Problem,
    captured,
    drawn,
    real,
    seconds,
)
from performance_tried import tried

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PLOT = PAGE.parent / "pictures" / "performance.png"
LADDER = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
"""Distances to the solution of which time and work are told."""
PUBLISHED_SHIFT = 0.1
SIMULATED = (
    ("brain2d-sn", (256, 256)),
    ("brain3d-planes", (16, 48, 48)),
    ("series-strict", (8, 64, 64)),
)
"""Models and the shapes of the objects that are drawn for them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="small sizes, for a rehearsal")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument("--only", nargs="+", help="names of parts to measure anew")
    parser.add_argument(
        "--deepinv", type=Path, help="environment of deepinv; made if it is not (several GB)"
    )
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="of series, deepinv and bf16"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = {
        "solves": solves,
        "rivals": rivals,
        "deepinv": deepinv,
        "series": series,
        "pieces": pieces,
        "bf16": bf16,
        "training": training,
        "scaling": scaling,
        "tried": tried,
    }
    facts: Facts = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not options.page:
        here, before = machine(options), facts.get("machine")
        apart = facts.setdefault("apart", {})
        if options.only is None:
            facts["machine"] = here
        for name, part in parts.items():
            if options.only is None or name in options.only:
                started = time.perf_counter()
                found = part(options)
                print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
                if not found:  # it cannot be measured here: what was found elsewhere stays
                    if options.only is None and name in facts:
                        apart.setdefault(name, before)
                    continue
                facts[name] = found
                apart.pop(name, None)
                if options.only is not None:
                    apart[name] = here
                if not options.small:
                    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    if not options.small:
        PAGE.write_text(written(facts))
        drawn_progress(facts, PLOT)


def machine(options: argparse.Namespace) -> Facts:
    """What is measured on, and how many processes wait for its processors before that."""
    return {
        "processor": processor(),
        "threads": options.threads,
        "torch": torch.__version__,
        "molrecon": molrecon.__version__,
        "repeats": options.repeats,
        "load": os.getloadavg()[0],
        "clock": options.clock,
    }


def processor() -> str:
    """What the machine says that it is."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(one.split(":")[1].strip() for one in lines if one.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def solves(options: argparse.Namespace) -> list[Facts]:
    """Ours, to distances and to the proof, beside the published settings."""
    rows = []
    for model in ("brain2d-sn", "brain2d-guided"):
        for acceleration in (4.0, 6.0):
            problem = real(model, acceleration, options)
            own = problem.model.equilibrium
            runs = stops(problem)
            if "guide" in problem.held.fixed:
                runs["proved, with the first image"] = partial(problem.solve, own, first=True)
            published, times = published_equilibrium(), seconds(runs, options.repeats)
            row: Facts = {"model": model, "acceleration": acceleration, "steps": []}
            for name, run in runs.items():
                row["steps"].append({"to": name, "seconds": times[name]} | work(problem, run()))
            if model == "brain2d-sn":
                row["published"] = published_rows(problem, published)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def stops(problem: Problem) -> dict[str, Callable[[], Any]]:
    """Return calls that solve to each distance, and to the proof."""
    own = problem.model.equilibrium
    settings = problem.stopped(LADDER, own)
    runs = {f"distance {d:g}": partial(problem.solve, settings[d]) for d in LADDER}
    return runs | {"proved": partial(problem.solve, own)}


def work(problem: Problem, found: Any) -> Facts:
    """Return what a solution took and how near it is."""
    return {
        "networks": found.network_evaluations,
        "normals": found.normal_evaluations,
        "distance": problem.distance(found.value),
        "bound": float(found.error_bound),
    }


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
    own, (equation, x0) = problem.model.equilibrium, captured(problem)
    exact = problem.exact() / float(problem.held.fixed["scale"])
    inner = {
        "our inner solver": own.forward.inner,
        "conjugate gradients to 1e-6": ConjugateGradient(
            rtol=1e-6, max_iterations=200, preconditioned=False
        ),
    }
    ours = problem.stopped([TARGET], own)[TARGET]
    rows = []
    for kind, solver in inner.items():
        step = equation.step(1.0, solver)
        start = torch.view_as_real(x0).flatten(1)

        def mapped(z: Tensor, step: Step = step) -> Tensor:
            image = torch.view_as_complex(z.reshape(*x0.shape, 2))
            return torch.view_as_real(step(image).image).flatten(1)

        for name in ("fixed_point_iter", "anderson", "broyden"):
            solve = get_solver(name)
            for most in range(1, 60):
                with torch.no_grad():
                    z = solve(mapped, start, max_iter=most, tol=0.0, return_final=True)[0]
                image = torch.view_as_complex(z.reshape(*x0.shape, 2).contiguous())
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


def series(options: argparse.Namespace) -> list[Facts]:
    """A simulated slice of 12 coils, a volume and a series: to distances and to the proof."""
    rows = []
    for model, shape in SIMULATED:
        shape = tuple(n // 2 for n in shape) if options.small else shape
        problem = Problem(molrecon.load(model), *drawn(model, shape))
        runs = stops(problem)
        times = seconds(runs, min(options.repeats, 2), options.clock)
        row: Facts = {"model": model, "shape": shape, "steps": []}
        for name, run in runs.items():
            row["steps"].append({"to": name, "seconds": times[name]} | work(problem, run()))
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


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
