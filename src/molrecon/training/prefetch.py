"""Batches simulated ahead of time, so that an accelerator does not wait for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Results of a function of the step, computed by other threads before they are asked for.

    As a batch depends on its step alone, what is drawn is the same in whatever order it is drawn.
    ``draw`` is called from several threads at once, for at most ``steps`` steps and ``ahead``
    beyond the one that was asked for; at 0 everything is drawn when it is asked for, in the thread
    that asks.
    """

    def __init__(
        self, draw: Callable[[int], T], steps: int, pool: ThreadPoolExecutor, ahead: int
    ) -> None:
        self._draw, self._steps, self._pool, self._ahead = draw, steps, pool, ahead
        self._waiting: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """Return the result of a step, and start on the next ones."""
        if not self._ahead:
            return self._draw(step)
        for later in range(step, min(step + self._ahead + 1, self._steps)):
            if later not in self._waiting:
                self._waiting[later] = self._pool.submit(self._draw, later)
        return self._waiting.pop(step).result()


@contextmanager
def prefetch(draw: Callable[[int], T], steps: int, ahead: int) -> Iterator[Prefetch[T]]:
    """Hold the threads of a `Prefetch`, as many as steps ahead; what is left is not waited for."""
    pool = ThreadPoolExecutor(max(1, ahead))
    try:
        yield Prefetch(draw, steps, pool, ahead)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
