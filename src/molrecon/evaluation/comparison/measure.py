"""Running methods on one image: every result is kept as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from molrecon.data.scan import Scan
from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError, MolreconError
from molrecon.evaluation.comparison.config import MethodConfig, ProbeConfig
from molrecon.evaluation.comparison.methods import build_variants
from molrecon.evaluation.comparison.store import Record, Store
from molrecon.evaluation.conventions import CONVENTIONS
from molrecon.evaluation.image_sets.base import Case
from molrecon.evaluation.reference_problem import ReferenceProblem
from molrecon.evaluation.resources import PeakMemory
from molrecon.operators.base import LinearOperator
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.tuning import tune
from molrecon.reconstructors.base import Reconstructor, at_strength
from molrecon.trust.probe import probe_lesions

DIED = (
    "the process that computed it ended without a word, most likely because memory ran out; give "
    "it more memory or fewer workers"
)
KEPT_FACTS = (
    "status",
    "iterations",
    "network_evaluations",
    "normal_evaluations",
    "error_bound",
    "certified",
)
"""What a result keeps of `Solution.facts`."""


@dataclass(frozen=True)
class Task:
    """A result that is wanted: its names and key, and the method."""

    names: Record
    method: MethodConfig
    probe: ProbeConfig | None = None


@dataclass(frozen=True)
class Job:
    """An image and the methods to run on it; coil maps are then estimated once."""

    case: Case
    tasks: tuple[Task, ...]  # the results wanted
    folder: Path  # of the comparison
    device: str  # where to compute
    keep: bool  # whether to keep the images themselves, for a figure


def perform(job: Job, methods: BuiltMethods) -> Iterator[Task]:
    """Do a job, one result after the other; failures become results that say why."""
    store = Store(job.folder)
    problem: ReferenceProblem | None = None
    failure = ""
    begin(store, job.tasks[0])
    try:
        problem = job.case.problem()
    except Exception as error:  # Whatever goes wrong must not cost the other results.
        failure = f"the measurements could not be made: {reason_of(error)}"
    for task in job.tasks:
        begin(store, task)
        record, image = replace(task.names, failure=failure), None
        if problem is not None:
            record, image = _measured(task, problem, methods)
        store.write(record, image if job.keep else None)
        yield task


class BuiltMethods:
    """The methods of one process, built when they are first needed and kept."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._built: dict[str, list[Reconstructor]] = {}

    def get(self, config: MethodConfig) -> list[Reconstructor]:
        """Return the variants of a method, built and warm."""
        if config.label not in self._built:
            self._built[config.label] = built = build_variants(config, self.device)
            self._warm_up(built[0])
        return self._built[config.label]

    def _warm_up(self, method: Reconstructor) -> None:
        """Run a method on a tiny image: first calls load libraries, which is not its time."""
        shape = (1, 1, *([16] * (2 if method.axes is None else method.axes.ndim)))
        generator = torch.Generator().manual_seed(0)
        y = torch.randn(shape, dtype=torch.complex64, generator=generator).to(self.device)
        A = CartesianMRI(torch.ones_like(y), torch.ones(shape, dtype=torch.bool).to(self.device))
        # Only a rehearsal: a method made for other measurements may fail here.
        with suppress(Exception):
            method(y, A, sigma=0.1, tol=0.5, raise_on_failure=False)


def reason_of(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    known = isinstance(error, MolreconError)
    return text if known and text else f"{type(error).__name__}: {text}".rstrip(": ")


def begin(store: Store, task: Task) -> None:
    """Put down the worst until it proves wrong: a process that dies cannot say so itself."""
    store.write(replace(task.names, failure=DIED))


def _measured(
    task: Task, problem: ReferenceProblem, methods: BuiltMethods
) -> tuple[Record, torch.Tensor | None]:
    try:
        found = [
            (*_result(method, task, problem, methods.device), method)
            for method in methods.get(task.method)
        ]
    except Exception as error:  # One failure must not cost the other results.
        return replace(task.names, failure=reason_of(error)), None
    record, image, method = max(found, key=lambda one: one[0].scores["molrecon"]["psnr"])
    if task.probe is not None:
        with at_strength(method, record.solve["strength"]):
            recovery = _recovery(method, task.probe, problem, image, methods.device)
        record.solve["recovery"] = recovery
    return record, image


def _recovery(
    method: Reconstructor,
    probe: ProbeConfig,
    problem: ReferenceProblem,
    image: torch.Tensor,
    device: str,
) -> float | None:
    """Return the share of the contrast of small features that comes back; None if a solve fails."""
    with suppress(MolreconError), torch.no_grad():
        found = probe_lesions(
            method,
            problem.y.to(device),
            problem.A.to(device),
            size=probe.size,
            contrast=probe.contrast,
            sigma=problem.sigma,
            shifts=probe.shifts,
            x0=image.to(device),
        )
        recovery: float = found.facts()["recovery"]
        return recovery
    return None


def _result(
    method: Reconstructor, task: Task, problem: ReferenceProblem, device: str
) -> tuple[Record, torch.Tensor]:
    y, A = problem.y.to(device), problem.A.to(device)
    with PeakMemory(device) as memory:
        started = time.perf_counter()
        strength, start = _strength(method, task, problem, device)
        options: dict[str, Any] = {"sigma": problem.sigma, "tol": task.method.tol, **start}
        with at_strength(method, strength):
            solution = method(y, A, raise_on_failure=False, **options)
        image = solution.value.cpu()
        seconds = time.perf_counter() - started
    _require_finite(image, solution)
    facts = solution.facts()
    record = replace(
        task.names,
        scores=_scores(image, problem.reference),
        solve={name: facts[name] for name in KEPT_FACTS} | {"strength": strength},
        seconds_per_slice=seconds / slices_of(problem.reference),
        peak_memory=memory.bytes,
    )
    return record, image


def _strength(
    method: Reconstructor, task: Task, problem: ReferenceProblem, device: str
) -> tuple[float, dict[str, Any]]:
    """Return the strength of a method, and where it starts from if that was chosen."""
    if task.method.strength != "auto":
        return task.method.strength, {}
    scan = problem.scan
    if scan is None or len(scan.kspace) > 1:
        raise InputError(
            "strength is auto, but measurements of one scan's k-space were expected, of which "
            "samples can be left out; give the strength as a number."
        )
    preparation = Preparation(partial_fourier=not isinstance(problem.A, CartesianMRI))

    def made(part: Scan) -> tuple[torch.Tensor, LinearOperator]:
        y, A, _ = preparation.problem(part)
        return y.to(device), A.to(device)

    tuning, start = tune(method, scan, made, sigma=problem.sigma)
    return tuning.strength, start


def _require_finite(image: torch.Tensor, solution: Solution) -> None:
    if not bool(torch.isfinite(image).all()):
        status = solution.status[0]
        raise ConvergenceError(
            f"the solve ended with status {status.value!r} and an image that is not finite. "
            f"{status.sentence}"
        )


def slices_of(image: torch.Tensor) -> int:
    """Return the number of slices in ``(batch, 1, *spatial)``."""
    return image.shape[0] * (image.shape[2] if image.ndim == 5 else 1)


def _scores(image: torch.Tensor, reference: torch.Tensor) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, convention in CONVENTIONS.items():
        try:
            scores = convention.scores(image, reference)
        except InputError:
            if name == "molrecon":
                raise
            # A volume may have empty slices, for which a range of their own does not exist.
            continue
        found[name] = {metric: score.value for metric, score in scores.items()}
    return found
