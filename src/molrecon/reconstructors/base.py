"""The interface that every reconstruction method keeps."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.data.axes import Axes
from molrecon.equilibrium.bound_text import bound_text
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator
from molrecon.reconstructors.start import check_call


class Reconstructor(ABC):
    """A reconstruction method, called ``method(y, A, sigma=…) -> Solution``.

    A subclass needs `__call__`, which begins with `molrecon.reconstructors.start.check_call`: all
    methods refuse the same arguments. It overrides `settled` if it derives more than the noise
    level from the measurements, and the attributes below where the defaults are wrong.

    Attributes
    ----------
    name
        The name it goes by, a key of `molrecon.reconstructors.methods.METHODS`.
    model
        The shipped model or weights file it was loaded from; None for methods without weights.
    axes
        Spatial axes it is made for; None for any.
    differentiable
        Whether the value carries gradients with respect to the measurements.
    linear
        Whether the image is a linear function of the measurements once unit, noise level and data
        weight are fixed (`held`).
    takes_start
        Whether it has an argument ``x0``, a starting image ``(batch, *A.shape_in)`` that changes
        the work and never the answer.
    tunable
        Whether it regularises with a strength that can be chosen.
    strength
        Factor on the strength of its regularisation, in units of the noise level: at 2 it
        reconstructs as if noise were twice as strong. See `at_strength`.
    most_gain
        What the proved bound on the gain is kept to, see `with_gain`; None for no limit.
    retuned
        Whether `with_gain` changed more than an upper limit of the data weight.
    kspace_copies
        Arrays of the size of the measurements, in their precision, that a call holds at its peak.
    needs_sigma
        Whether it looks at the noise level.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Reconstructor
    >>> from molrecon.reconstructors.base import direct_solution
    >>> class Half(Reconstructor):
    ...     name = "half"
    ...     def __call__(self, y, A, *, sigma=None, tol=None, raise_on_failure=True):
    ...         return direct_solution(A.H(y) / 2)
    >>> Half()(torch.ones(1, 1, 4, 4), Denoising((1, 4, 4))).value.mean().item()
    0.5
    """

    name: str
    model: str | None = None
    axes: Axes | None = None
    differentiable: bool = True
    linear: bool = False
    takes_start: bool = False
    tunable: bool = False
    strength: float = 1.0
    most_gain: float | None = None
    retuned: bool = False

    @property
    def kspace_copies(self) -> int:
        """1: the measurements in a unit of their own."""
        return 1

    @property
    def needs_sigma(self) -> bool:
        """Whether the noise level has an effect."""
        return False

    @property
    def label(self) -> str:
        """What it is called beside others: its model's name, or its own without one.

        Of a weights file it is the stem, or the folder's name for the ``best.safetensors`` of a
        training run. A limit of its gain is said, too.
        """
        limit = "" if self.most_gain is None else f", gain ≤ {bound_text(self.most_gain)}"
        if self.model is None:
            return self.name + limit
        path = Path(self.model)
        return (path.absolute().parent.name if path.stem == "best" else path.stem) + limit

    @abstractmethod
    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
    ) -> Solution:
        """Reconstruct.

        Parameters
        ----------
        y
            Measurements ``(batch, *A.shape_out)``, in any unit.
        A
            The forward operator.
        sigma
            Standard deviation of the noise per sample, in the unit of ``y``: a number or
            ``(batch,)``. By default estimated from ``y`` where the method needs it.
        tol
            Largest relative distance to the exact solution of the method. Methods that bound no
            distance do not look at it.
        raise_on_failure
            Whether a solve that fails raises; if False, it is a status of the solution.

        Returns
        -------
        Solution
            The image ``(batch, *A.shape_in)`` in the unit of ``y``, with what is known about it.

        Raises
        ------
        InputError
            If the measurements, σ or their shapes are wrong.
        ConvergenceError
            If a solve does not converge and failures are to raise.
        """

    def settled(self, y: Tensor, A: LinearOperator, sigma: Tensor | float | None) -> dict[str, Any]:
        """Return what the method derives from ``y``, as arguments of a call that fix it.

        Parameters are those of `held`. By default it is the noise level, if one is given.
        """
        check_call(y, A, sigma)
        return {"sigma": sigma}

    def with_gain(self, most: float) -> Reconstructor:
        """Return the method, set so that an error of the measurements grows at most so many times.

        The bound is that of `Solution.robustness`, under the conditions stated there.

        Parameters
        ----------
        most
            Largest ``‖Δx‖ / ‖Δy‖``, positive; models of the method mol have a least one.

        Raises
        ------
        InputError
            If ``most`` is out of range, or the method has no bound on its gain.
        """
        raise InputError(
            f"robust is {most:g}, but no bound is known on the gain of the method {self.name}; use "
            "a model of the method mol, or sense."
        )

    def held(self, y: Tensor, A: LinearOperator, *, sigma: Tensor | float | None = None) -> Held:
        """Return the method with unit, noise level and data weight fixed at what they are for y.

        What is left is a function of the measurements alone, and the one that
        `Solution.robustness` bounds the gain of.

        Parameters
        ----------
        y
            Measurements ``(batch, *A.shape_out)``.
        A
            The forward operator.
        sigma
            Standard deviation of the noise per sample, in the unit of ``y``: a number or
            ``(batch,)``; by default estimated from ``y``.

        Raises
        ------
        InputError
            If the measurements, σ or their shapes are wrong.
        """
        return Held(self, self.settled(y, A, sigma))

    def __repr__(self) -> str:
        names = [name for name in inspect.signature(type(self)).parameters if hasattr(self, name)]
        settings = [f"{name}={getattr(self, name)!r}" for name in names]
        settings += [f"strength={self.strength:g}"] if self.strength != 1 else []
        return f"{type(self).__name__}({', '.join(settings)})"


@contextmanager
def at_strength(method: Reconstructor, strength: float) -> Iterator[None]:
    """Regularise with another strength meanwhile.

    Parameters
    ----------
    method
        The method.
    strength
        Factor on its strength as it was built, in units of the noise level.

    Examples
    --------
    >>> from molrecon import SENSE
    >>> method = SENSE()
    >>> with at_strength(method, 2.0):
    ...     print(method.strength)
    2.0
    """
    require_strength(method, strength)
    before = method.strength
    method.strength = before * strength
    try:
        yield
    finally:
        method.strength = before


def require_strength(method: Reconstructor, strength: float | Literal["auto"] | None) -> None:
    """Refuse a strength that is not positive, or of a method that has none."""
    if strength != "auto":
        require_positive("strength", strength)
    if strength not in (None, 1) and not method.tunable:
        raise InputError(
            f"strength is {strength}, but the method {method.name} has no strength to choose; "
            "leave it out."
        )


class Held(Reconstructor):
    """A method with all that it derives from measurements fixed, see `Reconstructor.held`.

    Parameters
    ----------
    method
        The method.
    fixed
        Arguments of every call of it.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, Tikhonov
    >>> A, y = Denoising((1, 4, 4)), torch.ones(1, 1, 4, 4)
    >>> held = Tikhonov().held(y, A, sigma=0.1)
    >>> bool(held(2 * y, A).lam == held(y, A).lam)
    True
    """

    def __init__(self, method: Reconstructor, fixed: dict[str, Any]) -> None:
        self.method, self.fixed = method, fixed
        self.name, self.model, self.axes = method.name, method.model, method.axes
        self.most_gain = method.most_gain
        self.differentiable, self.takes_start = method.differentiable, method.takes_start
        self.linear = method.linear

    def __call__(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        tol: float | None = None,
        raise_on_failure: bool = True,
        x0: Tensor | None = None,
    ) -> Solution:
        """Reconstruct, see `Reconstructor`; ``sigma``, which is fixed, must be left out.

        Parameters
        ----------
        x0
            Starting image ``(batch, *A.shape_in)`` in the unit of ``y``; methods whose answer
            depends on the start begin at their own.
        """
        if sigma is not None:
            raise InputError(f"sigma is {sigma}, expected none: it is fixed; leave it out")
        start = {} if x0 is None or not self.takes_start else {"x0": x0}
        return self.method(y, A, tol=tol, raise_on_failure=raise_on_failure, **self.fixed, **start)

    def held(self, y: Tensor, A: LinearOperator, *, sigma: Tensor | float | None = None) -> Held:
        """Return the method itself: all is fixed already."""
        return self

    def __repr__(self) -> str:
        fixed = ", ".join(name for name, value in self.fixed.items() if value is not None)
        by = self.method if self.model is None else f"{self.name} ({self.model})"
        return f"Held({by}, fixed: {fixed or 'nothing'})"


def direct_solution(
    value: Tensor, *, network_evaluations: int = 0, raise_on_failure: bool = True
) -> Solution:
    """Return the solution of a method that computes its image without solving an equation.

    An image ``(batch, channel, *spatial)`` that is not finite raises, or has a status that says so.
    """
    finite = torch.isfinite(value.detach()).flatten(1).all(1).tolist()
    solution = Solution(
        value=value,
        status=tuple(Status.CONVERGED if flag else Status.NON_FINITE for flag in finite),
        iterations=torch.zeros(value.shape[0], dtype=torch.int64, device=value.device),
        network_evaluations=network_evaluations,
    )
    if raise_on_failure:
        solution.raise_unless_converged("reconstruction")
    return solution
