"""Regularised SENSE: the linear least-squares reconstruction."""

from __future__ import annotations

from copy import copy

from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.least_squares import KSPACE_COPIES, regularised_least_squares
from molrecon.reconstructors.limited_gain import MARGIN
from molrecon.reconstructors.start import check_call

PUBLISHED_LAM = 100.0


class SENSE(Reconstructor):
    """``min_x λ‖Ax − y‖² + ‖x‖²``, that is ``(I + λAᴴA) x = λAᴴy``.

    Pruessmann et al. 1999/2001 with Tikhonov weight 1/λ. The default λ = 100 is the published
    one; it has no unit, since ‖A‖ ≤ 1 for coil maps of unit root sum of squares. The noise level
    has no effect.

    The error bound is that of the linear solve: the matrix is at least I, so
    ``‖x − x*‖ ≤ ‖residual‖``. The image moves by at most ``½√λ‖Δy‖`` (`robustness_constant`).

    Parameters
    ----------
    lam
        Weight λ > 0 of the data term.
    max_iterations
        Cap on the iterations of the linear solve, for operators without a closed form.

    Raises
    ------
    InputError
        If an argument is not positive.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, Denoising
    >>> solution = SENSE(lam=9.0)(torch.ones(1, 1, 4, 4), Denoising((1, 4, 4)))
    >>> round(solution.value.mean().item(), 6), solution.robustness.item()
    (0.9, 1.5)
    """

    name = "sense"
    linear = True
    tunable = True

    def __init__(self, lam: float = PUBLISHED_LAM, *, max_iterations: int = 500) -> None:
        require_weight(lam)
        self.lam, self.max_iterations = lam, max_iterations

    @property
    def kspace_copies(self) -> int:
        """Those of the bound in double precision."""
        return KSPACE_COPIES

    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
    ) -> Solution:
        """Reconstruct, see `Reconstructor`; ``tol`` is 1e-3 by default."""
        check_call(y, A, sigma, tol)
        lam = self.lam / self.strength**2
        if self.most_gain is not None:
            lam = min(lam, 4 * (MARGIN * self.most_gain) ** 2)
        return regularised_least_squares(
            y,
            A,
            lam,
            tol=tol,
            max_iterations=self.max_iterations,
            raise_on_failure=raise_on_failure,
        )

    def with_gain(self, most: float) -> SENSE:
        """Return the method with λ lowered so far that ``½√λ`` is at most ``most``.

        Parameters
        ----------
        most
            Largest ``‖Δx‖ / ‖Δy‖``, any positive number: the image is shrunk for a small one.

        Raises
        ------
        InputError
            If ``most`` is out of range.
        """
        require_positive("robust", most)
        limited = copy(self)
        limited.most_gain = most
        return limited


def require_weight(lam: float) -> None:
    """Refuse a weight of the data term that is not positive."""
    if not lam > 0:
        raise InputError(f"lam is {lam}, expected a positive weight")
