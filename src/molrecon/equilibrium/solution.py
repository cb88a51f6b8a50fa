"""What a solve returns: an image, how the solve ended, and what is guaranteed about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from molrecon.equilibrium.bound_text import bound_text
from molrecon.errors import ConvergenceError
from molrecon.linear.status import Status
from molrecon.notebook import notebook_html

AS_TRAINED = "the network is as monotone at this image as it was trained to be"
"""What the bound of a network rests on whose Lipschitz constant is not proved."""

OPERATOR_AS_ASSUMED = (
    "A is linear with the adjoint that it states, and computed in the precision of the image, "
    "which its test does not show (check_operator says what it shows)"
)
"""What a bound rests on where a test of an operator of another package did not show this."""


@dataclass(frozen=True, repr=False)
class Guarantee:
    """A bound on the distance of an image to the exact solution x*, and what it rests on.

    x* solves the equation in exact arithmetic, with weights, measurements, coil maps, mask and unit
    as they are stored and with the λ and σ that the solution reports. Of a full scan it is what a
    full scan would have shown, completed exactly from x*. That an equation describes the scan is no
    part of the statement.

    Parameters
    ----------
    error_bound
        Bound on ``‖x − x*‖ / ‖x‖`` of every sample, ``(batch,)``; if ``proved``, rounding is
        included (`molrecon.equilibrium.rounding`).
    proved
        True: the bound follows from what was checked: the weights in memory, how the model is put
        together, and that A is linear with the adjoint it states and was not changed since it was
        made. False: it holds under the condition that ``rests_on`` names.
    rests_on
        On what it rests, a clause that completes "the bound holds because …" or, if it is not
        proved, "the bound holds if …".
    monotonicity
        The constant m of monotonicity that the bound uses; None where it uses none.
    robustness
        Bound on ``‖Δx*‖ / ‖Δy‖`` when the measurements move by Δy, ``(batch,)``, with the unit of
        the image, σ, λ, mask and coil maps held fixed; None where none follows. Each of two images
        that were computed may be away from its x* by its error bound besides. See
        `robustness_constant`.
    held
        What of the scan's own values counts as given in both bounds, beside mask and coil maps,
        in words; with a guide, the thresholds that it has set, too.

    Examples
    --------
    >>> import torch
    >>> Guarantee(torch.tensor([2.0**-10]), True, "the norms of its kernels were computed")
    Guarantee(error_bound=0.000977, proved)
    """

    error_bound: Tensor
    proved: bool
    rests_on: str
    monotonicity: float | None = None
    robustness: Tensor | None = None
    held: tuple[str, ...] = ("σ", "λ", "unit")

    @property
    def held_text(self) -> str:
        """What is held, as a list in words."""
        return f"{', '.join(self.held[:-1])} and {self.held[-1]}"

    def __repr__(self) -> str:
        word = "proved" if self.proved else "conditional"
        return f"Guarantee(error_bound={bound_text(float(self.error_bound.max()))}, {word})"


@dataclass(frozen=True, repr=False)
class Solution:
    """A reconstruction, or any solved equation, with what is known about it.

    Parameters
    ----------
    value
        The image ``(batch, channel, *spatial)``, in the units of the input.
    status
        One `Status` for every sample.
    iterations
        Iterations of every sample, ``(batch,)``.
    network_evaluations
        Applications of the network, each for the whole batch at once.
    normal_evaluations
        Applications of AᴴA, each for the whole batch at once.
    relative_residual
        ``‖x − T(x)‖ / ‖x‖`` of every sample, ``(batch,)``, T being one iteration; None where the
        method has none.
    guarantee
        What bounds the distance to the exact solution; None where nothing does.
    lam
        Data weight λ of every sample as used, ``(batch,)``; None where the method has none.
    sigma
        Noise level of every sample as used, ``(batch,)``, in the units of the measurements; None
        where the method has none.
    seconds
        Wall-clock time of the solve.
    trace
        Of every iteration the relative residual and, before rounding, the bound on
        ``‖x − x*‖ / ‖x‖`` of its x: two rows, real ``(2, iterations, batch)``; None where they were
        not recorded.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, Denoising
    >>> solution = SENSE(lam=3.0)(torch.ones(1, 1, 4, 4), Denoising((1, 4, 4)))
    >>> solution.converged, solution.certified, solution.guarantee.rests_on
    (True, True, 'the matrix of the linear system is at least the identity')
    >>> solution.value[0, 0, 0, 0].item()
    0.75
    """

    value: Tensor
    status: tuple[Status, ...]
    iterations: Tensor
    network_evaluations: int = 0
    normal_evaluations: int = 0
    relative_residual: Tensor | None = None
    guarantee: Guarantee | None = None
    lam: Tensor | None = None
    sigma: Tensor | None = None
    seconds: float = 0.0
    trace: Tensor | None = None

    @property
    def converged(self) -> bool:
        """Whether every sample reached its tolerance."""
        return all(status is Status.CONVERGED for status in self.status)

    @property
    def solved(self) -> Tensor:
        """Which samples reached their tolerance, boolean ``(batch,)``."""
        flags = [status is Status.CONVERGED for status in self.status]
        return torch.tensor(flags, device=self.value.device)

    def held_to(self, tol: float | None) -> Solution:
        """Return the solution without a "converged" that its value and its bound do not bear out.

        Parameters
        ----------
        tol
            What a bound has to be at most; None where the stopping rule was not about a bound.
        """
        finite = torch.isfinite(self.value.detach()).flatten(1).all(1).tolist()
        met = [True] * len(finite)
        if tol is not None and self.guarantee is not None:
            met = (self.guarantee.error_bound <= tol).tolist()
        status = list(self.status)
        for n, one in enumerate(status):
            if one is Status.CONVERGED and not (finite[n] and met[n]):
                status[n] = Status.STAGNATED if finite[n] else Status.NON_FINITE
        return replace(self, status=tuple(status))

    @property
    def error_bound(self) -> Tensor | None:
        """Bound on ``‖x − x*‖ / ‖x‖``, ``(batch,)``; None without a guarantee."""
        return None if self.guarantee is None else self.guarantee.error_bound

    @property
    def certified(self) -> bool:
        """Whether there is a guarantee and it is proved."""
        return self.guarantee is not None and self.guarantee.proved

    @property
    def monotonicity(self) -> float | None:
        """The constant m that the error bound uses; None where it uses none."""
        return None if self.guarantee is None else self.guarantee.monotonicity

    @property
    def robustness(self) -> Tensor | None:
        """Bound on ``‖Δvalue‖ / ‖Δy‖``, ``(batch,)``; None where none is known."""
        return None if self.guarantee is None else self.guarantee.robustness

    def facts(self, sample: int = 0) -> dict[str, Any]:
        """Return what is known about one sample as plain values, None for what is not known.

        Parameters
        ----------
        sample
            Its number in the batch.
        """

        def plain(values: Tensor | None) -> float | None:
            return None if values is None else float(values[sample].detach())

        return {
            "status": self.status[sample].value,
            "iterations": int(self.iterations[sample]),
            "network_evaluations": self.network_evaluations,
            "normal_evaluations": self.normal_evaluations,
            "relative_residual": plain(self.relative_residual),
            "error_bound": plain(self.error_bound),
            "certified": self.certified,
            "rests_on": None if self.guarantee is None else self.guarantee.rests_on,
            "monotonicity": self.monotonicity,
            "robustness": plain(self.robustness),
            "lam": plain(self.lam),
            "sigma": plain(self.sigma),
            "seconds": self.seconds,
        }

    def failure(self, what: str = "solve") -> str | None:
        """Return a sentence about the first sample that did not converge, None if all did.

        Parameters
        ----------
        what
            How the solve is called in the sentence.
        """
        for sample, status in enumerate(self.status):
            if status is not Status.CONVERGED:
                facts = self.facts(sample)
                figures = {
                    "an error bound": facts["error_bound"],
                    "a relative residual": facts["relative_residual"],
                }
                reached = [f"{name} of {v:.1e}" for name, v in figures.items() if v is not None]
                return (
                    f"the {what} of sample {sample} ended with status {status.value!r} after "
                    f"{facts['iterations']} iterations"
                    f"{', at ' if reached else ''}{' and '.join(reached)}. {status.sentence}"
                )
        return None

    def raise_unless_converged(self, what: str = "solve") -> None:
        """Raise an exception about the first sample that did not converge.

        Parameters
        ----------
        what
            How the solve is called in the sentence.

        Raises
        ------
        ConvergenceError
            If a sample did not reach its tolerance.
        """
        sentence = self.failure(what)
        if sentence is not None:
            raise ConvergenceError(sentence[0].upper() + sentence[1:])

    def __repr__(self) -> str:
        batch, *shape = self.value.shape
        ends = dict.fromkeys(status.value for status in self.status)
        known = "no error bound"
        if self.guarantee is not None:
            word = "proved" if self.guarantee.proved else "conditional"
            known = f"error bound {bound_text(float(self.guarantee.error_bound.max()))} {word}"
        kind = str(self.value.dtype).removeprefix("torch.")
        return f"Solution({batch} × {tuple(shape)} {kind}, {', '.join(ends)}, {known})"

    def _repr_html_(self) -> str:
        """Return a picture of the value and what is known of it, for notebooks."""
        first, _, rest = repr(self).removeprefix("Solution(").removesuffix(")").partition(", ")
        rows = [("Value", first), ("Ended", rest), ("Iterations", f"{self.iterations.tolist()}")]
        if self.guarantee is not None:
            rows.append(("The bound rests on", self.guarantee.rests_on))
        return notebook_html(self.value, rows)
