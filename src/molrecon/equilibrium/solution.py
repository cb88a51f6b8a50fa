"""What a solve returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molrecon.errors import ConvergenceError
from molrecon.linear.status import Status


@dataclass(frozen=True)
class Solution:
    """A reconstruction, or any solved inclusion, with what is known about it.

    Attributes
    ----------
    value
        The image ``(batch, channel, *spatial)``, in the units of the input.
    status
        One `Status` for every sample.
    iterations
        Iterations of every sample, ``(batch,)``.
    network_evaluations, normal_evaluations
        Applications of H and of AᴴA, each for the whole batch at once.
    relative_residual
        ``‖x − T(x)‖ / ‖x‖`` of every sample, ``(batch,)``.
    error_bound
        Bound on ``‖x − x*‖ / ‖x‖`` of every sample, ``(batch,)``, x* being the exact solution.
    certified
        Whether the bound rests on a proved Lipschitz bound of the network. If not, it is
        conditional: it holds if the network is as monotone along the iteration as it was trained
        to be.
    monotonicity
        The constant m that the bound uses.
    lam, sigma
        Data weight λ and noise level of every sample as used, ``(batch,)``; sigma in the units of
        the measurements. None where a method has none.
    robustness
        Where the error bound of a method implies it: ``‖Δvalue‖`` is at most so many times ``‖Δy‖``
        when the measurements move by Δy, ``(batch,)``, with the unit of the image, σ, λ and coil
        maps held fixed. Certified or conditional like the error bound. See `robustness_constant`.
    seconds
        Wall-clock time of the solve.
    """

    value: Tensor
    status: tuple[Status, ...]
    iterations: Tensor
    network_evaluations: int
    normal_evaluations: int
    relative_residual: Tensor
    error_bound: Tensor
    certified: bool
    monotonicity: float
    lam: Tensor | None = None
    sigma: Tensor | None = None
    robustness: Tensor | None = None
    seconds: float = 0.0

    @property
    def converged(self) -> bool:
        """Whether every sample reached its tolerance."""
        return all(status is Status.CONVERGED for status in self.status)

    @property
    def solved(self) -> Tensor:
        """Which samples reached their tolerance, boolean ``(batch,)``."""
        flags = [status is Status.CONVERGED for status in self.status]
        return torch.tensor(flags, device=self.value.device)

    def raise_unless_converged(self, what: str = "solve") -> None:
        """Raise a `ConvergenceError` that names the first sample which did not converge."""
        for sample, status in enumerate(self.status):
            if status is not Status.CONVERGED:
                raise ConvergenceError(
                    f"The {what} of sample {sample} ended with status '{status.value}' after "
                    f"{int(self.iterations[sample])} iterations, at a relative residual of "
                    f"{self.relative_residual[sample]:.2e}. {status.sentence}"
                )
