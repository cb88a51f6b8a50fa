"""What all learned reconstructors share: units, start, support and the image they return."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from molrecon.data.axes import Axes
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.of_samples import OfSamples, told
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.precision import Arithmetic, full_precision
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.completion import in_unit_of
from molrecon.reconstructors.start import (
    as_sigma,
    check_scale,
    check_signal,
    estimated_sigma,
    sense_start,
)
from molrecon.reconstructors.weights import DataWeight

SAFE = 0.9
"""Factor on a tolerance that is derived from another image than the one that has to meet it."""

Output = Literal["fixed-point", "full-scan"]


@dataclass(frozen=True)
class ScaledProblem:
    """A reconstruction in units of the image peak, with what the caller asked for.

    Attributes
    ----------
    A
        The forward operator.
    y
        Measurements divided by the peak, ``(batch, *A.shape_out)``.
    sigma
        Noise level relative to the peak, ``(batch,)``.
    start
        Starting image, zero outside the support, ``(batch, *A.shape_in)``.
    tol
        Tolerance of the forward solve; None for the solver's own.
    equilibrium
        Solvers in place of the model's own; None for these.
    raise_on_failure
        Whether a solve that fails raises; if False, it is a status of the solution.
    on_backward
        Receives what is known about the solves of the backward pass.
    guide
        The image that the thresholds follow where the model has a guide, of the shape of the
        image; None to compute it.
    measured
        The measurements and the peak ``(batch,)`` that y is the quotient of, which a bound takes
        without its rounding; None where y counts as it is.
    output
        What is returned of the image that is computed, ``"fixed-point"`` or ``"full-scan"``.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, ScaledProblem
    >>> y = torch.ones(1, 1, 4, 4)
    >>> ScaledProblem(Denoising((1, 4, 4)), y, sigma=torch.tensor([0.1]), start=y).tol is None
    True
    """

    A: LinearOperator
    y: Tensor
    sigma: Tensor
    start: Tensor
    tol: float | None = None
    equilibrium: Equilibrium | None = None
    raise_on_failure: bool = True
    on_backward: Callable[[Solution], None] | None = None
    guide: Tensor | None = None
    measured: tuple[Tensor, Tensor] | None = None
    output: Output = "fixed-point"

    def solvers(self, own: Equilibrium) -> Equilibrium:
        """Return the model's own solvers, changed as the caller asked for."""
        chosen = self.equilibrium or own
        if self.tol is not None:
            chosen = replace(chosen, forward=replace(chosen.forward, tol=self.tol))
        return replace(chosen, raise_on_failure=self.raise_on_failure)

    def confined(self, network: Network) -> OfSamples:
        """Return PHP, with P the projection on the support of A: nothing is invented outside."""
        return told(network, self.sigma, self.A.support)


class LearnedReconstructor(nn.Module, Reconstructor):
    """A method with a trained network, called ``model(y, A, sigma=…) -> Solution``.

    Measurements may have any unit: they are divided by the peak of a short SENSE reconstruction
    (its 99.9th percentile), and the image is multiplied by it again. That reconstruction is also
    the start. Gradients with respect to the measurements are those of unit, start and estimated
    noise level, too; `held` fixes these, the condition of the robustness bound. Where no coil sees
    anything (`LinearOperator.support`) the image is zero.

    Attributes
    ----------
    network
        The network, a denoiser of images whose peak is 1.
    weight
        The weight of the data term as a function of the noise; None where a method has none.
    equilibrium
        The solvers; None for methods of a fixed number of iterations.
    rests_on_network
        Whether every guarantee follows from a Lipschitz bound of the network alone.
    constrains_network, constrained_name
        Whether the constrained map is the network itself, and how it is called.
    output
        ``"fixed-point"``: the image is what the method computes. ``"full-scan"``: it is what a
        full scan would have shown, ``x + Aᴴ(y − A x)``, which keeps the measured samples with
        their noise (`LinearOperator.completed`).
    monotonicity
        m in (0, 1) of methods whose convergence rests on it, else None.

    Raises
    ------
    InputError
        If ``output`` or ``monotonicity`` is none of these.

    Examples
    --------
    >>> from molrecon import LearnedReconstructor, load
    >>> model = load("brain2d-sn")
    >>> isinstance(model, LearnedReconstructor), model.name, model.axes
    (True, 'mol', Axes('yx'))
    """

    tunable = True

    network: Network
    weight: DataWeight | None
    equilibrium: Equilibrium | None
    monotonicity: float | None
    rests_on_network = False
    constrains_network = True
    constrained_name = "H"

    def __init__(
        self,
        network: Network,
        weight: DataWeight | None = None,
        equilibrium: Equilibrium | None = None,
        output: Output = "fixed-point",
        monotonicity: float | None = None,
    ) -> None:
        super().__init__()
        check_output(output)
        if monotonicity is not None and not 0 < monotonicity < 1:
            raise InputError(f"monotonicity is {monotonicity}, expected m in (0, 1)")
        self.axes = Axes.of(network.ndim)
        self.network = network
        self.weight = weight
        self.equilibrium = equilibrium
        self.output = output
        self.monotonicity = monotonicity

    def __call__(self, *arguments: Any, **options: Any) -> Solution:
        """Reconstruct, see `forward`."""
        solution: Solution = super().__call__(*arguments, **options)
        return solution

    @property
    def takes_start(self) -> bool:  # type: ignore[override]
        """Whether the answer does not depend on the start: that of an equilibrium does not."""
        return self.equilibrium is not None

    @property
    def needs_sigma(self) -> bool:
        """True: the network is told, or at least the weight."""
        return True

    @torch.no_grad()
    def settled(self, y: Tensor, A: LinearOperator, sigma: Tensor | float | None) -> dict[str, Any]:
        """Return the unit and the noise level for ``y``; λ follows from both."""
        check_signal(y, A, sigma, model=self)
        _, scale, noise = self._scaled(y, A, sigma, None, None)
        return {"scale": scale, "sigma": noise}

    @property
    def held_per_pixel(self) -> int:
        """Real numbers per pixel that a solve holds beside its images and its network's work."""
        return 0

    @property
    def constraint_text(self) -> str | None:
        """What training aims at so that the method converges, as a formula; None for nothing."""
        return None if self.monotonicity is None else f"Lip(H) ≤ {1 - self.monotonicity:g}"

    def data_gain(self, lam: Tensor | None) -> Tensor | float:
        """Return the factor on the measurements in the equation that is solved, 1 by default.

        Parameters
        ----------
        lam
            λ of the solution, ``(batch,)``; None for methods without.
        """
        return 1.0

    @property
    def lipschitz_limit(self) -> float | None:
        """What the Lipschitz constant that the method rests on must not exceed; None for none."""
        return None

    @property
    def contraction(self) -> float | None:
        """Factor of one plain iteration if the limit is kept and linear systems solved exactly."""
        return None

    @property
    def certified(self) -> bool:
        """Whether the bound that the solution rests on is proved."""
        return False

    def constrained_map(
        self, A: LinearOperator, sigma: Tensor
    ) -> Callable[[Tensor], Tensor] | None:
        """Return the map whose Lipschitz constant convergence rests on; None where none does.

        Parameters
        ----------
        A
            The forward operator.
        sigma
            Noise level relative to the image peak, ``(batch,)``.
        """
        return None

    def returned(
        self, x: Tensor, A: LinearOperator, y: Tensor, output: Output | None = None
    ) -> Tensor:
        """Return the image that is given out for ``x``, what the method computed.

        Parameters
        ----------
        x
            What the method computed, ``(batch, *A.shape_in)``.
        A
            The forward operator.
        y
            Measurements ``(batch, *A.shape_out)``, in the unit of ``x``.
        output
            ``"fixed-point"`` or ``"full-scan"``, in place of the model's own.
        """
        return A.completed(x, y) if (output or self.output) == "full-scan" else x

    @abstractmethod
    def solve(self, problem: ScaledProblem) -> Solution:
        """Reconstruct, in units of the image peak."""

    def forward(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor | float | None = None,
        x0: Tensor | None = None,
        tol: float | None = None,
        equilibrium: Equilibrium | None = None,
        raise_on_failure: bool = True,
        on_backward: Callable[[Solution], None] | None = None,
        output: Output | None = None,
        scale: Tensor | None = None,
        guide: Tensor | None = None,
    ) -> Solution:
        """Reconstruct.

        Parameters
        ----------
        y
            Measurements ``(batch, *A.shape_out)``, in any unit.
        A
            The forward operator, of a norm about its `LinearOperator.nominal_norm`.
        sigma
            Standard deviation of the noise per sample in the unit of ``y``, a number or
            ``(batch,)``; by default estimated from ``y``.
        x0
            Starting image ``(batch, *A.shape_in)``; by default a short SENSE reconstruction.
        tol
            Tolerance of the forward solve; by default the solver's own.
        equilibrium
            Solvers in place of the model's own; no effect on methods without any.
        raise_on_failure
            Whether a failing solve raises. If not, it is a status and its sample has no gradient.
        on_backward
            Receives what is known about the solves of the backward pass.
        output
            ``"fixed-point"`` or ``"full-scan"``, in place of the model's own.
        scale
            Image peak ``(batch,)`` to compute in units of; by default that of the SENSE image.
        guide
            The image ``(batch, *A.shape_in)`` that thresholds follow, of a model with a guide; by
            default the solution without one.

        Raises
        ------
        InputError
            If σ, the measurements or their shapes are wrong.
        ConvergenceError
            If a solve does not converge and failures are to raise.
        """
        started = time.perf_counter()
        check_signal(y, A, sigma, tol, self)
        check_output(output or self.output)
        scaled, scale, noise = self._scaled(y, A, sigma, x0, scale)
        problem = ScaledProblem(
            *scaled,
            tol=tol,
            equilibrium=equilibrium,
            raise_on_failure=raise_on_failure,
            on_backward=on_backward,
            guide=None if guide is None else guide / per_sample(scale, guide),
            measured=(y.detach(), scale.detach()),
            output=output or self.output,
        )
        full, wanted = problem.output == "full-scan", self._wanted_bound(problem)

        def returned(inner: Solution) -> Solution:
            gain = self.data_gain(inner.lam)
            return in_unit_of(inner, y, A, scale, completed=full, data_gain=gain)

        inner = self._solved(problem)
        solution = returned(inner).held_to(wanted)
        if solution.status != inner.status and wanted is not None:
            # The bound of a full scan may be larger than that of the image it is completed from.
            assert inner.error_bound is not None
            assert solution.error_bound is not None
            growth = float((solution.error_bound / inner.error_bound)[inner.solved].max())
            if 1 < growth < math.inf:
                inner = self._solved(replace(problem, tol=SAFE * wanted / growth))
                solution = returned(inner).held_to(wanted)
        if raise_on_failure:
            solution.raise_unless_converged("reconstruction")
        return replace(solution, sigma=noise.detach(), seconds=time.perf_counter() - started)

    def _wanted_bound(self, problem: ScaledProblem) -> float | None:
        """Return what the bound of a solve that converged is at most; None for another rule."""
        if self.equilibrium is None:
            return None
        forward = problem.solvers(self.equilibrium).forward
        return forward.tol if forward.stopping == "bound" else None

    def _solved(self, problem: ScaledProblem) -> Solution:
        # Outside training no bound would cover a network in mixed precision or TF32. What counts
        # is the mode of the network: its bound is proved by it, whatever mode the model is in.
        kind = problem.y.device.type
        arithmetic = Arithmetic.present(kind) if self.network.training else full_precision(kind)
        leaves = (*self.parameters(), problem.y, problem.sigma)
        # Aᴴy requires a gradient where a tensor that A holds does, such as coil maps.
        wanted = torch.is_grad_enabled() and (
            any(leaf.requires_grad for leaf in leaves) or problem.A.H(problem.y).requires_grad
        )
        with torch.set_grad_enabled(wanted), arithmetic.entered():
            solution = self.solve(problem)
        return replace(solution, lam=None if solution.lam is None else solution.lam.detach())

    def _scaled(
        self,
        y: Tensor,
        A: LinearOperator,
        sigma: Tensor | float | None,
        x0: Tensor | None,
        scale: Tensor | None,
    ) -> tuple[tuple[LinearOperator, Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Return the problem in units of the image peak, the peak and σ in the unit of ``y``."""
        start, own = (x0, scale) if x0 is not None and scale is not None else sense_start(y, A)
        scale = own if scale is None else scale
        check_scale(scale)
        noise = as_sigma(estimated_sigma(y, A, scale) if sigma is None else sigma, y)
        start = start if x0 is None else x0
        if A.support is not None:
            start = start * A.support
        start = start / per_sample(scale, start)
        told = self.strength * noise / scale
        return (A, y / per_sample(scale, y), told, start), scale, noise


def check_output(output: str) -> None:
    """Refuse an image that no method returns."""
    if output not in get_args(Output):
        raise InputError(f"output is {output!r}, expected one of {', '.join(get_args(Output))}")
