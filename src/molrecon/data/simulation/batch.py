"""A batch of simulated measurements, whatever the problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator


@dataclass(frozen=True)
class Batch(ABC):
    """Measurements, what they were made of and what a reconstruction is compared with."""

    image: Tensor  # the truth, ``(batch, channel, *spatial)``
    sigma: Tensor  # ``(batch,)``, noise per measured sample, in the units of image
    targets: ClassVar[Mapping[str, str]] = {"noise-free": "image"}

    @property
    @abstractmethod
    def y(self) -> Tensor:
        """Noisy measurements, ``(batch, *A.shape_out)``."""

    @property
    @abstractmethod
    def A(self) -> LinearOperator:  # noqa: N802 - the field's name
        """The forward operator, made anew at every call."""

    @property
    def start(self) -> Tensor | None:
        """An image to start from, in the shape of ``image``; None for that of the method."""
        return None

    def target(self, name: str) -> Tensor:
        """Return one of ``targets`` by its name, in the shape of ``image``."""
        target: Tensor = getattr(self, self.targets[name])
        return target

    def compared(self, estimate: Tensor, target: str) -> tuple[Tensor, Tensor]:
        """Return what a loss compares: of an estimate of ``image``, and of the named target."""
        return estimate, self.target(target)

    def psnr(self, estimate: Tensor, target: str) -> float:
        """Return the PSNR of magnitudes in dB, range = the target's maximum."""
        truth = self.target(target)
        error = (estimate.abs() - truth.abs()).square().mean()
        return float(10 * torch.log10(truth.abs().max() ** 2 / error))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name: what depends on the draw, and what devices exchange."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on another device."""
        return replace(self, **{name: t.to(device) for name, t in self.tensors.items()})
