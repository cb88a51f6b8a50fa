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
    lam
        Weight of the sparsity, relative to the image peak; by default in proportion to the noise.
    difference_axes
        Spatial axes along which differences are taken, all by default: ``(0,)`` for series of
        frames ``(t, y, x)`` is total variation in time (Feng et al., GRASP, MRM 2014).
    change
        Relative change of the image at which the iteration stops.
    max_iterations
        Cap on the iterations.

    Raises
    ------
    InputError
        If an argument is not positive, or sigpy is not installed; when it is applied, if there is
        no such axis.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, TotalVariation
    >>> TotalVariation(lam=0.01)(torch.ones(1, 1, 16, 16), Denoising((1, 16, 16))).value.shape
    torch.Size([1, 1, 16, 16])
    """

    name = "tv"
    noise_factor = 0.25

    def __init__(
        self,
        lam: float | None = None,
        *,
        difference_axes: Sequence[int] | None = None,
        change: float = 3e-5,
        max_iterations: int = 1000,
    ) -> None:
        super().__init__(lam, change=change, max_iterations=max_iterations)
        self.difference_axes = difference_axes

    def _solver(self, A: Any, y: Any, lam: float, norm: float) -> Any:
        sigpy = self._sigpy
        ndim = len(A.ishape) - 1
        chosen = range(ndim) if self.difference_axes is None else self.difference_axes
        if not chosen or any(not 0 <= axis < ndim for axis in chosen):
            raise InputError(
                f"difference_axes is {tuple(chosen)}, expected some of 0 to {ndim - 1}"
            )
        spatial = tuple(1 + axis for axis in chosen)
        # Duals are the smaller the smaller lam, images of 1: equal steps take thousands of
        # iterations there, and stop far from the minimiser. The power law is a fit to brains.
        dual = min(1.0, 7 * lam ** (2 / 3))
        G = sigpy.linop.FiniteDifference(A.ishape, axes=spatial)
        app = sigpy.app.LinearLeastSquares(
            A,
            y,
            proxg=sigpy.prox.L1Reg(G.oshape, lam),
            G=G,
            sigma=dual,
            tau=1 / (dual * (norm**2 + 4 * len(spatial))),
            max_iter=self.max_iterations,
            show_pbar=False,
        )
        return app.alg
