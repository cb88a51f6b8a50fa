"""Monotone operator learning."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.equilibrium.of_samples import OfSamples, told
from molrecon.equilibrium.robustness import robustness_constant
from molrecon.equilibrium.rounding import NetworkRounding
from molrecon.equilibrium.solution import Solution
from molrecon.errors import InputError
from molrecon.networks import AnyNetwork
from molrecon.networks.base import Network
from molrecon.networks.bounds import is_altered, proved_bound
from molrecon.networks.cnn import CNNSettings
from molrecon.networks.guide import GuideSettings, ThresholdGuide, require_guided
from molrecon.networks.precision import full_precision
from molrecon.networks.series import SeriesStrictCNN
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.soft_sense import combined_sets
from molrecon.reconstructors.determined import determined_factors
from molrecon.reconstructors.learned import LearnedReconstructor, Output, ScaledProblem
from molrecon.reconstructors.limited_gain import (
    TYPICAL_NOISE,
    larger_monotonicity,
    limited_weight,
    require_above_one,
)
from molrecon.reconstructors.settings import EquilibriumModelConfig, WeightConfig
from molrecon.reconstructors.weights import DataWeight

FIRST = 5e-4
"""Relative residual at which the image that a guide sees is good enough.

What is smaller than noise does not change what it sees, and nothing is claimed of that image: the
equation that is solved is the one with the thresholds that it sets. So its distance to its own
solution, about ten times this, need not be proved, which would take twice the iterations.
"""
UNALTERED = "what was put into the model's class does not change what it computes"


class MOL(LearnedReconstructor):
    """Monotone operator learning: ``x* − H(x*) + λAᴴ(Ax* − y) = 0``.

    (Pramanik, Zimmerman, Jacob, IEEE TCI 2023.) With ``Lip(H) ≤ 1 − m`` the solution exists, is
    unique, is found from any start and moves by at most ``½√(λ/m)‖Δy‖`` when the measurements
    move by Δy. MOL-SN has a network that satisfies the bound by construction, MOL-LR one that was
    trained towards it; `Solution.certified` tells them apart.

    Measurements may have any unit: they are divided by the peak of a short SENSE reconstruction
    (its 99.9th percentile), and the image is multiplied by it again. The bound on the gain holds
    with that unit, σ and λ fixed (`held`).

    Where no coil sees anything (`LinearOperator.support`) the image is zero: with P the projection
    on the rest, H is replaced by PHP, which has the same Lipschitz bound. Left alone, x = H(x)
    would hold there, a free invention of the network that also slows the solver down.

    Parameters
    ----------
    network
        H, a denoiser of images whose peak is 1.
    weight
        λ as a function of the noise level; by default a new `DataWeight`.
    monotonicity
        m in (0, 1): the network was trained or built for ``Lip(H) ≤ 1 − m``.
    equilibrium
        The solvers of the equation and of its adjoint; by default those of `Equilibrium`.
    shift
        Hidden multiple of x in the published score, see `Inclusion`.
    output
        ``"fixed-point"``: the image is x*. ``"full-scan"``: it is what a full scan would have
        shown, ``x* + Aᴴ(y − A x*)``, which keeps the measured samples with their noise
        (`CartesianMRI.completed`); its error bound follows from that of x*, since ``I − AᴴA`` is
        nonexpansive.
    unshrunk
        Solve for ``(1 + m/λ) y`` in place of y. With ``Lip(H) ≤ 1 − m`` the score pulls even an
        image that it has nothing against towards zero: where k-space is fully sampled, x* is the
        measured value times ``λ/(λ + m)``, which this makes up for. It matters where λ is small,
        as it must be where measured samples are to be denoised. Uniqueness, convergence and the
        error bound are the same; the bound on the gain has the factor ``1 + m/λ``.
    guide
        Sets the thresholds of the network pixel by pixel, from the solution without it. The
        equation has then one solution for every first image; the first image is one of the things
        that `held` fixes.
    determined_factor
        Factor on λ, in (0, 1], where the measurements determine the image (`determined_factors`);
        thresholds have a like one, and λ falls further with more than a fourth of the samples.
        Both follow from the operator alone, so that every guarantee stays; gradients take them for
        constants of it. 1 leaves all that out. Only for a `MultiscaleStrictCNN` of slices with the
        scales 1 and 2.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import torch
    >>> from molrecon import MOL, Denoising, ResidualStrictCNN
    >>> network = ResidualStrictCNN(features=2, layers=2, lipschitz=0.9).eval()
    >>> y = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> A = Denoising((1, 8, 8), dtype=torch.complex64)
    >>> solution = MOL(network, monotonicity=0.1)(y, A, sigma=0.1, tol=1e-3)
    >>> solution.certified, bool(solution.error_bound <= 1e-3)
    (True, True)
    """

    name = "mol"

    weight: DataWeight
    equilibrium: Equilibrium
    monotonicity: float
    guide: ThresholdGuide | None
    # Factor on the network, at most 1: it lowers the Lipschitz bound alike (`with_gain`).
    network_gain: float = 1.0
    rests_on_network = True

    def __init__(
        self,
        network: Network,
        weight: DataWeight | None = None,
        *,
        monotonicity: float = 0.02,
        equilibrium: Equilibrium | None = None,
        shift: float = 0.0,
        output: Output = "fixed-point",
        unshrunk: bool = False,
        guide: ThresholdGuide | None = None,
        determined_factor: float = 1.0,
    ) -> None:
        super().__init__(
            network, weight or DataWeight(), equilibrium or Equilibrium(), output, monotonicity
        )
        if not shift >= 0:
            raise InputError(f"shift is {shift}, expected at least 0")
        if not 0 < determined_factor <= 1:
            raise InputError(f"determined_factor is {determined_factor}, expected one in (0, 1]")
        if determined_factor != 1 and isinstance(require_guided(network), SeriesStrictCNN):
            raise InputError(
                f"determined_factor is {determined_factor}, but the network is one of series; "
                "leave it out, or use a network of slices"
            )
        self.shift, self.unshrunk, self.guide = shift, unshrunk, guide
        self.determined_factor = determined_factor

    @property
    def lipschitz_limit(self) -> float:
        """1 − m."""
        return 1 - self.monotonicity

    @property
    def contraction(self) -> float:
        """``1 − αμ``, with ``μ = m`` where there is no shift (see `ForwardBackward`)."""
        alpha = self.equilibrium.forward.alpha
        return 1 - alpha * (self.monotonicity + self.shift) / (1 + alpha * self.shift)

    @property
    def certified(self) -> bool:
        """Whether the network, as it stands in memory, is proved to satisfy ``Lip(H) ≤ 1 − m``.

        Its structure is checked and its kernels' norms are those of their present values. In
        training mode of the network, where its arithmetic may be mixed precision, nothing is
        proved, nor of an `altered` model.
        """
        return self._proves(self.network)

    def _proves(self, network: Network) -> bool:
        bound = None if self.altered else proved_bound(network)
        return bound is not None and abs(self.network_gain) * bound <= self.lipschitz_limit

    @property
    def kspace_copies(self) -> int:
        """The measurements in the unit of the image, and multiplied by the gain of the data."""
        return 1 + self.unshrunk

    @property
    def held_per_pixel(self) -> int:
        """The factors on thresholds, if there is a guide."""
        return 0 if self.guide is None else self.guide.factors_per_pixel

    @property
    def altered(self) -> bool:
        """Whether hooks, replaced methods or a subclass may change what the model computes."""
        return type(self) is not MOL or is_altered(self)

    def constrained_map(self, A: LinearOperator, sigma: Tensor) -> Callable[[Tensor], Tensor]:
        """Return H: it has to contract with 1 − m, whatever A is."""
        return told(self.network_at(A), sigma, gain=self.network_gain)

    def data_gain(self, lam: Tensor | None) -> Tensor | float:
        """Return ``1 + μ/λ`` if what the score shrinks is made up for, else 1.

        Parameters
        ----------
        lam
            λ of the solution, ``(batch,)``.
        """
        if not self.unshrunk or lam is None:
            return 1.0
        return 1 + (self.monotonicity + self.shift) / lam

    def settled(self, y: Tensor, A: LinearOperator, sigma: Tensor | float | None) -> dict[str, Any]:
        """Return the unit, the noise level and the first image, if there is a guide, for ``y``."""
        fixed = super().settled(y, A, sigma)
        if self.guide is None:
            return fixed
        with torch.no_grad():
            return fixed | {"guide": self.first_image(y, A, **fixed)}

    def first_image(
        self,
        y: Tensor,
        A: LinearOperator,
        *,
        sigma: Tensor,
        scale: Tensor,
        x0: Tensor | None = None,
        equilibrium: Equilibrium | None = None,
    ) -> Tensor:
        """Return the solution without a guide, which thresholds follow, ``(batch, *A.shape_in)``.

        Parameters
        ----------
        y
            Measurements ``(batch, *A.shape_out)``.
        A
            The forward operator.
        sigma, scale
            Noise level and image peak in the unit of ``y``, ``(batch,)`` each, see `settled`.
        x0
            Starting image ``(batch, *A.shape_in)``; by default a short SENSE reconstruction.
        equilibrium
            Solvers in place of the model's own.
        """
        scaled, scale, _ = self._scaled(y, A, sigma, x0, scale)
        with full_precision(y.device.type).entered():
            first = self._first(ScaledProblem(*scaled, equilibrium=equilibrium)).value
        return first * per_sample(scale, first)

    def inclusion(self, problem: ScaledProblem, network: Network | None = None) -> Inclusion:
        """Return the equation of a reconstruction, in units of the image peak.

        Parameters
        ----------
        problem
            The reconstruction.
        network
            In place of the model's own: the same at other thresholds.
        """
        network = network or self.network
        lam, sigma, y = *self._weighted(problem), problem.y
        measured = problem.measured
        if self.unshrunk:
            gain = torch.as_tensor(self.data_gain(lam))
            y = y * per_sample(gain, y)
            if measured is not None:
                measured = measured[0], measured[1].double() / gain.double().detach()
        return Inclusion(
            H=told(network, sigma, gain=self.network_gain),
            A=problem.A,
            lam=lam,
            y=y,
            monotonicity=self.monotonicity,
            shift=self.shift,
            precise=self._in_double(network, sigma) if _is_a_function(network) else None,
            network_rounding=NetworkRounding.of(network),
            measured=measured,
        )

    def _lam(self, sigma: Tensor) -> Tensor:
        """Return λ, in the precision of the images whatever computes it."""
        lam: Tensor = self.weight(sigma)
        if lam.is_complex() or lam.shape not in ((), (1,), sigma.shape):
            raise InputError(
                f"the data weight gives λ of {lam.dtype} and shape {tuple(lam.shape)}, expected a "
                f"real number for each of {len(sigma)} samples; correct it"
            )
        return lam.to(sigma).expand(sigma.shape)

    def _in_double(self, network: Network, sigma: Tensor) -> OfSamples:
        """Return a network in double precision, made when it is first applied."""

        @cache
        def made() -> OfSamples:
            return told(network.in_double(), sigma.double(), gain=self.network_gain)

        return OfSamples(lambda x: made()(x), lambda samples: made().for_samples(samples))

    def with_gain(self, most: float) -> MOL:
        """Return the model with λ, m and thresholds such that the proved gain is at most ``most``.

        The gain is what `Solution.robustness` bounds, about ``½√(λ/m)``. A model of small m first
        gets a larger one, up to 0.02 (a factor below 1 on the network, no training, and the
        certificate stays). With a the share of its gain then that is asked for, at noise of 1 % of
        the image peak, λ is multiplied by a, m divided by it, and the network is told a times the
        noise level: with a small λ the same thresholds would remove more. What the larger m shrinks
        is made up for (``unshrunk``). Where the bound of a scan is still larger, λ is lowered
        further. The weights are shared with this model.

        Parameters
        ----------
        most
            Largest ``‖Δx*‖ / ‖Δy‖``, above 1, and of a full scan above 2/√3 = 1.155 where
            ``‖A‖ ≤ 1``. If the model's own, without a `determined_factor`, is smaller it stays.

        Raises
        ------
        InputError
            If ``most`` is out of range. When it is called: if no λ has this gain with the operator.
        """
        require_positive("robust", most)
        limited = copy(self)
        # Modules that are exchanged, as for tiles, are those of one of the two.
        limited._modules = self._modules.copy()
        limited.most_gain = most
        with torch.no_grad():
            level = torch.tensor([TYPICAL_NOISE], device=next(self.network.parameters()).device)
            own = float(robustness_constant(self.weight(level), self.monotonicity + self.shift))
        if most < own:
            require_above_one(most)
            limited.retuned = True
            m = larger_monotonicity(self.monotonicity, self.shift, own, most)
            limited.network_gain = self.network_gain * (1 - m) / (1 - self.monotonicity)
            # Below what follows from the factor by more than its rounding.
            limited.monotonicity, limited.unshrunk = m * (1 - 2.0**-40), True
        return limited

    def _weighted(self, problem: ScaledProblem) -> tuple[Tensor, Tensor]:
        """Return λ and the noise level that the network is told, ``(batch,)`` each."""
        own, most = self._lam(problem.sigma), self.most_gain
        if self.determined_factor != 1:
            own = own * determined_factors(problem.A, self.determined_factor)[0].to(own)
        if most is None:
            return own, problem.sigma
        lam = limited_weight(
            own.detach(),
            self.monotonicity + self.shift,
            most,
            data_gain=self.data_gain,
            A=problem.A,
            output=problem.output,
        )
        lam = torch.where(own > lam, lam, own)
        return lam, problem.sigma * (lam / own)

    def solve(self, problem: ScaledProblem) -> Solution:
        """Solve the inclusion, in units of the image peak."""
        if self.guide is None:
            return self._solution(problem, self.network_at(problem.A))
        first = None
        if problem.guide is None:
            first = self._first(problem)
            problem = replace(problem, guide=first.value, start=first.value.detach())
        assert problem.guide is not None
        network = self.network_at(problem.A, problem.guide, problem.sigma)
        solution = self._solution(problem, network)
        if first is None:
            return solution
        return replace(
            solution,
            network_evaluations=solution.network_evaluations + first.network_evaluations,
            normal_evaluations=solution.normal_evaluations + first.normal_evaluations,
        )

    def network_at(
        self, A: LinearOperator, first: Tensor | None = None, sigma: Tensor | None = None
    ) -> Network:
        """Return the network at the thresholds of an operator, and of a first image for a guide.

        Parameters
        ----------
        A
            The forward operator.
        first
            The first image ``(batch, *A.shape_in)``, in units of the image peak; None without one.
        sigma
            Noise level relative to the peak, ``(batch,)``, with a first image.
        """
        factors: list[Tensor] = []
        if first is not None and sigma is not None and self.guide is not None:
            # Sets of coil maps have their thresholds in common.
            several = first.is_complex() and first.shape[1] > 1
            factors = self.guide(combined_sets(first) if several else first, sigma)
        if self.determined_factor != 1:
            known = determined_factors(A, self.determined_factor)[1]
            common = known.reshape(-1, *[1] * (len(A.shape_in))).to(next(self.network.parameters()))
            own = factors or [torch.ones_like(common)] * len(require_guided(self.network).steps())
            factors = [factor * common for factor in own]
        return require_guided(self.network).at_thresholds(factors) if factors else self.network

    def _first(self, problem: ScaledProblem) -> Solution:
        """Solve without a guide, about as well as the thresholds need it (`FIRST`)."""
        own = problem.equilibrium or self.equilibrium
        tol = FIRST * own.forward.alpha
        if own.forward.stopping == "residual":
            tol = min(tol, own.forward.tol)
        forward = replace(own.forward, stopping="residual", tol=tol)
        first = replace(
            problem,
            equilibrium=replace(own, forward=forward),
            tol=None,
            raise_on_failure=False,
            on_backward=None,
        )
        return self._solution(first, self.network_at(problem.A))

    def _solution(self, problem: ScaledProblem, network: Network) -> Solution:
        inclusion = self.inclusion(problem, network)
        solution = problem.solvers(self.equilibrium)(
            inclusion,
            problem.start,
            certified=self._proves(network),
            on_backward=problem.on_backward,
        )
        lam = inclusion.lam.detach()
        constant = robustness_constant(lam, inclusion.strong_monotonicity) * self.data_gain(lam)
        assert solution.guarantee is not None
        guarantee = replace(solution.guarantee, robustness=constant)
        if self.guide is not None:
            guarantee = replace(guarantee, held=("σ", "λ", "unit", "thresholds"))
        if self.altered:
            guarantee = replace(guarantee, rests_on=f"{guarantee.rests_on}, and {UNALTERED}")
        return replace(solution, guarantee=guarantee)


def _is_a_function(network: Network) -> bool:
    """Whether a copy of a network in double precision computes what the network does.

    One in training changes from one application to the next, and hooks may do anything.
    """
    return not (network.training or any(map(is_altered, network.modules())))


class MOLConfig(EquilibriumModelConfig):
    """Settings of a `MOL` model."""

    builds = MOL
    method: Literal["mol"] = "mol"
    network: AnyNetwork = CNNSettings()
    weight: WeightConfig = WeightConfig()
    shift: float = Field(0.0, ge=0)
    unshrunk: bool = False
    guide: GuideSettings | None = None
    determined_factor: float = Field(1.0, gt=0, le=1)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model; the guide is that of its network."""
        values = super().arguments()
        guide = None if self.guide is None else self.guide.guide(values["network"])
        return values | {"guide": guide}
