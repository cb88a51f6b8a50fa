"""Total variation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from molrecon.errors import InputError
from molrecon.reconstructors.sparse import Sparse


class TotalVariation(Sparse):
    """``min_x ½‖Ax − y‖² + lam ‖∇x‖₁`` with periodic finite differences ∇, by primal–dual steps.

    (Block, Uecker, Frahm, MRM 2007; Chambolle and Pock, J. Math. Imaging Vis. 2011.) The norm sums
    the magnitudes along all axes (anisotropic). Algorithm and operators are sigpy's; its steps
    satisfy ``τσ(‖A‖² + 4d) ≤ 1`` for d spatial axes.

    Parameters
    ----------
    lam, **options
        As in `Sparse`.
    axes
        Spatial axes along which differences are taken, all by default: ``(0,)`` for series of
        frames ``(t, y, x)`` is total variation in time (Feng et al., GRASP, MRM 2014).

    Raises
    ------
    InputError
        If there is no such axis, when it is applied; or as in `Sparse`.
    """

    noise_factor = 0.25

    def __init__(
        self, lam: float | None = None, *, axes: Sequence[int] | None = None, **options: Any
    ) -> None:
        super().__init__(lam, **options)
        self.axes = axes

    def _solver(self, A: Any, y: Any, lam: float, norm: float) -> Any:
        sigpy = self._sigpy
        ndim = len(A.ishape) - 1
        chosen = range(ndim) if self.axes is None else self.axes
        if not chosen or any(not 0 <= axis < ndim for axis in chosen):
            raise InputError(f"axes are {tuple(chosen)}, expected some of 0 to {ndim - 1}")
        spatial = tuple(1 + axis for axis in chosen)
        G = sigpy.linop.FiniteDifference(A.ishape, axes=spatial)
        app = sigpy.app.LinearLeastSquares(
            A,
            y,
            proxg=sigpy.prox.L1Reg(G.oshape, lam),
            G=G,
            sigma=1,
            tau=1 / (norm**2 + 4 * len(spatial)),
            max_iter=self.max_iterations,
            show_pbar=False,
        )
        return app.alg
