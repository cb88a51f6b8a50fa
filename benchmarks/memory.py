"""Peak memory of a training step: MOL at 10, 50 and 200 iterations, and MoDL of ten.

    python benchmarks/memory.py [--size 256] [--network residual]

All have the same network, the paper's 5×64 one or that of the shipped models (`brain2d-lr`, 32
features, 5 layers); MOL-LR is with its Lipschitz constraint. Every step runs in a process of its
own; its peak resident memory is counted above what the process held after a small step.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from typing import Any

import torch

from molrecon import CNN, MOL, CartesianMRI, ConjugateGradient, Equilibrium, ForwardBackward, MoDL
from molrecon.networks import Network, ResidualCNN
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.training.configuration import LipschitzConfig
from molrecon.training.constraint import LipschitzConstraint

NETWORKS = {"cnn": lambda: CNN(residual=True), "residual": ResidualCNN}


def build(method: str, iterations: int, network: Network) -> LearnedReconstructor:
    inner = ConjugateGradient(rtol=0.1, max_iterations=3)
    if method == "modl":
        return MoDL(network, iterations=iterations, solver=inner)
    # Small steps, lest rounding ends the solve before the iterations are done.
    solver = ForwardBackward(alpha=0.1, tol=1e-30, max_iterations=iterations, inner=inner)
    return MOL(network, equilibrium=Equilibrium(solver, solver))


def training_step(method: str, iterations: int, size: int, coils: int, network: str) -> None:
    """One step of a fixed number of iterations."""
    maps = torch.randn(1, coils, size, size, dtype=torch.complex64)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    A = CartesianMRI(maps, torch.rand(1, 1, size, size) < 0.25)
    target = torch.randn(1, 1, size, size, dtype=torch.complex64)
    model = build(method, iterations, NETWORKS[network]())
    solution = model(A(target), A, sigma=0.05, raise_on_failure=False)
    if solution.network_evaluations < iterations:
        raise SystemExit(f"{solution.network_evaluations} evaluations, expected {iterations}")
    loss = (solution.value - target).abs().square().mean()
    if method == "mol-lr":
        x, sigma = solution.value.detach(), torch.tensor([0.05])
        barrier, _ = LipschitzConstraint(LipschitzConfig())(lambda z: model.network(z, sigma), x)
        loss = loss + barrier
    loss.backward()  # type: ignore[no-untyped-call]


def peak_of_step(method: str, iterations: int, *setting: Any) -> float:
    """Peak memory of a step above what the libraries take, in MB."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    # A first small step loads code and starts threads.
    training_step(method, 2, 16, *setting[1:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    training_step(method, iterations, *setting)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def in_own_process(method: str, iterations: int, size: int, coils: int, network: str) -> float:
    command = [sys.executable, __file__, "--child", method, str(iterations)]
    command += ["--size", str(size), "--coils", str(coils), "--network", network]
    # Large tensors straight from the system: freed memory goes back and does not blur the peak.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    peak = float(output.stdout)
    print(f"{method:7s} {iterations:4d} iterations: {peak:7.1f} MB", flush=True)
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="cnn")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    setting = arguments.size, arguments.coils, arguments.network
    if arguments.child:
        method, iterations = arguments.child
        print(peak_of_step(method, int(iterations), *setting))
        return
    peaks = [in_own_process("mol", iterations, *setting) for iterations in (10, 50, 200)]
    print(f"largest against smallest: {100 * (max(peaks) / min(peaks) - 1):+.1f} %")
    constrained = in_own_process("mol-lr", 10, *setting)
    unrolled = in_own_process("modl", 10, *setting)
    print(f"MoDL against MOL: {unrolled / max(peaks):.1f}, against MOL-LR: ", end="")
    print(f"{unrolled / constrained:.1f} times")


if __name__ == "__main__":
    main()
