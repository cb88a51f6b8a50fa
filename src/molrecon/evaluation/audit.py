"""A model's bounds tried out, on many small problems whose answers can be computed exactly.

A proof is as good as the code that computes it. Here it is held against what does not use it: dense
Jacobians of the network at tiny and odd sizes, extreme values and noise levels, with its weights as
they are and perturbed, and solutions in double precision found apart from the solver. Nothing found
is no proof; one violation is an error of molrecon, or of what is claimed of a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from molrecon.arguments import require_seed
from molrecon.equilibrium.rounding import NetworkRounding, unit_roundoff
from molrecon.errors import InputError, NoBoundError
from molrecon.evaluation.exact import exact_solution
from molrecon.lipschitz import certified_bound
from molrecon.lipschitz.linearised import Linearised
from molrecon.networks.base import Network
from molrecon.networks.layers import Convolution
from molrecon.networks.precision import full_precision
from molrecon.operators.base import LinearOperator, norm, per_sample
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI
from molrecon.operators.kernels import box_kernel
from molrecon.operators.super_resolution import SuperResolution
from molrecon.progress import Advance, silent
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.start import sense_start

SIZES = {
    2: ((1, 1), (1, 6), (5, 1), (2, 2), (3, 4), (5, 3), (7, 5)),
    3: ((1, 1, 1), (1, 3, 2), (2, 1, 3), (2, 2, 2), (3, 2, 3)),
}
"""Images of the dense Jacobians, by the number of axes."""

SCALES = (0.0, 1e-12, 1e-3, 1.0, 1e4, 1e12)
NOISE_LEVELS = (1e-7, 1e-3, 0.03, 0.3, 10.0)
"""Relative to the image peak; far beyond the range of the network on both sides."""

PERTURBED = ("as they are", "noise of 10 %", "noise of 300 %", "times 1000", "signs", "one tap")
"""What is done to the kernels of a network."""

SLACK = 1 + 1e-9
"""Rounding of dense Jacobians and of their norms in double precision."""

REPORT_EVERY = 8

LONGEST = 1500
"""Iterations of an exact solution; a problem that takes more is left out."""


@dataclass(frozen=True)
class AuditEffort:
    """How much to try; by default a shipped model of slices takes about half a minute of one core.

    Raises
    ------
    InputError
        If there is nothing to try, or the seed is out of range.
    """

    jacobians: int = 150  # dense Jacobians, about as many of perturbed weights as of its own
    problems: int = 50  # exact solutions
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)
        for name in ("jacobians", "problems"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")

    @classmethod
    def of(cls, cases: int, seed: int) -> AuditEffort:
        """Return the effort of so many dense Jacobians, with a third as many exact solutions."""
        if cases < 1:
            raise InputError(f"cases is {cases}, expected at least 1; correct it or leave it out.")
        return cls(cases, -(-cases // 3), seed)

    @property
    def steps(self) -> int:
        """Number of steps that are reported."""
        return self.jacobians + self.problems


@dataclass
class Audited:
    """One thing that was tried out."""

    check: str  # what was compared with which bound
    proved: bool  # whether the bound is proved; if not it is what is claimed of the model
    cases: int = 0
    violations: int = 0
    largest: float = 0.0  # of what was found, relative to the bound
    worst: str = ""  # the case of it
    examples: list[str] = field(default_factory=list)  # of violations, the first ones

    def add(self, ratio: float, case: str) -> None:
        """Count a case; a ratio that is not a number is a violation."""
        self.cases += 1
        if not ratio <= self.largest:
            self.largest, self.worst = ratio, case
        if not ratio <= 1:
            self.violations += 1
            if len(self.examples) < 3:
                self.examples.append(f"{case}: {ratio:.6g} of the bound")


def audit(
    model: LearnedReconstructor,
    effort: AuditEffort | None = None,
    *,
    report: Advance = silent,
) -> list[Audited]:
    """Return what was tried out of a model and how near it came to its bounds.

    Parameters
    ----------
    model
        The model, in evaluation mode, on the CPU.
    effort
        How much to try.
    report
        Told what is being done and the number of steps, ``effort.steps`` in all, that are done
        since the last call.

    Raises
    ------
    InputError
        If neither a bound of the network is known nor one is claimed, or its images have other
        channels than those of MRI and pictures.
    """
    effort = effort or AuditEffort()
    _require_something(model)
    with full_precision("cpu").entered():
        found = _jacobians(model, effort, report)
        if isinstance(model, MOL):
            found.append(_solutions(model, effort, report))
    return found


def _require_something(model: LearnedReconstructor) -> None:
    if model.constrains_network and (_bound(model.network) or model.lipschitz_limit):
        return
    raise InputError(
        f"model {model.model!r} of the method {model.name} has no bound, neither proved nor "
        "claimed; audit a model of the method mol."
    )


def _bound(network: Network) -> float | None:
    try:
        bound = certified_bound(network)
    except NoBoundError:
        return None
    return bound if math.isfinite(bound) else None


def _jacobians(model: LearnedReconstructor, effort: AuditEffort, report: Advance) -> list[Audited]:
    """Hold dense Jacobians and difference quotients against the bound of the same weights."""
    g = torch.Generator().manual_seed(effort.seed)
    networks = list(_perturbed(model, g))
    own, changed, quotients = (
        Audited(f"{what}, against the bound of its weights", True)
        for what in ("dense ‖J‖", "dense ‖J‖ with perturbed weights", "difference quotients")
    )
    claimed = Audited(
        f"dense ‖J‖, against the {model.lipschitz_limit or 0:g} that is claimed", False
    )
    for number in range(effort.jacobians):
        if number % REPORT_EVERY == 0:
            report("dense Jacobians", min(REPORT_EVERY, effort.jacobians - number))
        kind, network, bound = networks[0 if number % 2 == 0 else _whole(g, len(networks))]
        x, level, case = _image(model, g)
        case = f"{case}, weights {kind}"
        found, its_own = _dense_norm(network, x, level), kind == PERTURBED[0]
        if bound is not None:
            (own if its_own else changed).add(found / (bound * SLACK), case)
            quotients.add(_quotient(network, x, level, bound, g), case)
        if its_own and model.lipschitz_limit is not None and not model.certified:
            claimed.add(found / (model.lipschitz_limit * SLACK), case)
    return [one for one in (own, changed, quotients, claimed) if one.cases]


def _perturbed(
    model: LearnedReconstructor, g: torch.Generator
) -> Iterator[tuple[str, Network, float | None]]:
    """Return the network in double precision with its weights changed, and its bound then.

    Of one whose bound is only claimed, the claim is about its own weights alone.
    """
    single = [deepcopy(model.network).cpu() for _ in PERTURBED]
    for kind, network in zip(PERTURBED, single, strict=True):
        for part in network.modules():
            if isinstance(part, Convolution):
                _change(part.weight.data, kind, g)
        network = network.eval().double().requires_grad_(False)
        # Of the kernels that are normalised in double precision, with which they are used here.
        bound = _bound(network)
        if bound is not None or kind == PERTURBED[0]:
            yield kind, network, bound


def _change(weight: Tensor, kind: str, g: torch.Generator) -> None:
    noise = torch.randn(weight.shape, generator=g).to(weight)
    size = weight.square().mean().sqrt()
    if kind.startswith("noise"):
        weight += (0.1 if "10 %" in kind else 3.0) * size * noise
    elif kind == "times 1000":
        weight *= 1000
    elif kind == "signs":
        weight *= noise.sign()
    elif kind == "one tap":
        weight[..., weight.shape[-1] // 2 + 1 :] = 0
        weight[..., : weight.shape[-1] // 2] = 0


def _image(model: LearnedReconstructor, g: torch.Generator) -> tuple[Tensor, Tensor, str]:
    """Draw an image, a noise level, and say what they are."""
    ndim = model.network.ndim
    spatial = SIZES[ndim][_whole(g, len(SIZES[ndim]))]
    scale, level = SCALES[_whole(g, len(SCALES))], NOISE_LEVELS[_whole(g, len(NOISE_LEVELS))]
    complex_ = model.network.channels == 2
    dtype = torch.complex128 if complex_ else torch.float64
    channels = 1 if complex_ else model.network.channels
    x = scale * torch.randn((1, channels, *spatial), generator=g, dtype=dtype)
    text = f"{' × '.join(map(str, spatial))} pixels of size {scale:g}, σ = {level:g}"
    return x, torch.tensor([level], dtype=torch.float64), text


def _dense_norm(network: Network, x: Tensor, level: Tensor) -> float:
    """Return ‖J‖₂ of the real Jacobian, from all of its columns."""
    real = x.numel() * (2 if x.is_complex() else 1)
    basis = torch.eye(real, dtype=torch.float64).reshape(real, *x.shape[1:], -1)
    columns = torch.view_as_complex(basis) if x.is_complex() else basis[..., 0]
    many = x.expand(real, *x.shape[1:])
    rows = Linearised(lambda z: network(z, level.expand(len(z))), many).forward(columns)
    rows = torch.view_as_real(rows.resolve_conj()) if x.is_complex() else rows
    return float(torch.linalg.matrix_norm(rows.reshape(real, -1), 2))


@torch.no_grad()
def _quotient(
    network: Network, x: Tensor, level: Tensor, limit: float, g: torch.Generator
) -> float:
    """Return ``‖H(x) − H(z)‖ / ‖x − z‖`` less its rounding, relative to the bound."""
    size = float(norm(x)) or 1.0
    apart = size * 10.0 ** float(torch.rand(1, generator=g) * 12 - 6)
    step = torch.randn(x.shape, generator=g, dtype=x.dtype)
    z = x + apart * step / norm(step)
    rounding = NetworkRounding.of(network)
    wrong = unit_roundoff(x.dtype) * float(rounding.size(x) + rounding.size(z))
    moved = float(norm(network(x, level) - network(z, level)))
    return (moved - wrong) / (limit * SLACK * float(norm(x - z)))


def _solutions(model: MOL, effort: AuditEffort, report: Advance) -> Audited:
    """Hold the distance to exact solutions against the bounds that are reported."""
    found = Audited(
        f"distance to x*, against the {'proved' if model.certified else 'conditional'} bound",
        model.certified,
    )
    for number in range(effort.problems):
        report("exact solutions", 1)
        g = torch.Generator().manual_seed(effort.seed * 1_000_003 + number)
        y, A, sigma, tol, case = _problem(model, g)
        ratio = _distance(model, y, A, sigma, tol)
        if ratio is not None:
            found.add(ratio, case)
    return found


def _problem(model: MOL, g: torch.Generator) -> tuple[Tensor, LinearOperator, Tensor, float, str]:
    """Draw measurements, operator, noise level and tolerance in single precision."""
    ndim = model.network.ndim
    spatial = tuple(_whole(g, 6 if ndim == 2 else 3) + 2 for _ in range(ndim))
    if model.network.channels == 1:
        factor = 2 + _whole(g, 2)
        A: LinearOperator = SuperResolution(
            (1, *(factor * ((n + 1) // 2) for n in spatial)), factor, box_kernel(factor)
        )
    else:
        A = _mri(model, spatial, g)
    x = torch.randn((1, *A.shape_in), generator=g, dtype=A.dtype)
    x = x.cumsum(-1).cumsum(-2) if _whole(g, 2) else x
    x = x / x.abs().max()
    level, unit = 10.0 ** (-3 * _uniform(g) - 0.5), 10.0 ** (40 * _uniform(g) - 20)
    y = A(x)
    noise = torch.randn(y.shape, generator=g, dtype=y.dtype)
    y = unit * (y + level * noise * (y != 0))
    tol = 10.0 ** (-1.5 - 4 * _uniform(g))
    case = f"{' × '.join(map(str, A.shape_in[1:]))} pixels, noise {level:.1e}, unit {unit:.1e}"
    return y, A, torch.tensor([unit * level]), tol, f"{case}, tolerance {tol:.1e}"


def _mri(model: MOL, spatial: tuple[int, ...], g: torch.Generator) -> LinearOperator:
    cine = model.axes is not None and model.axes.letters == "tyx"
    seen = (1, *spatial[1:]) if cine else spatial
    maps = torch.randn((1, 1 + _whole(g, 4), *seen), generator=g, dtype=torch.complex64)
    maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    mask = torch.rand((1, 1, *spatial), generator=g) < 0.2 + 0.8 * _uniform(g)
    mask[..., spatial[-2] // 2, spatial[-1] // 2] = True
    return DynamicMRI(maps, mask) if cine else CartesianMRI(maps, mask)


@torch.no_grad()
def _distance(model: MOL, y: Tensor, A: LinearOperator, sigma: Tensor, tol: float) -> float | None:
    """Return the distance to the exact solution over its bound; None if it was not found."""
    start, unit = sense_start(y, A)
    told, first = model.strength * sigma / unit, None
    fixed: dict[str, Any] = {"sigma": sigma, "scale": unit, "x0": start}
    if model.guide is not None:
        # The equation is that at the thresholds which the first image sets.
        first = model.first_image(y, A, **fixed)
        fixed["guide"], first = first, first / per_sample(unit, first)
    network = model.network_at(A, first, told)
    solution = model(y, A, tol=tol, raise_on_failure=False, output="fixed-point", **fixed)
    assert solution.error_bound is not None
    assert solution.lam is not None
    bound, wide = solution.error_bound.double(), A.in_double.dtype
    value = solution.value.to(wide)
    start = value / per_sample(unit.double(), value)
    exact, error = exact_solution(
        model, A, y, unit, told, solution.lam, start, bound, network=network, longest=LONGEST
    )
    if not bool(torch.isfinite(bound).all()) or not bool((error <= 0.1 * bound + 1e-11).all()):
        return None
    away = norm(value - exact * per_sample(unit.double(), exact)) / norm(value)
    return float(((away - error) / bound).max())


def _whole(g: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (1,), generator=g))


def _uniform(g: torch.Generator) -> float:
    return float(torch.rand(1, generator=g))
