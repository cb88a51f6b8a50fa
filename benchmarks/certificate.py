"""Seconds for a certified bound, and for local values at an image.

    python benchmarks/certificate.py [MODEL …] [--size 256] [--threads 2]

Networks: the paper's (5 layers of 64 features, new weights) and the given models'. To reach: 10 s
for the bound of the first one, 60 s for its local values at 256 × 256.
"""

from __future__ import annotations

import argparse
import time

import torch

import molrecon
from molrecon import CNN, Network
from molrecon.data.sample_image import sample_image
from molrecon.lipschitz import certified_bound, lipschitz_attack, local_lipschitz

SIGMA = 0.02


def networks(models: list[str]) -> dict[str, Network]:
    torch.manual_seed(0)
    paper = CNN().eval().requires_grad_(False)
    # A new one passes its image on: without noise in the weights there is nothing to find.
    for layer in paper.convolutions:
        layer.weight.add_(0.02 * torch.randn_like(layer.weight))
    return {"CNN 5×64": paper} | {name: molrecon.load(name).network for name in models}


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
        started = time.perf_counter()
        bound = certified_bound(network)
        certified = time.perf_counter() - started
        started = time.perf_counter()
        local = local_lipschitz(lambda z, H=network: H(z, level), x, tol=arguments.tol)
        measured = time.perf_counter() - started
        started = time.perf_counter()
        attack = lipschitz_attack(
            lambda z, H=network: H(z, level), x, starts=1, steps=5, directions=[local.vector]
        )
        attacked = time.perf_counter() - started
        print(f"{name}, {arguments.size} × {arguments.size}, {arguments.threads} threads")
        print(f"  attack    {attack.value.item():10.4f}  {attacked:6.1f} s")
        print(
            f"  local     {local.norm.item():10.4f} ± {local.norm_error.item():.4f}, "
            f"λ_max(sym) {local.symmetric.item():.4f} ± {local.symmetric_error.item():.4f}  "
            f"{measured:6.1f} s, {local.steps} steps"
        )
        print(f"  certified {bound:10.4f}  {certified:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
