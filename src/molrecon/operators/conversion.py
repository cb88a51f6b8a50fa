"""What an operator holds, on another device, in another precision, or of some samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def device_of(device: torch.device | str) -> torch.device:
    """Return the device with its number, as tensors on it show it."""
    return torch.empty(0, device=device).device


def converted(value: Any, device: torch.device | str | None, dtype: torch.dtype) -> Any:
    """Convert a tensor or operator, alone or in a tuple or list; return all else as it is."""
    from molrecon.operators.base import LinearOperator

    if isinstance(value, LinearOperator):
        return value.to(device, dtype)
    if isinstance(value, Tensor):
        if value.is_complex():
            return value.to(device=device, dtype=dtype.to_complex())
        return value.to(device=device, dtype=dtype.to_real() if value.is_floating_point() else None)
    if type(value) in (tuple, list):
        return type(value)(converted(item, device, dtype) for item in value)
    return value


def of_samples(
    state: dict[str, Any], named: Sequence[str], batch: int, samples: Tensor
) -> dict[str, Any] | None:
    """Return the state of an operator for some samples of its batch; None where it is not known.

    Operators among it are taken for these samples, too. A tensor that is as long as the batch and
    not named may hold something of every sample, or not.
    """
    from molrecon.operators.base import LinearOperator

    found = {name: value for name, value in state.items() if name != "in_double"}
    for name, value in found.items():
        if isinstance(value, LinearOperator):
            found[name] = value.for_samples(samples)
        elif isinstance(value, Tensor) and value.ndim and len(value) == batch:
            found[name] = value[samples] if name in named else None
        if found[name] is None and value is not None:
            return None
    return found
