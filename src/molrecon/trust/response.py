"""How an image changes with its measurements, while unit, noise level and weight stay fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from molrecon.arguments import require_positive, require_seed
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.lipschitz.linearised import Linearised
from molrecon.operators.base import LinearOperator, magnitude, norm, per_sample
from molrecon.reconstructors.base import Held, Reconstructor
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.mol import MOL

ACCURACY = 0.02
"""Error of a change of the image, relative to it: less than the statistics of the maps leave."""

FINER = 10.0
"""How many times smaller the tolerances are of the change that tells the error of another."""


NEAR = 30.0
"""Tolerance of the image at which a derivative stands for differences, in units of the smallest."""

LEAST_SHARE = 0.05
"""Rounding that a difference of two images may always hold, relative to it; what is to be more
exact than that is as exact as the precision allows."""


def require_effort(batch: int, accuracy: float, seed: int) -> None:
    """Refuse what cannot say how hard to try: numbers out of range, by their names.

    Parameters
    ----------
    batch
        Changes that are solved for together, at least 1.
    accuracy
        Error that is allowed of a change, relative to it, in (0, 1].
    seed
        Seed of all that is random.
    """
    if batch < 1:
        raise InputError(f"batch is {batch}, expected at least 1; correct it or leave it out.")
    require_positive("accuracy", accuracy, most=1)
    require_seed(seed)


class Response:
    """The change of one image with its measurements, exact or to first order.

    What the method derives from the measurements (unit, σ, λ) is fixed at its values for ``y``
    (`Reconstructor.held`). The change of a linear method is what it makes of the change of the
    measurements, as exact for small ones as for large ones. Of the others it is the difference of
    two images, and where rounding would be more of it than what is allowed, the derivative, which
    it is equal to there; if there is none, it cannot be told.

    Methods whose answer does not depend on the start begin at the image; where thresholds follow a
    first image, they begin at the image plus the change of that one. No bounds are computed: an
    equilibrium stops at its residual, where the error of a change is about ``accuracy`` times the
    change.

    Parameters
    ----------
    method
        The method.
    y
        Measurements ``(1, *A.shape_out)``.
    A
        The forward operator.
    change
        Expected size of the changes, as a function of the image: their Euclidean norm, in its unit.
    guided
        Whether the image from which a guide sets thresholds is found anew, as a new scan would
        have it, and belongs to the derivative; else it is fixed.
    sigma
        Standard deviation of the noise per sample in the unit of ``y``; by default estimated where
        the method needs it.
    x0
        The image, if it is known, ``(1, *A.shape_in)``: where the solves begin.
    accuracy
        Error that is allowed of a change, relative to the expected size.

    Attributes
    ----------
    image
        The image of ``y``, ``(1, *A.shape_in)``.
    linearised
        Whether differences would be rounding, for the most part, so that derivatives stand for
        them.

    Raises
    ------
    InputError
        If the measurements are not those of one image, or are wrong.
    ConvergenceError
        If a solve does not converge.
    """

    def __init__(
        self,
        method: Reconstructor,
        y: Tensor,
        A: LinearOperator,
        change: Callable[[Tensor], float],
        *,
        guided: bool = True,
        sigma: Tensor | float | None = None,
        x0: Tensor | None = None,
        accuracy: float = ACCURACY,
    ) -> None:
        if y.shape[0] != 1:
            raise InputError(
                f"y holds {y.shape[0]} samples, expected one; examine one image after the other"
            )
        self.A, self._y = A, y
        self._held = method.held(y, A, sigma=sigma)
        self._first: Tensor | None = self._held.fixed.get("guide") if guided else None
        with torch.no_grad():
            image = self._held(y, A, x0=x0).value if x0 is None else x0
            size, expected = float(norm(image)), change(image)
            # Of an image of zeros every change is more than all of it.
            relative = expected / max(size, expected, 1e-30)
            self._tol, self._accuracy = accuracy * relative, accuracy
            self._relative = relative
            told_apart = max(accuracy, LEAST_SHARE) * relative >= self._reachable(0.0, y)
            self.linearised = not (told_apart or self._held.linear)
            if self.linearised:
                # Rounding ends solves here; a derivative is about the same at images so near.
                self._tol = max(self._tol, NEAR * self._reachable(0.0, y))
            self._derivatives: dict[int, Linearised] = {}
            self._checked = self._held.linear
            if self._held.linear:
                self.image = image
                return
            # The errors of these images are in every change, so they have to be the smaller ones.
            if self._first is not None:
                self._first = self._first_image(y, self._tol / 3)
            self.image = self._reconstruct(y, image, self._tol / 3)

    @torch.no_grad()
    def difference(self, dy: Tensor) -> Tensor:
        """Return what the image changes by when the measurements change by ``dy``.

        Parameters
        ----------
        dy
            Changes ``(batch, *A.shape_out)``, each by itself.

        Raises
        ------
        ConvergenceError
            If a solve does not converge, or the change cannot be told from rounding.
        """
        if self._held.linear:
            return self._linear(dy)
        if self.linearised:
            if self._held.differentiable:
                return self.derivative(dy)
            raise ConvergenceError(
                f"The image changes by {self._relative:.1g} of its size, which {_precision(dy)} "
                f"precision does not tell from rounding, and {self._held.name} has no derivative "
                "that would; ask about larger changes, or compute in double precision."
            )
        self._check(lambda: self._difference(dy[:1]))
        return self._difference(dy)

    def derivative(self, dy: Tensor) -> Tensor:
        """Return the derivative of the image in the direction ``dy``.

        Of an equilibrium it solves ``(I − J + λAᴴA) dx = λAᴴ dy``, J being the Jacobian of the
        network at the image; where thresholds follow a first image, so does their derivative.

        Parameters
        ----------
        dy
            Directions ``(batch, *A.shape_out)``, each by itself.

        Raises
        ------
        InputError
            If the method has no derivative.
        """
        if not self._held.differentiable:
            raise InputError(
                f"the method {self._held.name} has no derivative, expected one that has; use "
                "differences"
            )
        if self._held.linear:
            return self._linear(dy)
        self._check(lambda: self._derivative(dy[:1]))
        return self._derivative(dy)

    @torch.no_grad()
    def _linear(self, dy: Tensor) -> Tensor:
        held = Held(self._held.method, self._of_samples(dy.shape[0]))
        solution = held(dy, self.A, tol=self._accuracy, raise_on_failure=False)
        return _solved(solution)

    def _difference(self, dy: Tensor) -> Tensor:
        return self._reconstruct(self._y + dy, self.image, self._tol) - self.image

    def _derivative(self, dy: Tensor) -> Tensor:
        count = dy.shape[0]
        if count not in self._derivatives:
            self._derivatives = {
                count: Linearised(
                    lambda y: self._reconstruct(y, self.image, self._tol), _expanded(self._y, count)
                )
            }
        unit = per_sample(magnitude(dy), dy)
        change = self._derivatives[count].forward(dy / unit)
        return change * per_sample(unit, change)

    def _check(self, change: Callable[[], Tensor]) -> None:
        """Lower the tolerances, once, to where the error of a change is about what is allowed.

        A solve stops at its residual, and the error is that over the monotonicity along it: five
        times as much where a model's is small. What a change at tolerances ``FINER`` times smaller
        differs by tells. From one that is exact enough the tolerances are raised again: the error
        grows no faster. Tolerances that a solve does not reach are not asked for.
        """
        if self._checked:
            return
        self._checked = True
        tol, accuracy = self._tol, self._accuracy
        factor, coarse = 1.0, change()
        while True:
            factor /= FINER
            self._set(tol * factor, accuracy * factor)
            try:
                fine = change()
            except ConvergenceError:
                error = accuracy
                break
            error = float(norm(coarse - fine) / norm(fine).clamp_min(torch.finfo(fine.dtype).tiny))
            if error <= accuracy or self._tol < self._reachable(0.0, self._y):
                break
            coarse = fine
        factor = min(1.0, factor * FINER * min(max(accuracy / max(error, 1e-30), 1.0), FINER))
        self._set(tol * factor, accuracy * factor)

    def _set(self, tol: float, accuracy: float) -> None:
        self._tol, self._accuracy, self._derivatives = tol, accuracy, {}

    def _reconstruct(self, y: Tensor, start: Tensor, tol: float) -> Tensor:
        fixed = self._fixed(y.shape[0], tol)
        start = _expanded(start, y.shape[0])
        if self._first is not None:
            first = fixed["guide"] = self._first_image(y, tol)
            start = start + (first - self._first).detach()
        held = Held(self._held.method, fixed)
        solution = held(
            y,
            self.A,
            x0=start,
            tol=None if "equilibrium" in fixed else self._reachable(tol, y),
            raise_on_failure=False,
        )
        return _solved(solution)

    def _first_image(self, y: Tensor, tol: float) -> Tensor:
        """Return the image that thresholds follow, about as exact as the change."""
        method, options = self._held.method, self._fixed(y.shape[0], tol)
        assert isinstance(method, MOL)
        return method.first_image(y, self.A, x0=options.pop("guide"), **options)

    def _of_samples(self, count: int) -> dict[str, Any]:
        """Return what is fixed, for a number of samples."""
        return {
            name: _expanded(value, count) if isinstance(value, Tensor) and value.ndim else value
            for name, value in self._held.fixed.items()
        }

    def _fixed(self, count: int, tol: float) -> dict[str, Any]:
        """Return what is fixed, for a number of samples, with solvers that stop at ``tol``."""
        fixed = self._of_samples(count)
        if self._first is not None:
            fixed["guide"] = _expanded(self._first, count)
        method = self._held.method
        if isinstance(method, LearnedReconstructor) and method.equilibrium is not None:
            tol = self._reachable(tol, self._y)
            fixed["equilibrium"] = _economical(method, method.equilibrium, tol, self._accuracy)
        return fixed

    @staticmethod
    def _reachable(tol: float, y: Tensor) -> float:
        """Return a tolerance that the precision of ``y`` reaches."""
        return max(tol, 10 * float(torch.finfo(y.dtype).eps))


def _economical(
    method: LearnedReconstructor, own: Equilibrium, forward: float, backward: float
) -> Equilibrium:
    """Return solvers that stop at a residual, relative to the length of their steps."""
    step = 1.0
    if method.contraction is not None and method.monotonicity is not None:
        step = (1 - method.contraction) / method.monotonicity

    def stopping_at(solver: ForwardBackward, tol: float) -> ForwardBackward:
        if solver.stopping == "relative-change":
            return solver
        return replace(solver, stopping="residual", tol=tol * step)

    return replace(
        own,
        forward=stopping_at(own.forward, forward),
        backward=stopping_at(own.backward, backward),
    )


def _solved(solution: Solution) -> Tensor:
    """Return the image, or say why there is none."""
    solution.raise_unless_converged("reconstruction")
    return solution.value


def _precision(y: Tensor) -> str:
    return "double" if y.real.dtype == torch.float64 else "single"


def _expanded(values: Tensor, count: int) -> Tensor:
    return values.expand(count, *values.shape[1:])
