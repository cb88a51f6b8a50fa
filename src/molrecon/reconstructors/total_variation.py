"""Total variation."""

from __future__ import annotations

from typing import Any

from molrecon.reconstructors.sparse import Sparse


class TotalVariation(Sparse):
    """``min_x ½‖Ax − y‖² + lam ‖∇x‖₁`` with periodic finite differences ∇, by primal–dual steps.

    (Block, Uecker, Frahm, MRM 2007; Chambolle and Pock, J. Math. Imaging Vis. 2011.) The norm sums
    the magnitudes along all axes (anisotropic). Algorithm and operators are sigpy's; its steps
    satisfy ``τσ(‖A‖² + 4d) ≤ 1`` for d spatial axes. Parameters as in `Sparse`.
    """

    noise_factor = 0.25

    def _solver(self, A: Any, y: Any, lam: float, norm: float) -> Any:
        sigpy = self._sigpy
        spatial = tuple(range(1, len(A.ishape)))
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
