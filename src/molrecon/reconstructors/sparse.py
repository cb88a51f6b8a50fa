"""Sparsity-regularised reconstructions, solved by sigpy."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.start import (
    as_sigma,
    check_scale,
    check_signal,
    sense_start,
)

NORM_MARGIN = 1.1
"""Allowance for a power iteration that approaches ‖A‖² from below."""


class Weighted(Reconstructor):
    """A method with a weight ``lam`` of its penalty, relative to the image peak.

    Measurements may have any unit: they are divided by the peak of a short SENSE reconstruction.
    A subclass sets ``lam``, None for a weight in proportion to the noise.
    """

    differentiable = False
    tunable = True
    lam: float | None
    noise_factor: float
    """The default weight, in units of the noise level per sample."""

    @abstractmethod
    def _solve(
        self, y: Tensor, A: LinearOperator, scale: Tensor, sigma: Tensor | None = None
    ) -> Solution:
        """Return the solution, in the unit of ``y``; ``scale`` is the image peak."""

    def _weights(self, scale: Tensor, sigma: Tensor | None) -> Tensor:
        """Return the weight of every sample, in units of the peak."""
        if self.lam is not None:
            lams = torch.full_like(scale, self.lam)
        else:
            assert sigma is not None
            lams = self.noise_factor * sigma / scale
        return self.strength * lams

    @property
    def needs_sigma(self) -> bool:
        """Whether the weight is in proportion to it."""
        return self.lam is None

    @torch.no_grad()
    def settled(self, y: Tensor, A: LinearOperator, sigma: Tensor | float | None) -> dict[str, Any]:
        """Return the unit and, where the weight rests on it, the noise level for ``y``."""
        check_signal(y, A, sigma)
        _, scale = sense_start(y, A)
        check_scale(scale)
        if self.lam is not None:
            return {"scale": scale}
        noise = as_sigma(A.estimate_sigma(y) if sigma is None else sigma, y)
        return {"scale": scale, "sigma": noise}

    @torch.no_grad()
    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
        scale: Tensor | None = None,
    ) -> Solution:
        """Reconstruct, see `Reconstructor`; σ is for the default weight, ``tol`` has no effect.

        Parameters
        ----------
        scale
            The image peak ``(batch,)`` to compute in units of, in the unit of ``y``; by default
            that of a short SENSE reconstruction.
        """
        started = time.perf_counter()
        check_signal(y, A, sigma, tol)
        fixed = {"scale": scale, "sigma": sigma} if scale is not None else self.settled(y, A, sigma)
        solution = self._solve(y, A, **fixed)
        if raise_on_failure:
            solution.raise_unless_converged(f"{self.name} solve")
        return replace(solution, seconds=time.perf_counter() - started)

    @property
    def kspace_copies(self) -> int:
        """The measurements in the unit of the image, the dual variable, its step and their sum."""
        return 4


class Sparse(Weighted):
    """``min_x ½‖Ax − y‖² + lam ‖Wx‖₁``, for any operator A, one sample after the other.

    Measurements may have any unit: they are divided by the peak of a short SENSE reconstruction,
    and ``lam`` is relative to it. The iteration starts at zero and stops when the image changes by
    less than ``change`` (relative); that says nothing about the distance to the minimiser, so there
    is no error bound, and the tolerance of a call has no effect. Computed on the CPU, without
    gradients.
    """

    def __init__(
        self, lam: float | None = None, *, change: float = 1e-4, max_iterations: int = 1000
    ) -> None:
        if not (lam is None or lam > 0) or not change > 0 or max_iterations < 1:
            raise InputError(
                f"lam is {lam}, change {change} and max_iterations {max_iterations}, expected "
                "positive values"
            )
        self.lam, self.change, self.max_iterations = lam, change, max_iterations
        self._sigpy = _sigpy(type(self).__name__)

    @abstractmethod
    def _solver(self, A: Any, y: Any, lam: float, norm: float) -> Any:
        """Return sigpy's algorithm with an attribute ``x``; ``norm`` is at least ‖A‖."""

    def _solve(
        self, y: Tensor, A: LinearOperator, scale: Tensor, sigma: Tensor | None = None
    ) -> Solution:
        lams = self._weights(scale, sigma)
        norms = (A.norm(tol=1e-3) * NORM_MARGIN**0.5).expand(scale.shape).tolist()
        on_cpu = A.to("cpu")
        scaled = (y / per_sample(scale, y)).cpu()
        runs = [
            self._run(on_cpu, scaled, sample, lam, norms[sample])
            for sample, lam in enumerate(lams.tolist())
        ]
        values = torch.stack([torch.from_numpy(image) for image, _, _ in runs])
        values = values.to(dtype=A.dtype, device=y.device)
        iterations = torch.tensor([n for _, _, n in runs], device=scale.device)
        return Solution(
            value=values * per_sample(scale, values),
            status=tuple(self._status(c) for _, c, _ in runs),
            iterations=iterations,
            normal_evaluations=int(iterations.sum()),
            relative_residual=torch.tensor([c for _, c, _ in runs]).to(scale),
            lam=1 / lams,
            sigma=sigma,
        )

    def _run(
        self, A: LinearOperator, y: Tensor, sample: int, lam: float, norm: float
    ) -> tuple[Any, float, int]:
        linop = _linop(self._sigpy, A, y, sample)
        # Complex for real images too: sigpy's thresholds turn real arrays into complex ones.
        data = y[sample].to(y.dtype.to_complex()).numpy()
        algorithm = self._solver(linop, data, lam, norm)
        change = float("inf")
        while algorithm.iter < self.max_iterations and change > self.change:
            before = algorithm.x.copy()
            algorithm.update()
            size = float(np.linalg.norm(algorithm.x))
            change = float(np.linalg.norm(algorithm.x - before)) / size if size > 0 else 0.0
        image = algorithm.x if A.dtype.is_complex else algorithm.x.real
        return image, change, algorithm.iter

    def _status(self, change: float) -> Status:
        if not change < float("inf"):
            return Status.NON_FINITE
        return Status.CONVERGED if change <= self.change else Status.ITERATION_LIMIT


def _sigpy(who: str) -> ModuleType:
    try:
        import sigpy
        import sigpy.app
    except ImportError as error:
        raise InputError(
            f"{who} needs the package sigpy, which is not installed; run 'pip install "
            "molrecon[mri]' or use another method."
        ) from error
    module: ModuleType = sigpy
    return module


def _linop(sigpy: ModuleType, A: LinearOperator, y: Tensor, sample: int) -> Any:
    """Wrap one sample of an operator as sigpy's; arrays exclude the batch axis and are complex."""

    def apply(operator: Any, array: Any) -> Any:
        one = torch.from_numpy(array if A.dtype.is_complex else array.real)
        # An operator that holds parameters for several samples wants as many images.
        batch = one[None].expand(A.batch, *array.shape)
        return operator(batch)[sample if A.batch > 1 else 0].numpy().astype(array.dtype)

    class Wrapped(sigpy.linop.Linop):  # type: ignore[misc, name-defined]
        def __init__(self, operator: Any, adjoint: Any, shape_out: Any, shape_in: Any) -> None:
            self._operator, self._other = operator, adjoint
            super().__init__(shape_out, shape_in, repr_str=type(A).__name__)

        def _apply(self, array: Any) -> Any:
            return apply(self._operator, array)

        def _adjoint_linop(self) -> Any:
            return Wrapped(self._other, self._operator, self.ishape, self.oshape)

        def _normal_linop(self) -> Any:
            return Wrapped(A.normal, A.normal, self.ishape, self.ishape)

    return Wrapped(A, A.H, tuple(y.shape[1:]), A.shape_in)
