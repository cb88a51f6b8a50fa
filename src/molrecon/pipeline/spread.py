"""A cohort on several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import torch

from molrecon.data.root import read_ahead
from molrecon.pipeline.cohort import Outcome, Work, note_failure, process_scan

_PATIENCE = 10.0
"""Seconds that a process is given to clean up before it is killed."""

Process = Callable[[Work, str, str, bool], Outcome]


def run_cohort(
    work: Work,
    scans: Sequence[tuple[str, str]],
    *,
    processes: int = 1,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Return what happened to every scan of a cohort, reconstructed on so many processes.

    Other programs may be at the same cohort meanwhile, as of a job with many tasks; what they hold
    is waited for at the end, and taken over if they are killed.

    Parameters
    ----------
    work
        What is done with a scan.
    scans
        The scans, each with the file of its image.
    processes
        Number of processes, which share the threads and, in turn, the GPUs of this one. With 1 all
        is done in this one.
    report
        Called with every outcome, as it comes.

    Raises
    ------
    InputError
        If the images cannot be written, as where the disk is full.
    """
    use_gpu(int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))))
    following = {one: after for (one, _), (after, _) in zip(scans, scans[processes:], strict=False)}
    with _processes(processes) as idle:

        def one(scan: str, image: str, wait: bool) -> Outcome:
            process = idle.get()
            try:
                if scan in following:
                    read_ahead(following[scan])
                return process(work, scan, image, wait)
            finally:
                idle.put(process)

        found: dict[str, Outcome] = {}
        threads = ThreadPoolExecutor(processes) if processes > 1 else None
        try:
            for wait in (False, True):
                left = [(*pair, wait) for pair in scans if pair[0] not in found]
                for outcome in _as_done(one, left, threads):
                    if outcome.status != "elsewhere":
                        if wait and outcome.status == "skipped":
                            outcome = replace(outcome, reason="done by another process")
                        found[outcome.scan] = outcome
                        report(outcome)
        finally:
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)
    return [found[scan] for scan, _ in scans]


def _as_done(
    one: Callable[[str, str, bool], Outcome],
    scans: Sequence[tuple[str, str, bool]],
    threads: ThreadPoolExecutor | None,
) -> Iterator[Outcome]:
    """Give the outcome of every scan as it comes, by threads that hand them out, or by this one.

    What this process does itself is no thread's: it would go on after an error or an interrupt.
    """
    if threads is None:
        yield from (one(*scan) for scan in scans)
        return
    for future in as_completed([threads.submit(one, *scan) for scan in scans]):
        yield future.result()


def use_gpu(number: int) -> None:
    """Let ``"cuda"`` mean the GPU of this number, counted around, if there are any."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


@contextmanager
def _processes(count: int) -> Iterator[SimpleQueue[Process]]:
    """Give what scans are handed to, within a block."""
    idle: SimpleQueue[Process] = SimpleQueue()
    if count == 1:
        idle.put(_here)
        yield idle
        return
    own = [_Child(number, count) for number in range(count)]
    try:
        for one in own:
            idle.put(one)
        yield idle
    finally:
        for one in own:
            one.stop()


def _here(work: Work, scan: str, image: str, wait: bool) -> Outcome:
    return process_scan(work, scan, image, wait=wait)


class _Child:
    """A process that reconstructs one scan after the other, and is replaced when it is killed."""

    def __init__(self, number: int, count: int) -> None:
        self._number, self._threads = number, max(1, torch.get_num_threads() // count)
        self._stopped = False
        self._start()

    def __call__(self, work: Work, scan: str, image: str, wait: bool) -> Outcome:
        try:
            self._pipe.send((work, scan, image, wait))
            found: Outcome | Exception = self._pipe.recv()
        except (EOFError, OSError):
            if self._stopped:
                raise
            self._process.join()
            ended = self._process.exitcode or 0
            self._start()
            how = f"was killed by {signal.Signals(-ended).name}" if ended < 0 else "ended"
            reason = f"its process {how}, as where memory runs out (max_memory)"
            return note_failure(work, scan, image, reason)
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self) -> None:
        """End it, at once but in order."""
        self._stopped = True
        self._process.terminate()
        self._process.join(_PATIENCE)
        self._process.kill()
        self._pipe.close()

    def _start(self) -> None:
        # Not forked: threads of numerical libraries and GPUs do not survive that.
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        arguments = (end, self._number, self._threads)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        end.close()


def _serve(pipe: Connection, number: int, threads: int) -> None:
    """Reconstruct what comes through a pipe, until its other end is closed or gone."""

    def end(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    torch.set_num_threads(threads)
    use_gpu(number)
    try:
        while True:
            work, scan, image, wait = pipe.recv()
            try:
                pipe.send(process_scan(work, scan, image, wait=wait))
            except Exception as error:
                pipe.send(error)
    except (EOFError, OSError, KeyboardInterrupt):
        return
