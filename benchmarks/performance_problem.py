"""What `performance.py` measures on: scans, their exact solutions, the equation, and times."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

import gpu
import molrecon
from common import brain
from molrecon import CartesianMRI, ConjugateGradient, DynamicMRI, Equilibrium, ForwardBackward
from molrecon.data.simulation import simulate_acquisition
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.evaluation.reference_problem import retrospective_problem
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.learned import LearnedReconstructor

TARGET, SIGMA = 1e-3, 0.01

Facts = dict[str, Any]

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    # With one thread, what other work on a machine changes least.
    "processor": time.process_time,
}


def seconds(
    calls: dict[str, Callable[[], object]], repeats: int, clock: str = "wall"
) -> dict[str, float]:
    """Median times of several calls, in turns, after one of each that is not counted."""
    now = CLOCKS[clock]
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            started = now()
            call()
            if turn:
                found[name].append(now() - started)
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

    def stopped(self, targets: Sequence[float], own: Equilibrium) -> dict[float, Equilibrium]:
        """Return the settings that stop after the first iteration within each distance."""
        found: dict[float, Equilibrium] = {}
        for iterations in range(1, own.forward.max_iterations):
            solver = replace(own.forward, tol=1e-12, max_iterations=iterations)
            settings = replace(own, forward=solver)
            reached = self.distance(self.solve(settings).value)
            found |= {d: settings for d in targets if d not in found and reached <= d}
            if len(found) == len(targets):
                return found
        raise SystemExit(f"a distance of {min(targets)} is not reached")


def real(model: str, acceleration: float, options: argparse.Namespace) -> Problem:
    """The real scan, undersampled afterwards; of a rehearsal a small simulated one."""
    if options.small:
        item = gpu.scan((64, 56))
        return Problem(molrecon.load(model), *gpu.on(item, torch.device("cpu")))
    scan = retrospective_problem(
        brain(), acceleration, mask_kind="variable-density", calibration=24, seed=0
    )
    return Problem(molrecon.load(model), scan.y, scan.A)


def captured(problem: Problem) -> tuple[Inclusion, Tensor]:
    """Return the equation of a solve, in units of the image peak, and where it starts."""
    found: list[tuple[Inclusion, Tensor]] = []

    class Spy(ForwardBackward):
        def __call__(self, equation: Any, x0: Tensor, **how: Any) -> Any:
            found.append((equation, x0))
            return super().__call__(equation, x0, **how)

    problem.solve(as_solver(Spy, problem.model.equilibrium))
    return found[-1]


def as_solver(kind: type[ForwardBackward], own: Equilibrium) -> Equilibrium:
    """Return the settings of a model with its forward solver of another kind."""
    forward = own.forward
    names = [one.name for one in fields(ForwardBackward)]
    return replace(own, forward=kind(**{name: getattr(forward, name) for name in names}))


def drawn(model: str, shape: tuple[int, ...]) -> tuple[Tensor, LinearOperator]:
    """Measurements of a drawn slice or volume, or of a series whose frames it is."""
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
    calibration = min(6, shape[-1] // 8)
    mask = molrecon.make_mask("frames-variable-density", shape, 6, calibration=calibration, seed=0)
    A = DynamicMRI(maps, mask.expand(1, 1, *shape))
    noise = torch.Generator().manual_seed(0)
    return molrecon.add_noise(A(frames), SIGMA, generator=noise) * mask, A
