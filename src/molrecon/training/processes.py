"""What the processes of a training tell each other; all of them have to call each of these."""

from __future__ import annotations

from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed import all_gather_object

T = TypeVar("T")


def gathered(fabric: Fabric, own: T) -> list[T]:
    """Return what every process has, in their order."""
    found = [own] * fabric.world_size
    if fabric.world_size > 1:
        all_gather_object(found, own)
    return found


def largest(fabric: Fabric, own: int) -> int:
    """Return the largest of a number of each process."""
    if fabric.world_size == 1:
        return own
    value: Tensor = torch.tensor(float(own), device=fabric.device)
    return int(fabric.all_reduce(value, reduce_op="max"))  # type: ignore[arg-type]
