"""The methods a user can name, all called in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from molrecon.data.axes import Axes
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.closed_form import ClosedForm
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.l1_wavelet import L1Wavelet
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.sense import PUBLISHED_LAM, SENSE, regularised_least_squares
from molrecon.reconstructors.sparse import Sparse
from molrecon.reconstructors.store import load, read_header, resolve
from molrecon.reconstructors.tikhonov import Tikhonov
from molrecon.reconstructors.total_variation import TotalVariation
from molrecon.reconstructors.zero_filled import ZeroFilled

Solve = Callable[[Tensor, LinearOperator, float | None, float], Solution]


@dataclass(frozen=True)
class Method:
    """A way to reconstruct.

    Attributes
    ----------
    name
        The name it goes by.
    solve
        Takes measurements ``(batch, *A.shape_out)``, the operator, sigma (None to have it
        estimated) and the tolerance on the relative distance to the method's own solution, and
        returns a `Solution`. A solve that fails is a status of it; nothing is raised.
    model
        The trained model it uses, if it uses one.
    axes
        Spatial axes it is made for; None for any.
    learned
        The model itself.
    """

    name: str
    solve: Solve
    model: str | None = None
    axes: Axes | None = None
    learned: LearnedReconstructor | None = None

    @property
    def ndim(self) -> int | None:
        """Number of its spatial axes; None for any."""
        return None if self.axes is None else self.axes.ndim


Builder = Callable[..., Method]
"""Takes a model, a device and, by keyword, the settings that the method leaves open."""


def _learned(name: str) -> Builder:
    """Return the builder of a learned method: it takes a model that was trained for it."""

    def build(model: str | Path, device: str) -> Method:
        path = resolve(model)
        config = read_header(path)[0]
        found = config.method
        if found != name:
            raise InputError(
                f"model {str(model)!r} was trained for the method {found}, but {name} is wanted: "
                f"use the method {found}, or a model trained for {name}"
            )
        loaded = load(path, device=device)

        @torch.no_grad()
        def solve(y: Tensor, A: LinearOperator, sigma: float | None, tol: float) -> Solution:
            solution: Solution = loaded(y, A, sigma=sigma, tol=tol, raise_on_failure=False)
            return solution

        return Method(name, solve, str(model), Axes(config.spatial_axes), loaded)

    return build


def _sense(model: str | Path, device: str, *, lam: float = PUBLISHED_LAM) -> Method:
    SENSE(lam)  # refuses a weight out of range

    def solve(y: Tensor, A: LinearOperator, sigma: float | None, tol: float) -> Solution:
        # ‖x‖ ≥ ‖λAᴴy‖ / (1 + λ), so this residual leaves an error of at most tol · ‖x‖.
        solver = ClosedForm(ConjugateGradient(rtol=min(tol, 0.5) / (1 + lam)))
        return SENSE(lam, solver)(y, A)

    return Method("sense", solve)


def _tikhonov(model: str | Path, device: str, *, lam: float | None = None) -> Method:
    tikhonov = Tikhonov(lam)

    def solve(y: Tensor, A: LinearOperator, sigma: float | None, tol: float) -> Solution:
        # The first solve finds λ, the second is as accurate as `_sense`.
        first = tikhonov(y, A, sigma=sigma)
        assert first.lam is not None
        largest = float((first.lam * A.nominal_norm**2).max())
        solver = ClosedForm(ConjugateGradient(rtol=min(tol, 0.5) / (1 + largest)))
        final = regularised_least_squares(y, A, first.lam, solver)
        return replace(final, sigma=first.sigma, seconds=first.seconds + final.seconds)

    return Method("tikhonov", solve)


def _sparse(name: str, kind: Callable[..., Sparse]) -> Builder:
    def build(
        model: str | Path, device: str, *, lam: float | None = None, max_iterations: int = 1000
    ) -> Method:
        sparse = kind(lam, max_iterations=max_iterations)
        return Method(name, lambda y, A, sigma, tol: sparse(y, A, sigma=sigma))

    return build


def _zero_filled(model: str | Path, device: str) -> Method:
    zero_filled = ZeroFilled()
    return Method("zero-filled", lambda y, A, sigma, tol: zero_filled(y, A))


METHODS: dict[str, Builder] = {
    **{name: _learned(name) for name in LEARNED},
    "sense": _sense,
    "tikhonov": _tikhonov,
    "l1-wavelet": _sparse("l1-wavelet", L1Wavelet),
    "tv": _sparse("tv", TotalVariation),
    "zero-filled": _zero_filled,
}
"""Methods by name, each built from a model (which only some need) and a device."""


def build_method(name: str, *, model: str | Path = "brain2d-sn", device: str = "cpu") -> Method:
    """Build a method by its name.

    Parameters
    ----------
    name
        One of `METHODS`.
    model
        A shipped model or a weights file; only methods that need one look at it.
    device
        Where the method computes.

    Raises
    ------
    InputError
        If there is no such method or model.
    """
    if name not in METHODS:
        raise InputError(f"method: found {name!r}, expected one of {', '.join(METHODS)}.")
    return METHODS[name](model, device)
