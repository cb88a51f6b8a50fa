"""Peak memory of a training step for 10 and for 200 forward and backward iterations.

    python benchmarks/memory.py [--size 256]

Every step runs in a process of its own; its peak resident memory is counted above what the process
held before the step.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

import torch

from molrecon import CNN, MOL, CartesianMRI, ConjugateGradient, Equilibrium, ForwardBackward


def training_step(iterations: int, size: int, coils: int) -> tuple[float, int]:
    """One step with a fixed number of iterations; its peak memory in MB, and the evaluations."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    maps = torch.randn(1, coils, size, size, dtype=torch.complex64)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    A = CartesianMRI(maps, torch.rand(1, 1, size, size) < 0.25)
    target = torch.randn(1, 1, size, size, dtype=torch.complex64)
    solver = ForwardBackward(
        tol=1e-30,
        max_iterations=iterations,
        inner=ConjugateGradient(rtol=0.1, relative_to="start", max_iterations=3),
    )
    model = MOL(CNN(), equilibrium=Equilibrium(solver, solver, raise_on_failure=False))
    y = A(target)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    solution = model(y, A, sigma=0.05)
    (solution.value - target).abs().square().mean().backward()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (after - before) / 1024, solution.network_evaluations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        peak, evaluations = training_step(arguments.child, arguments.size, arguments.coils)
        print(f"{peak:.1f} {evaluations}")
        return
    peaks = []
    for iterations in (10, 50, 200):
        command = [sys.executable, __file__, "--child", str(iterations)]
        command += ["--size", str(arguments.size), "--coils", str(arguments.coils)]
        # Large tensors straight from the system: freed memory goes back and does not blur the peak.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout
        peak, evaluations = output.split()
        peaks.append(float(peak))
        print(f"{iterations:4d} iterations ({evaluations} evaluations): {peak} MB", flush=True)
    print(f"largest against smallest: {100 * (max(peaks) / min(peaks) - 1):+.1f} %")


if __name__ == "__main__":
    main()
