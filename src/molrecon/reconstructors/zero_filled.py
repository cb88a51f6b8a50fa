"""The zero-filled image: what was measured, transformed back."""

from __future__ import annotations

import time
from dataclasses import replace

from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.base import Reconstructor, direct_solution
from molrecon.reconstructors.start import check_call


class ZeroFilled(Reconstructor):
    """``Aᴴy``: samples that were not measured count as zero.

    Samples that lie more densely in places, as along spokes, count less
    (`LinearOperator.zero_filled`). It solves no equation, so nothing is known about its error, and
    ``sigma`` and ``tol`` have no effect.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Inpainting, ZeroFilled
    >>> mask = torch.tensor([[True, False], [True, True]]).reshape(1, 1, 2, 2)
    >>> ZeroFilled()(torch.ones(1, 1, 2, 2) * mask, Inpainting(mask)).value.flatten().tolist()
    [1.0, 0.0, 1.0, 1.0]
    """

    name = "zero-filled"
    linear = True

    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
    ) -> Solution:
        """Reconstruct, see `Reconstructor`."""
        started = time.perf_counter()
        check_call(y, A, sigma, tol)
        solution = direct_solution(A.zero_filled(y), raise_on_failure=raise_on_failure)
        return replace(solution, seconds=time.perf_counter() - started)
