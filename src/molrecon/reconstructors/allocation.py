"""A bound on the tensors that are made while a model is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from molrecon.errors import InputError

_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand}
_BYTES = 4


class BoundedTensors(TorchFunctionMode):
    """Refuses, within a ``with`` block, tensors whose total exceeds a number of bytes.

    The settings in a weights file say how large a network is. A few bytes can announce any size,
    and the network is allocated before its weights are seen to be missing.

    Parameters
    ----------
    most_bytes
        The bound on the total of all tensors made, in single precision.

    Raises
    ------
    InputError
        Before a tensor is allocated that would exceed it.
    """

    def __init__(self, most_bytes: float) -> None:
        super().__init__()
        self.most_bytes, self.total = most_bytes, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count what a factory would allocate, and call it."""
        given = dict(kwargs or {})
        if func in _FACTORIES:
            shape = given.get("size", args[0] if args and not isinstance(args[0], int) else args)
            count = 1
            for length in shape:
                count *= int(length)
            self.total += _BYTES * count
            if self.total > self.most_bytes:
                raise InputError(
                    f"the settings in its header need {self.total / 1e9:.3g} GB, expected at most "
                    f"{self.most_bytes / 1e9:.3g} GB for a file of this size; copy it again."
                )
        return func(*args, **given)
