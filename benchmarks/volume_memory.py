"""Peak memory of a training step on volumes: MOL at 10 and 100 iterations, and MoDL of ten.

    python benchmarks/volume_memory.py [--kind residual] [--features 32] [--layers 5]
    python benchmarks/volume_memory.py --train-large [--checkpointing] [--try-modl]

Both methods have the same network and 8 coils. Every step runs in a process of its own, whose
address space is limited to what the machine can spare; its peak resident memory is counted above
what the process held before the step. What MoDL needs at the large size is extrapolated from two
sizes (it is linear in the number of voxels), and with ``--try-modl`` tried under the limit.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import time

import torch

from molrecon import MOL, CartesianMRI, ConjugateGradient, Equilibrium, ForwardBackward, MoDL
from molrecon.errors import shape_text
from molrecon.networks import build_network
from molrecon.pipeline.free_memory import available_memory
from molrecon.reconstructors.learned import LearnedReconstructor

GIB = 2**30
SPARE = 4 * GIB
"""What is left to other processes."""
OVERHEAD = 4 * GIB
"""Address space of Python and PyTorch themselves, most of it never used."""
Size = tuple[int, ...]


def build(method: str, iterations: int, options: argparse.Namespace) -> LearnedReconstructor:
    network = build_network(
        {
            "kind": options.kind,
            "ndim": 3,
            "features": options.features,
            "layers": options.layers,
        }
    )
    network.checkpointing = options.checkpointing
    inner = ConjugateGradient(rtol=0.1, max_iterations=3)
    if method == "modl":
        return MoDL(network, iterations=iterations, solver=inner)
    # Small steps, lest rounding ends the solve before the iterations are done.
    solver = ForwardBackward(alpha=0.1, tol=1e-30, max_iterations=iterations, inner=inner)
    return MOL(network, equilibrium=Equilibrium(solver, solver))


def training_step(method: str, iterations: int, options: argparse.Namespace) -> float:
    """One step of a fixed number of iterations; its peak memory in bytes."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    size: Size = tuple(options.size)
    maps = torch.randn(1, options.coils, *size, dtype=torch.complex64)
    maps /= torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    A = CartesianMRI(maps, (torch.rand(1, 1, *size[:2], 1) < 0.25).expand(1, 1, *size))
    target = torch.randn(1, 1, *size, dtype=torch.complex64)
    model = build(method, iterations, options)
    y = A(target)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
        solution = model(y, A, sigma=0.05, raise_on_failure=False)
        if solution.network_evaluations < iterations:
            sys.exit(f"{solution.network_evaluations} evaluations, expected {iterations}")
        (solution.value - target).abs().square().mean().backward()  # type: ignore[no-untyped-call]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(after - before) * 1024


def in_own_process(
    method: str, iterations: int, size: Size, options: argparse.Namespace
) -> float | None:
    """Peak in bytes; None if it did not fit."""
    limit = max(GIB, (available_memory("cpu") or 8 * GIB) - SPARE)
    command = [sys.executable, __file__, "--child", method, str(iterations)]
    command += ["--size", *map(str, size), "--coils", str(options.coils), "--kind", options.kind]
    command += ["--features", str(options.features), "--layers", str(options.layers)]
    command += ["--threads", str(options.threads), "--limit", str(limit + OVERHEAD)]
    command += ["--bf16"] * options.bf16 + ["--checkpointing"] * options.checkpointing
    # Large tensors straight from the system: freed memory goes back and does not blur the peak.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    started = time.perf_counter()
    child = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    label = f"{method:5s} {iterations:4d} iterations, {shape_text(size)}"
    seconds = time.perf_counter() - started
    if child.returncode:
        lines = child.stderr.strip().splitlines() or ["no message"]
        if not any("alloc" in line or "Memory" in line for line in lines[-3:]):
            sys.exit(child.stderr)
        print(f"{label}: does not fit into {limit / GIB:.1f} GiB ({lines[-1][:90]})", flush=True)
        return None
    peak = float(child.stdout)
    print(f"{label}: {peak / GIB:7.3f} GiB, {seconds:.0f} s", flush=True)
    return peak


def small(options: argparse.Namespace) -> None:
    """Iterations and the comparison, at sizes that take little time."""
    low, high, compared = (16, 32, 32), (24, 32, 48), tuple(options.size)
    peaks = [in_own_process("mol", iterations, compared, options) for iterations in (10, 100)]
    assert all(peaks)
    ten, hundred = (float(peak or 0) for peak in peaks)
    print(f"100 against 10 iterations: {100 * (hundred / ten - 1):+.1f} %")
    unrolled = in_own_process("modl", 10, compared, options)
    if unrolled is not None:
        print(f"MoDL-10 against MOL: {unrolled / max(ten, hundred):.1f} times")
    points = [in_own_process("modl", 10, size, options) for size in (low, high)]
    first, second = (float(point or math.nan) for point in points)
    slope = (second - first) / (math.prod(high) - math.prod(low))
    large = math.prod(options.large)
    print(
        f"MoDL-10 at {shape_text(options.large)}, extrapolated at "
        f"{slope / 1024:.1f} KiB per voxel: {(first + slope * (large - math.prod(low))) / GIB:.1f} "
        "GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", default="residual", help="of network, the same for both methods")
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=3, default=[32, 48, 48])
    parser.add_argument("--large", type=int, nargs=3, default=[96, 128, 128])
    parser.add_argument("--train-large", action="store_true", help="train MOL at the large size")
    parser.add_argument("--try-modl", action="store_true", help="try MoDL at the large size")
    parser.add_argument("--iterations", type=int, default=10, help="of MOL at the large size")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="convolutions in 16 bits")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        resource.setrlimit(resource.RLIMIT_AS, (options.limit, options.limit))
        print(training_step(options.child[0], int(options.child[1]), options))
        return
    if not (options.train_large or options.try_modl):
        small(options)
    if options.train_large:
        in_own_process("mol", options.iterations, tuple(options.large), options)
    if options.try_modl:
        in_own_process("modl", 10, tuple(options.large), options)


if __name__ == "__main__":
    main()
