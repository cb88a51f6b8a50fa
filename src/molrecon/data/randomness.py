"""Random generators that depend on a seed and a position in the stream, on nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from molrecon.errors import InputError


def make_generator(*seeds: int) -> torch.Generator:
    """Return a CPU generator determined by the non-negative integers given, in their order.

    Drawing for ``(seed, step)`` needs no memory of the steps before, so that a resumed run equals
    an uninterrupted one.
    """
    if min(seeds, default=0) < 0:
        raise InputError(f"seed: found {min(seeds)}; give an integer of at least 0.")
    # The length leads, because trailing zeros do not change a SeedSequence.
    state = np.random.SeedSequence((len(seeds), *seeds)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def uniform(bounds: tuple[float, float], generator: torch.Generator) -> float:
    """Draw one number uniformly between two bounds."""
    low, high = bounds
    return low + (high - low) * torch.rand(1, generator=generator).item()


def log_uniform(bounds: tuple[float, float], generator: torch.Generator) -> float:
    """Draw one positive number whose logarithm is uniform between those of two bounds."""
    low, high = bounds
    return math.exp(uniform((math.log(low), math.log(high)), generator))


def integer(bounds: tuple[int, int], generator: torch.Generator) -> int:
    """Draw one integer uniformly between two bounds, both included."""
    low, high = bounds
    return int(torch.randint(low, high + 1, (1,), generator=generator).item())


def choice(weights: Mapping[str, float], generator: torch.Generator) -> str:
    """Draw one of several names, each as often as its weight says."""
    shares = torch.tensor(list(weights.values()), dtype=torch.float64)
    return list(weights)[int(torch.multinomial(shares, 1, generator=generator).item())]
