"""How a solve ended."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """The result of an iterative solve, one for every sample of a batch.

    Examples
    --------
    >>> Status("converged").sentence
    'The tolerance was reached.'
    """

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration limit"
    TIME_LIMIT = "time limit"
    DIVERGED = "diverged"
    NON_FINITE = "non-finite"
    STAGNATED = "stagnated"

    @property
    def sentence(self) -> str:
        """What the status means, and what to do about it."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.CONVERGED: "The tolerance was reached.",
    Status.ITERATION_LIMIT: (
        "The iteration limit was reached before the tolerance: allow more iterations or a looser "
        "tolerance."
    ),
    Status.TIME_LIMIT: (
        "The limit of its time was reached before the tolerance, and the bound says how far the "
        "image came: allow more time or a looser tolerance."
    ),
    Status.DIVERGED: (
        "The residual grew instead of shrinking: the network is not monotone at this input; use a "
        "certified model or a smaller step."
    ),
    Status.NON_FINITE: "NaN or infinity appeared: check the data and the weights for such values.",
    Status.STAGNATED: (
        "Rounding, or an inexact linear solve, limits the accuracy, and more iterations will not "
        "help: ask for no more than was reached, or compute in double precision."
    ),
}
