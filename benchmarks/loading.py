"""Time to load every shipped model, to prove its bound, and to list all models.

python benchmarks/loading.py
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from molrecon.networks.bounds import proved_bound
from molrecon.reconstructors.store import load, shipped_models


def milliseconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    torch.set_num_threads(1)
    load("brain2d-unet")  # imports
    print(f"{'model':20} {'load':>8} {'bound':>8} {'again':>8}  ms; load is the best of 5")
    for name in shipped_models():
        best = min(milliseconds(lambda: load(name)) for _ in range(5))
        network = load(name).network
        first, again = (milliseconds(lambda: proved_bound(network)) for _ in range(2))
        print(f"{name:20} {best:8.1f} {first:8.1f} {again:8.1f}")
    command = [sys.executable, "-m", "molrecon", "models"]
    listing = min(
        milliseconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        for _ in range(5)
    )
    print(f"molrecon models: {listing / 1e3:.2f} s")


if __name__ == "__main__":
    main()
