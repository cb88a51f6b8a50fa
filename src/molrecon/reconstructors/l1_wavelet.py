"""Compressed sensing with wavelets."""

from __future__ import annotations

from typing import Any

from molrecon.reconstructors.sparse import Sparse


class L1Wavelet(Sparse):
    """``min_x ½‖Ax − y‖² + lam ‖Wx‖₁`` with Daubechies-4 wavelets W, by FISTA.

    (Lustig, Donoho, Pauly, MRM 2007; Beck and Teboulle, SIAM J. Imaging Sci. 2009.) Algorithm,
    transform and threshold are sigpy's. Along the border its transform is no longer unitary, so
    there the threshold is only nearly the proximal step of ``‖W·‖₁``.

    Parameters
    ----------
    lam
        Weight of the sparsity, relative to the image peak; by default in proportion to the noise.
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
    noise_factor = 0.5

    def _solver(self, A: Any, y: Any, lam: float, norm: float) -> Any:
        sigpy = self._sigpy
        spatial = tuple(range(1, len(A.ishape)))
        W = sigpy.linop.Wavelet(A.ishape, axes=spatial, wave_name="db4")
        app = sigpy.app.LinearLeastSquares(
            A,
            y,
            proxg=sigpy.prox.UnitaryTransform(sigpy.prox.L1Reg(W.oshape, lam), W),
            alpha=1 / norm**2,
            max_iter=self.max_iterations,
            show_pbar=False,
        )
        return app.alg
