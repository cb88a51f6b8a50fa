"""Compressed sensing with wavelets."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molrecon.reconstructors.sparse import Sparse

WEIGHT = 0.3
"""Weight by default, in units of the noise level: by simulated scans of training images (4×; noise
of 1 and 0.2 % of the peak), where 0.25 and 0.35 are within 0.2 dB of the best, and 0.5 below."""
SCALES = 4
"""Scales of the wavelets whose grid the shifts move: noise hardly reaches coarser ones."""


class L1Wavelet(Sparse):
    """``min_x ½‖Ax − y‖² + lam ‖Wx‖₁`` with Daubechies-4 wavelets W at all places, by FISTA.

    (Lustig, Donoho, Pauly, MRM 2007; Beck and Teboulle, SIAM J. Imaging Sci. 2009.) What a wavelet
    makes of an edge depends on where the edge lies on its grid, so thresholds leave marks along
    edges. The image is moved to several places, thresholded there, moved back and averaged
    (Coifman and Donoho, 1995), always by the same shifts: that is the proximal step of one convex
    penalty, the proximal average of ``lam ‖W·‖₁`` at these places (Yu, NeurIPS 2013), so the
    iteration converges, as it does not with a shift drawn anew each time. Algorithm, transform and
    threshold are sigpy's. Along the border its transform is no longer unitary, so there the
    threshold is only nearly a proximal step.

    Parameters
    ----------
    lam
        Weight of the sparsity, relative to the image peak; by default in proportion to the noise.
    shifted
        Whether thresholds are averaged over shifts, two along every axis and four of an image; else
        the image stays where it is, which takes half the time and leaves more error.
    change
        Relative change of the image at which the iteration stops.
    max_iterations
        Cap on the iterations.

    Raises
    ------
    InputError
        If an argument is not positive, or sigpy is not installed.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, L1Wavelet
    >>> L1Wavelet(lam=0.01)(torch.ones(1, 1, 16, 16), Denoising((1, 16, 16))).value.shape
    torch.Size([1, 1, 16, 16])
    """

    name = "l1-wavelet"
    noise_factor = WEIGHT

    def __init__(
        self,
        lam: float | None = None,
        *,
        shifted: bool = True,
        change: float = 1e-4,
        max_iterations: int = 1000,
    ) -> None:
        super().__init__(lam, change=change, max_iterations=max_iterations)
        self.shifted = shifted

    def _solver(self, A: Any, y: Any, lam: float, norm: float) -> Any:
        sigpy = self._sigpy
        spatial = tuple(range(1, len(A.ishape)))
        W = sigpy.linop.Wavelet(A.ishape, axes=spatial, wave_name="db4")
        step = sigpy.prox.UnitaryTransform(sigpy.prox.L1Reg(W.oshape, lam), W)
        moves = _shifts(len(spatial)) if self.shifted else [(0,) * len(spatial)]

        class Averaged(sigpy.prox.Prox):  # type: ignore[misc, name-defined]
            def _prox(self, alpha: float, array: NDArray[Any]) -> NDArray[Any]:
                total = np.zeros_like(array)
                for move in moves:
                    moved = np.roll(array, move, spatial)
                    total += np.roll(step(alpha, moved), [-n for n in move], spatial)
                return total / len(moves)

        app = sigpy.app.LinearLeastSquares(
            A,
            y,
            proxg=Averaged(A.ishape),
            alpha=1 / norm**2,
            max_iter=self.max_iterations,
            show_pbar=False,
        )
        return app.alg


def _shifts(axes: int) -> list[tuple[int, ...]]:
    """Return shifts in pixels by which every scale has the image at all ``2**axes`` of its places.

    A grid of scale j repeats after ``2**j`` pixels, so bit j of the shifts counts there. The axes
    take their bits in turn, which makes the shifts of different scales differ.
    """
    return [
        tuple(sum(2**j * place[(axis + j) % axes] for j in range(SCALES)) for axis in range(axes))
        for place in product((0, 1), repeat=axes)
    ]
