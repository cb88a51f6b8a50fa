"""The arithmetic that networks of single precision run in: autocast and TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Arithmetic:
    """Whether operations of single precision may run in a lower one, on devices of one kind.

    PyTorch runs convolutions of single precision in TF32 by default on GPUs that have it (from
    Ampere on), with 10 bits in place of 23. A solve that needs a relative accuracy of 1e-3 then
    stagnates, and no bound that is proved of a network's weights covers what such a network does.
    """

    kind: str  # ``"cpu"`` or ``"cuda"``
    autocast: torch.dtype | None = None  # the dtype of mixed precision; None for none
    # Whether convolutions and products of matrices may be rounded to TF32 or 16 bits, on a GPU and
    # on a CPU, as PyTorch puts it: words from version 2.9 on, before that True or False.
    tf32: tuple[Any, ...] = ()

    @classmethod
    def present(cls, kind: str) -> Arithmetic:
        """Return the arithmetic in force now."""
        mixed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        return cls(kind, mixed, tuple(getattr(owner, name) for owner, name, _ in _switches()))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Compute in this arithmetic within a block."""
        before = tuple(getattr(owner, name) for owner, name, _ in _switches())
        _switch(self.tf32)
        try:
            with torch.autocast(self.kind, dtype=self.autocast, enabled=self.autocast is not None):
                yield
        finally:
            _switch(before)


def full_precision(kind: str) -> Arithmetic:
    """Return the arithmetic, on a kind of device, that keeps the precision of the tensors."""
    return Arithmetic(kind, None, tuple(off for _, _, off in _switches()))


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device has arithmetic of 16 bits (bfloat16).

    A processor without it is tens of times slower in bfloat16 than in single precision. What a
    processor has is asked, not timed, so that a run that is resumed computes as before.
    """
    if device.type == "cuda":
        native: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return native
    if device.type != "cpu":
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _switches() -> list[tuple[Any, str, Any]]:
    """Return owner, name and "off" of what says whether convolutions and products are rounded."""
    matmul = torch.backends.cuda.matmul
    if hasattr(torch.backends.cudnn, "conv"):
        cpu: Any = torch.backends.mkldnn
        owners = (torch.backends.cudnn.conv, matmul, cpu.conv, cpu.matmul)
        return [(owner, "fp32_precision", "ieee") for owner in owners]
    # Before version 2.9.
    return [(owner, "allow_tf32", False) for owner in (torch.backends.cudnn, matmul)]


def _switch(values: tuple[Any, ...]) -> None:
    for (owner, name, _), value in zip(_switches(), values, strict=True):
        setattr(owner, name, value)
