"""Running methods on images, in several processes, so that no failure costs another result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from molrecon.equilibrium.solution import Solution
from molrecon.errors import ConvergenceError, InputError, MolreconError
from molrecon.evaluation.comparison.config import MethodConfig
from molrecon.evaluation.comparison.methods import build
from molrecon.evaluation.comparison.store import Record, Store
from molrecon.evaluation.conventions import CONVENTIONS
from molrecon.evaluation.image_sets.base import Case
from molrecon.evaluation.problem import Problem
from molrecon.evaluation.resources import PeakMemory
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.methods import Method

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Report = Callable[[str, int], None]

_DIED = (
    "the process that computed it ended without a word, most likely because memory ran out; give "
    "it more memory or fewer workers"
)


@dataclass(frozen=True)
class Task:
    """A result that is wanted: its names and key, and the method."""

    names: Record
    method: MethodConfig


@dataclass(frozen=True)
class Job:
    """An image and the methods to run on it; coil maps are then estimated once.

    Attributes
    ----------
    case
        The image.
    tasks
        The results wanted.
    folder
        Of the comparison.
    device
        Where to compute.
    keep
        Whether to keep the reconstructions themselves, for a figure.
    """

    case: Case
    tasks: tuple[Task, ...]
    folder: Path
    device: str
    keep: bool


def run_jobs(jobs: Sequence[Job], *, workers: int, report: Report) -> None:
    """Do all jobs; every result is in the store as soon as it is there.

    Parameters
    ----------
    jobs
        What to do.
    workers
        Processes to use, each with one thread; with 1 it is this process.
    report
        Called with a text and the number of results finished since the last call.
    """
    if workers == 1 or len(jobs) < 2:
        methods = [Methods(job.device) for job in jobs[:1]]
        with one_thread():
            for job in jobs:
                for task in perform(job, methods[0]):
                    report(f"{job.case.name}: {task.method.label}", 1)
        return
    left = list(jobs)
    while left:
        broken = []
        with _pool(workers, left) as futures:
            for future in as_completed(futures):
                job = futures[future]
                if isinstance(future.exception(), BrokenProcessPool):
                    broken.append(job)
                else:
                    future.result()
                    report(job.case.name, len(job.tasks))
        # A process that dies takes the others along. The jobs that were under way are done in
        # processes of their own; the rest is tried again.
        suspects = [job for job in broken if _is_under_way(job)] or broken
        for job in suspects:
            _perform_alone(job)
            report(job.case.name, len(job.tasks))
        left = [job for job in broken if job not in suspects]


def perform(job: Job, methods: Methods) -> Iterator[Task]:
    """Do a job, one result after the other; failures become results that say why."""
    store = Store(job.folder)
    problem: Problem | None = None
    failure = ""
    _begin(store, job.tasks[0])
    try:
        problem = job.case.problem()
    except Exception as error:  # Whatever goes wrong must not cost the other results.
        failure = f"the measurements could not be made: {reason_of(error)}"
    for task in job.tasks:
        _begin(store, task)
        record, image = replace(task.names, failure=failure), None
        if problem is not None:
            record, image = _measured(task, problem, methods)
        store.write(record, image if job.keep else None)
        yield task


class Methods:
    """Methods of one process, built when they are first needed and kept."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._built: dict[str, Method] = {}

    def get(self, config: MethodConfig) -> Method:
        """Return a method, built and warm."""
        if config.label not in self._built:
            self._built[config.label] = method = build(config, self.device)
            self._warm_up(method)
        return self._built[config.label]

    def _warm_up(self, method: Method) -> None:
        """Run a method on a tiny image: first calls load libraries, which is not its time."""
        shape = (1, 1, *([16] * (method.ndim or 2)))
        generator = torch.Generator().manual_seed(0)
        y = torch.randn(shape, dtype=torch.complex64, generator=generator).to(self.device)
        A = CartesianMRI(torch.ones_like(y), torch.ones(shape, dtype=torch.bool).to(self.device))
        # Only a rehearsal: a method made for other measurements may fail here.
        with suppress(Exception):
            method.solve(y, A, 0.1, 0.5)


def reason_of(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    known = isinstance(error, MolreconError)
    return text if known and text else f"{type(error).__name__}: {text}".rstrip(": ")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as every result is, so that times compare and results repeat."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measured(task: Task, problem: Problem, methods: Methods) -> tuple[Record, torch.Tensor | None]:
    try:
        method = methods.get(task.method)
        y, A = problem.y.to(methods.device), problem.A.to(methods.device)
        with PeakMemory(methods.device) as memory:
            started = time.perf_counter()
            solution = method.solve(y, A, problem.sigma, task.method.tol)
            image = solution.value.cpu()
            seconds = time.perf_counter() - started
        _require_finite(image, solution)
        record = replace(
            task.names,
            scores=_scores(image, problem.reference),
            solve=_facts(solution),
            seconds_per_slice=seconds / slices_of(problem.reference),
            peak_memory=memory.bytes,
        )
    except Exception as error:  # As above.
        return replace(task.names, failure=reason_of(error)), None
    return record, image


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


def _facts(solution: Solution) -> dict[str, Any]:
    return {
        "status": solution.status[0].value,
        "iterations": int(solution.iterations.max()),
        "network_evaluations": solution.network_evaluations,
        "normal_evaluations": solution.normal_evaluations,
        "error_bound": float(solution.error_bound.max()),
        "certified": solution.certified,
    }


@contextmanager
def _pool(workers: int, jobs: Sequence[Job]) -> Iterator[dict[Future[None], Job]]:
    """Start processes on jobs; on the way out of an interrupted block they are ended."""
    others = set(multiprocessing.active_children())
    # New processes read these when they load the libraries that would start threads.
    environment = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(jobs[0].device,),
    )
    try:
        yield {pool.submit(_finish, job): job for job in jobs}
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    pool.shutdown()


def _begin(store: Store, task: Task) -> None:
    """Put down the worst until it proves wrong: a process that dies cannot say so itself."""
    store.write(replace(task.names, failure=_DIED))


def _is_finished(store: Store, task: Task) -> bool:
    found = store.read(task.names)
    return found is not None and found.failure != _DIED


def _is_under_way(job: Job) -> bool:
    store = Store(job.folder)
    found = (store.read(task.names) for task in job.tasks)
    return any(record is not None and record.failure == _DIED for record in found)


def _perform_alone(job: Job) -> None:
    """Do a job in processes of its own, giving up each method during which one dies."""
    store = Store(job.folder)
    left = [task for task in job.tasks if not _is_finished(store, task)]
    while left:
        with _pool(1, [replace(job, tasks=tuple(left))]) as futures:
            (future,) = futures
            error = future.exception()
        if error is None:
            return
        if not isinstance(error, BrokenProcessPool):
            raise error
        left = [task for task in left if not _is_finished(store, task)]
        if left:
            _begin(store, left[0])
            left = left[1:]


_worker_methods: list[Methods] = []
"""The one set of methods of a worker process."""


def _start_worker(device: str) -> None:
    # An interrupt goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker_methods[:] = [Methods(device)]


def _finish(job: Job) -> None:
    for _ in perform(job, _worker_methods[0]):
        pass
