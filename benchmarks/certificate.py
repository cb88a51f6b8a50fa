"""Seconds for a certified bound, and for local values at an image.

    python benchmarks/certificate.py [MODEL …] [--size 256] [--threads 2]

Networks: the paper's (5 layers of 64 features, new weights) and the given models'. To reach: 10 s
for the bound of the first one, 60 s for its local values at 256 × 256.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import torch

import molrecon
from molrecon import CNN, Network
from molrecon.data.sample_image import sample_image
from molrecon.lipschitz import certified_bound, lipschitz_attack, local_lipschitz

SIGMA = 0.02
T = TypeVar("T")


def networks(models: list[str]) -> dict[str, Network]:
    torch.manual_seed(0)
    paper = CNN().eval().requires_grad_(False)
    # A new one passes its image on: without noise in the weights there is nothing to find.
    for layer in paper.convolutions:
        layer.weight.add_(0.02 * torch.randn_like(layer.weight))
    return {"CNN 5×64": paper} | {name: molrecon.load(name).network for name in models}


def timed(work: Callable[[], T]) -> tuple[T, str]:
    """The result, and how long it took: on a busy machine the processor time tells more."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return result, f"{wall:6.1f} s ({processor:.1f} s of processor time)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["brain2d-sn", "brain2d-lr"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--tol", type=float, default=0.02, help="of the local values")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    x = sample_image()[None, None].to(torch.complex64)
    x = torch.nn.functional.interpolate(x.real, size=[arguments.size] * 2).to(x.dtype)
    level = torch.tensor([SIGMA])
    for name, network in networks(arguments.models).items():
        H = lambda z, network=network: network(z, level)  # noqa: E731
        bound, certified = timed(lambda network=network: certified_bound(network))
        local, measured = timed(lambda H=H: local_lipschitz(H, x, tol=arguments.tol))
        attack, attacked = timed(
            lambda H=H, v=local.vector: lipschitz_attack(H, x, starts=1, steps=5, directions=[v])
        )
        print(f"{name}, {arguments.size} × {arguments.size}, {arguments.threads} threads")
        print(f"  attack    {attack.value.item():10.4f}  {attacked}")
        print(
            f"  local     {local.norm.item():10.4f} ± {local.norm_error.item():.4f}, "
            f"λ_max(sym) {local.symmetric.item():.4f} ± {local.symmetric_error.item():.4f}  "
            f"{measured}, {local.steps} steps"
        )
        print(f"  certified {bound:10.4f}  {certified}", flush=True)


if __name__ == "__main__":
    main()
