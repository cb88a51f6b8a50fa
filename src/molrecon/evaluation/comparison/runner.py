"""Doing jobs in several processes, so that the death of one costs no other result."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace

import torch

from molrecon.evaluation.comparison.measure import DIED, BuiltMethods, Job, Task, begin, perform
from molrecon.evaluation.comparison.store import Store
from molrecon.evaluation.metrics import METRICS, Metric
from molrecon.progress import Advance

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_PATIENCE = 10.0
"""Seconds that processes which were ended are waited for."""


def run_jobs(jobs: Sequence[Job], *, workers: int, report: Advance) -> None:
    """Do all jobs; every result is in the store as soon as it is there.

    There are as many ``workers``, processes of one thread each; with 1 it is this process.
    """
    if workers == 1 or len(jobs) < 2:
        methods = [BuiltMethods(job.device) for job in jobs[:1]]
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as every result is, so that times compare and results repeat."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        initargs=(jobs[0].device, dict(METRICS)),
    )
    try:
        yield {pool.submit(_finish, job): job for job in jobs}
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        ended = set(multiprocessing.active_children()) - others
        for child in ended:
            child.terminate()
        for child in ended:
            child.join(_PATIENCE)
        raise
    finally:
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    pool.shutdown()


def _is_finished(store: Store, task: Task) -> bool:
    found = store.read(task.names)
    return found is not None and found.failure != DIED


def _is_under_way(job: Job) -> bool:
    store = Store(job.folder)
    found = (store.read(task.names) for task in job.tasks)
    return any(record is not None and record.failure == DIED for record in found)


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
            begin(store, left[0])
            left = left[1:]


_worker_methods: list[BuiltMethods] = []
"""The one set of methods of a worker process."""


def _start_worker(device: str, metrics: dict[str, Metric]) -> None:
    # An interrupt goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    METRICS.update(metrics)  # A new process knows those of this package alone.
    _worker_methods[:] = [BuiltMethods(device)]


def _finish(job: Job) -> None:
    for _ in perform(job, _worker_methods[0]):
        pass
