"""The exact solution of a small problem, found apart from the solver whose bound is tested."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor

from molrecon.equilibrium.anderson import AndersonHistory
from molrecon.networks.base import Network
from molrecon.operators.base import LinearOperator, norm, per_sample
from molrecon.reconstructors.mol import MOL

LONGEST = 20_000
"""Iterations of a solution; of a map that does not contract none is found."""

MEMORY = 6
"""Of the acceleration."""

SHARE = 0.01
"""Error of a solution, relative to the bound that is compared with its distance."""


@torch.no_grad()
def exact_solution(
    model: MOL,
    A: LinearOperator,
    y: Tensor,
    unit: Tensor,
    sigma: Tensor,
    lam: Tensor,
    start: Tensor,
    wanted: Tensor,
    *,
    network: Network | None = None,
    longest: int = LONGEST,
) -> tuple[Tensor, Tensor]:
    """Return the solution x* in double precision, and a bound on its own relative error.

    The numbers are those that are stored, in single precision; what is computed from them is not.
    The linear systems are solved with dense inverses, and an accelerated step that does not shorten
    the next one gives way to the plain step, which contracts.

    Parameters
    ----------
    model
        The model, in evaluation mode; only its network and its constants are used.
    A
        The operator, of few pixels.
    y, unit
        Measurements ``(batch, *A.shape_out)``, and what they are divided by, ``(batch,)``.
    sigma
        Noise level that the network is told, ``(batch,)``.
    lam
        λ of every sample, ``(batch,)``.
    start
        Where to begin, ``(batch, *A.shape_in)``, in units of ``unit``.
    wanted
        Relative bound that the solution is to be compared with, ``(batch,)``: it is found to a
        hundredth of that.
    network
        In place of the model's own: the same at the thresholds that a guide has set.
    longest
        Iterations after which what is found is returned, with its error.
    """
    double, s = A.in_double, 1 + model.shift
    network = deepcopy(network or model.network_at(A)).double()
    sigma, lam = sigma.double(), lam.double()
    y = y.to(double.dtype) / per_sample(unit.double(), y)
    if model.unshrunk:
        y = y * per_sample(1 + (model.monotonicity + model.shift) / lam, y)
    size = math.prod(A.shape_in)
    basis = torch.eye(size, dtype=double.dtype).reshape(size, *A.shape_in)
    normal = torch.stack([double.H(double(e[None])).flatten() for e in basis], 1)
    system = s * torch.eye(size, dtype=double.dtype) + lam[:, None, None] * normal
    inverse, support = torch.linalg.inv(system), double.support

    def step(x: Tensor) -> Tensor:
        h = network(x if support is None else x * support, sigma)
        h = model.network_gain * (h if support is None else h * support)
        p = h - s * x + per_sample(lam, x) * double.H(y - double(x))
        solved: Tensor = inverse @ p.flatten(1)[..., None]
        return solved.reshape(x.shape)

    rate = (model.monotonicity + model.shift) / s
    x, history = start.to(double.dtype), AndersonHistory(MEMORY)
    every = torch.ones(len(x), dtype=torch.bool)
    best, found = torch.full((len(x),), torch.inf, dtype=torch.float64), x
    trial, plain = x, x
    error = torch.full_like(best, torch.inf)
    for _ in range(longest):
        d = step(trial)
        length = norm(d)
        good, better = length <= (1 - rate) * best, length < best
        found = torch.where(per_sample(better, x), trial + d, found)
        best = torch.minimum(best, length)
        error = (1 - rate) / rate * best / norm(found).clamp_min(1e-300)
        if bool((error <= SHARE * wanted + 1e-12).all()):
            break
        plain = torch.where(per_sample(good, x), trial + d, plain)
        plain = torch.where(per_sample(~good, x), plain + step(plain), plain)
        history.push(trial + d, d, every)
        trial = torch.where(per_sample(good, x), history.propose(), plain)
    return found, error
