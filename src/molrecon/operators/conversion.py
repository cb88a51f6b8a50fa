"""Tensors and operators brought to another device or precision."""

from __future__ import annotations

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
