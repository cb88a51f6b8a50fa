"""Measuring and proving what a model's guarantees rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import molrecon
from molrecon.arguments import require_seed
from molrecon.data.root import file_digest
from molrecon.equilibrium.robustness import completed_constant
from molrecon.errors import InputError, NoBoundError
from molrecon.evaluation.certificate import Certificate, ImageValues, Proof
from molrecon.evaluation.certification_images import CertificationImage
from molrecon.lipschitz import certified_bound, measure
from molrecon.networks.precision import full_precision
from molrecon.operators.base import per_sample
from molrecon.progress import Advance, silent
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.start import sense_start
from molrecon.reconstructors.store import load, read_header

HOLDS_FOR = (
    "the network in exact arithmetic with the kernels in use as stored in single precision; every "
    "image, size and noise level"
)
ROUNDING = 1e-4
"""Relative rounding of what is measured, in single precision over small distances."""

FULL_SCAN = "full-scan"

STEPS = 2
"""Steps of the work on one image."""


@dataclass(frozen=True)
class MeasuringEffort:
    """How hard to look, see `measure`; by default a shipped model of slices takes half a minute."""

    accuracy: float = 0.02
    starts: int = 1
    steps: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        # Single precision goes no further, and the search for what is not there is long.
        if not ROUNDING <= self.accuracy < 1:
            raise InputError(
                f"accuracy is {self.accuracy:g}, expected a number from {ROUNDING:g} to below 1, "
                "since rounding leaves no better one; correct it."
            )
        for name in ("starts", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1; raise it.")
        require_seed(self.seed)


def certify(
    weights: Path,
    measurements: Iterable[CertificationImage],
    *,
    device: str = "cpu",
    tol: float = 1e-3,
    effort: MeasuringEffort | None = None,
    on_proof: Callable[[Proof], None] = lambda proof: None,
    report: Advance = silent,
) -> Certificate:
    """Prove what can be proved of a model, and measure it at images, at least one.

    ``tol`` is the share of the starting distance, in (0, 1), that the stated number of
    iterations reaches; ``on_proof`` receives what is
    proved before anything is measured; ``report`` is told what is being done and the number of
    steps, `STEPS` for every image, that are done since the last call.
    """
    if not 0 < tol < 1:
        raise InputError(f"tol is {tol:g}, expected a number between 0 and 1; correct it.")
    model = load(weights, device=device)
    digest = file_digest(weights)
    report("certified bound", 0)
    proof = prove(model, tol)
    on_proof(proof)
    effort = effort or MeasuringEffort()
    images = tuple(_measured(model, measurements, proof.certified, effort, report))
    if not images:
        raise InputError("there are no images to measure at: give at least one scan")
    return Certificate(
        version=molrecon.__version__,
        weights=weights.name,
        sha256=digest,
        method=read_header(weights)[0].method,
        attack=max(one.attack for one in images),
        local=max(one.local for one in images),
        symmetric=max(one.symmetric for one in images),
        output=model.output,
        images=images,
        **proof.model_dump(),
    )


def iterations_for(tolerance: float, contraction: float) -> int:
    """Smallest n with ``contractionⁿ ≤ tolerance``, both in (0, 1)."""
    return math.ceil(math.log(tolerance) / math.log(contraction))


def prove(model: LearnedReconstructor, tolerance: float) -> Proof:
    """Return what follows from the weights in memory; ``tolerance`` as in `certify`."""
    limit = model.lipschitz_limit
    bound, refusal = _bound(model)
    certified = model.rests_on_network and bound is not None and bound <= (limit or 0)
    contraction = model.contraction if certified else None
    return Proof(
        certified=certified,
        map=model.constrained_name,
        limit=limit,
        bound=bound,
        refusal=refusal,
        holds_for=HOLDS_FOR,
        monotonicity=model.monotonicity if certified else None,
        contraction=contraction,
        tolerance=tolerance,
        iterations=None if contraction is None else iterations_for(tolerance, contraction),
    )


def _bound(model: LearnedReconstructor) -> tuple[float | None, str | None]:
    if not model.constrains_network:
        return None, f"{model.constrained_name} depends on the operator, and no bound is composed"
    try:
        bound = certified_bound(model.network)
    except NoBoundError as error:
        return None, str(error)
    return (bound, None) if math.isfinite(bound) else (None, "the bound overflows")


def _measured(
    model: LearnedReconstructor,
    measurements: Iterable[CertificationImage],
    certified: bool,
    effort: MeasuringEffort,
    report: Advance,
) -> Iterator[ImageValues]:
    for one in measurements:
        # TF32 would show in the differences of close images, which are no larger than its rounding.
        with full_precision(one.y.device.type).entered():
            yield _values(model, one, certified, effort, report)


def _values(
    model: LearnedReconstructor,
    one: CertificationImage,
    certified: bool,
    effort: MeasuringEffort,
    report: Advance,
) -> ImageValues:
    y, A = one.y, one.A
    report(f"{one.name}: reconstruction", 0)
    with torch.no_grad():
        solution = model(y, A, sigma=one.sigma, raise_on_failure=False, output="fixed-point")
        start, scale = sense_start(y, A)
        # What blew up is measured where it began.
        finite = bool(torch.isfinite(solution.value).all())
        image = (solution.value if finite else start) / per_sample(scale, start)
    assert solution.sigma is not None
    sigma = solution.sigma / scale
    f = model.constrained_map(A, sigma) or (lambda x: model.network(x, sigma))
    report(f"{one.name}: Jacobian and attack", 1)
    found = measure(
        f, image, tol=effort.accuracy, starts=effort.starts, steps=effort.steps, seed=effort.seed
    )
    report(f"{one.name}: measured", 1)
    local, limit = found.local, model.lipschitz_limit
    values = {
        "‖J‖": float(local.norm),
        "λ_max((J + Jᵀ)/2)": float(local.symmetric),
        "the difference quotient": float(found.attack.value),
    }
    violated = [
        f"{name} = {value:.4g} exceeds {limit:g}"
        for name, value in values.items()
        if limit is not None and not value <= limit * (1 + ROUNDING)
    ]
    constant = solution.robustness if certified else None
    if model.output == FULL_SCAN:
        constant = completed_constant(constant, A, gain=model.data_gain(solution.lam))
    return ImageValues(
        image=one.name,
        status=solution.status[0].value,
        sigma=float(sigma),
        lam=None if solution.lam is None else float(solution.lam),
        attack=float(found.attack.value),
        local=float(local.norm),
        local_error=float(local.norm_error),
        local_probable=_finite(local.norm_probable),
        symmetric=float(local.symmetric),
        symmetric_error=float(local.symmetric_error),
        symmetric_probable=_finite(local.symmetric_probable),
        robustness=None if constant is None else float(constant),
        violated=tuple(violated),
    )


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
