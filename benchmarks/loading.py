"""Time to load every shipped model, to prove its bound, to list all models, and of ``--help``.

python benchmarks/loading.py

Times are the best of several. Processor time stands beside them, which other work on the machine
does not change.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from molrecon.networks.bounds import proved_bound
from molrecon.reconstructors.store import load, shipped_models

LOADS, RUNS = 20, 5


def milliseconds(
    action: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> float:
    started = clock()
    action()
    return 1e3 * (clock() - started)


def of_command(*arguments: str) -> tuple[float, float]:
    """Least wall-clock and processor time of a command, in seconds."""
    walls, processors = [], []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "molrecon", *arguments]
        walls.append(
            milliseconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls) / 1e3, min(processors)


def main() -> None:
    torch.set_num_threads(1)
    load("brain2d-unet")  # imports
    heads = ("load", "processor", "bound", "again")
    print(f"{'model':20}" + "".join(f"{head:>10}" for head in heads), f"ms; load: best of {LOADS}")
    for name in shipped_models():
        clocks = (time.perf_counter, time.process_time)
        best = [
            min(milliseconds(lambda: load(name), clock) for _ in range(LOADS)) for clock in clocks
        ]
        network = load(name).network
        first, again = (milliseconds(lambda: proved_bound(network)) for _ in range(2))
        print(f"{name:20}" + "".join(f"{value:10.1f}" for value in (*best, first, again)))
    for arguments in ("models", "--help"):
        wall, processor = of_command(arguments)
        print(f"molrecon {arguments}: {wall:.2f} s, {processor:.2f} s of processor time")


if __name__ == "__main__":
    main()
