"""Shorter ways to a fixed point that were tried: what they save, and at what cost.

All figures are of the real scan. The steps are those of the solver, with Anderson's method: what is
counted is the applications of the network until the iterate is within a distance of the solution.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon import ConjugateGradient
from molrecon.equilibrium.anderson import AndersonHistory
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.operators.base import LinearOperator
from performance_problem import Facts, captured, real, seconds

DISTANCES = (1e-2, 1e-3, 2.5e-5)
"""Distances that steps are counted to; at the last one 1e-3 is proved."""
MOST = 60
LOW = 0.5
"""Share of k-space, along each axis, that a coarse grid would solve for."""


@dataclass(frozen=True)
class Way:
    """One way of stepping.

    Attributes
    ----------
    shift
        h: the step solves with ``(1 − h) I + λAᴴA``, as if the network were h times its argument.
    memory
        Of Anderson's method.
    rtol
        Of the linear systems.
    known
        What of the solution the start has: nothing, the lower frequencies that a coarse grid could
        give at best, or all but a fifth of the distance.
    """

    shift: float = 0.0
    memory: int = 5
    rtol: float = 0.2
    known: str = "nothing"


WAYS = {
    "the solver's steps": Way(),
    "a memory of 20": Way(memory=20),
    "linear systems to 0.01": Way(rtol=0.01),
    "linear systems with 0.7 I + λAᴴA": Way(shift=0.3),
    "linear systems with 0.5 I + λAᴴA": Way(shift=0.5),
    "linear systems with 0.3 I + λAᴴA": Way(shift=0.7),
    "a start with the lower half of the solution's frequencies": Way(known="low"),
    "a start at a fifth of the distance": Way(known="near"),
}


@torch.no_grad()
def tried(options: argparse.Namespace) -> Facts:
    """Return the steps of every way, and the cost of factors of the linear systems."""
    rows: list[Facts] = []
    for model in ("brain2d-sn", "brain2d-guided"):
        for acceleration in (4.0, 6.0):
            problem = real(model, acceleration, options)
            equation, start = captured(problem)
            exact = problem.exact() / problem.held.fixed["scale"].to(torch.float64)
            for name, way in WAYS.items():
                found = steps(equation, begun(way, start, exact), exact, way)
                rows.append({"model": model, "acceleration": acceleration, "way": name} | found)
                print(rows[-1], flush=True)
    return {"ways": rows, "factors": factors(problem.A, options)}


def begun(way: Way, start: Tensor, exact: Tensor) -> Tensor:
    """Return where a way starts."""
    if way.known == "near":
        start = exact + (start - exact) / 5
    elif way.known == "low":
        start = start + lower(exact - start)
    return start.to(torch.complex64)


def lower(image: Tensor) -> Tensor:
    """Return an image without its higher frequencies."""
    dims = (-2, -1)
    k = torch.fft.fftn(image, dim=dims)
    for axis in dims:
        frequency = torch.fft.fftfreq(k.shape[axis]).abs() < LOW / 2
        k = k * frequency.reshape(-1, *[1] * (-1 - axis))
    return torch.fft.ifftn(k, dim=dims)


def steps(equation: Inclusion, start: Tensor, exact: Tensor, way: Way) -> Facts:
    """Count applications of the network and of AᴴA until each distance."""
    inner = ConjugateGradient(rtol=way.rtol, max_iterations=200)
    history, x, normals = AndersonHistory(way.memory), start, 0
    reached: dict[str, tuple[int, int]] = {}
    for number in range(1, MOST + 1):
        p = -equation.residual(x) / (1 - way.shift)
        solution = inner(equation.A, equation.lam / (1 - way.shift), p)
        normals += 1 + solution.normal_evaluations
        image = x + solution.value
        away = float((image - exact).norm() / exact.norm())
        for distance in DISTANCES:
            if away <= distance:
                reached.setdefault(f"{distance:g}", (number, normals))
        if len(reached) == len(DISTANCES) or not away < 1e3:
            break
        history.push(image, solution.value, torch.ones(1, dtype=torch.bool))
        x = history.propose()
    return {"reached": reached}


def factors(A: LinearOperator, options: argparse.Namespace) -> Facts:
    """Times of (I + λAᴴA)⁻¹ of a mask of lines by factors, one for every place of the readout.

    Along the readout the systems are apart from each other: one matrix of as many rows as there
    are places across it for each place along it, of which the Cholesky factor, or the inverse,
    serves every right-hand side of one λ.
    """
    import gpu

    size = (64, 56) if options.small else gpu.SLICE
    A = gpu.on(gpu.scan(size, mask_kind="equispaced"), torch.device("cpu"))[1]
    lam, x = torch.tensor([10.0]), torch.randn(1, *A.shape_in, dtype=torch.complex64)
    maps, across = A.coil_maps[0], A.mask[0, 0, 0].float()
    # Of lines across the last axis: the readout is the first one.
    unit = torch.eye(len(across), dtype=torch.complex64)
    filtered = torch.fft.ifft(
        torch.fft.fft(unit, dim=0) * torch.fft.ifftshift(across)[:, None], dim=0
    )

    def matrices() -> Tensor:
        gram = torch.einsum("cyj,cyk->yjk", maps.conj(), maps)
        return gram * filtered * lam + unit

    right = x[0, 0, :, :, None]
    matrix = matrices()
    factor = torch.linalg.cholesky(matrix)
    inverse = torch.cholesky_inverse(factor)
    solved = (inverse @ right)[..., 0]
    residual = solved + lam * A.normal(solved[None, None])[0, 0] - x[0, 0]
    calls: dict[str, Callable[[], Any]] = {
        "matrices": matrices,
        "Cholesky": lambda: torch.linalg.cholesky(matrix),
        "inverse from the factor": lambda: torch.cholesky_inverse(factor),
        "solve by the factor": lambda: torch.cholesky_solve(right, factor),
        "solve by the inverse": lambda: inverse @ right,
        "conjugate gradients to 0.2": lambda: ConjugateGradient(rtol=0.2)(A, lam, x),
        "conjugate gradients to 1e-6": lambda: ConjugateGradient(rtol=1e-6)(A, lam, x),
    }
    return {
        "residual": float(residual.norm() / x.norm()),
        "MB": inverse.numel() * inverse.element_size() / 1e6,
        "seconds": seconds(calls, options.repeats),
    }
