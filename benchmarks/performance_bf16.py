"""bf16 far from the solution, single precision near it: what it gives, and what it could give.

The network runs in bf16 by autocast until the residual is at most one of `COARSE`, then the solve
goes on from there as always, with the proof in double precision. ``share`` is what applications of
the network in single precision take of a solve: more than that bf16 cannot save.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from molrecon import ForwardBackward
from performance_problem import Facts, as_solver, captured, real, seconds

COARSE = (1e-1, 1e-2)
"""Residuals at which single precision takes over."""
EARLY = 10
"""Iterations with the network in bf16, at most."""
MODELS = ("brain2d-sn",)


@dataclass(frozen=True)
class Mixed(ForwardBackward):
    """Forward–backward splitting that begins with a network in bf16."""

    coarse: float = 1e-2

    def __call__(self, equation: Any, x0: Tensor, **how: Any) -> Any:
        """Solve twice, the second time from where the first came."""
        settings = {"alpha": self.alpha, "memory": self.memory, "inner": self.inner}
        # Rounding of bf16 may keep the residual above that: a few steps are all it gets.
        early = ForwardBackward(
            tol=self.coarse, stopping="residual", max_iterations=EARLY, **settings
        )

        def network(x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, dtype=torch.bfloat16):
                return equation.H(x)

        begun = early(replace(equation, H=network, precise=None), x0)
        found = super().__call__(equation, begun.value, **how)
        return replace(
            found,
            network_evaluations=found.network_evaluations + begun.network_evaluations,
            normal_evaluations=found.normal_evaluations + begun.normal_evaluations,
            iterations=begun.iterations,
        )


def bf16(options: argparse.Namespace) -> list[Facts]:
    """Solves to the proof that begin in bf16, where the network is faster in it at all."""
    return [_of_model(model, options) for model in MODELS]


def _of_model(model: str, options: argparse.Namespace) -> Facts:
    problem = real(model, 4.0, options)
    own = problem.model.equilibrium
    equation, x0 = captured(problem)

    def mixed() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return equation.H(x0)

    with torch.no_grad():
        network = seconds(
            {"single": lambda: equation.H(x0), "bf16": mixed}, options.repeats, options.clock
        )
    runs = {"single": partial(problem.solve, own)}
    if network["bf16"] < network["single"]:
        for coarse in COARSE:
            solver = replace(as_solver(Mixed, own).forward, coarse=coarse)
            runs[f"{coarse:g}"] = partial(problem.solve, replace(own, forward=solver))
    times, solutions = (
        seconds(runs, options.repeats, options.clock),
        {name: run() for name, run in runs.items()},
    )
    # The last application is that of the bound, in double precision.
    single = solutions["single"].network_evaluations - 1
    row: Facts = {
        "model": model,
        "network s": network,
        "share": single * network["single"] / times["single"],
        "solves": [],
    }
    for name, found in solutions.items():
        early = 0 if name == "single" else int(found.iterations)
        row["solves"].append(
            {
                "until": name,
                "seconds": times[name],
                "in bf16": early,
                "networks": found.network_evaluations - early,
                "bound": float(found.error_bound),
            }
        )
    print(json.dumps(row), flush=True)
    return row
