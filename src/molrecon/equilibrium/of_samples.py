"""Maps of a batch of images that are known for some of its samples alone, too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from molrecon.networks.base import Network
from molrecon.networks.precision import Arithmetic

Map = Callable[[Tensor], Tensor]


class OfSamples:
    """A map of a batch that may hold something of every sample, such as its noise level.

    Parameters
    ----------
    apply
        The map of the whole batch, on ``(batch, …)``.
    part
        Returns the map of the samples of some numbers, int64 ``(count,)``; None if it is unknown.
    """

    def __init__(self, apply: Map, part: Callable[[Tensor], Map | None]) -> None:
        self._apply, self.for_samples = apply, part

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the map of the whole batch."""
        return self._apply(x)


def part_of(f: Map, samples: Tensor) -> Map | None:
    """Return a map for some samples of its batch; None if it does not say what it is for these.

    Parameters
    ----------
    f
        The map.
    samples
        Their numbers, int64 ``(count,)``.
    """
    part = getattr(f, "for_samples", None)
    return None if part is None else part(samples)


def rows(values: Tensor, samples: Tensor) -> Tensor:
    """Return the values of some samples; one that holds for all, ``(1, …)``, is that of each."""
    return values if len(values) == 1 else values[samples]


def told(
    network: Network, sigma: Tensor, support: Tensor | None = None, *, gain: float = 1.0
) -> OfSamples:
    """Return a network that is told the noise level, as a map of images.

    Parameters
    ----------
    network
        The network.
    sigma
        Noise level relative to the image peak, ``(batch,)``.
    support
        Pixels that it is confined to, bool ``(batch or 1, *shape_in)``; None for all.
    gain
        Factor on what it gives.
    """

    def apply(x: Tensor) -> Tensor:
        h: Tensor = network(x if support is None else x * support, sigma)
        h = h if gain == 1 else gain * h
        return h if support is None else h * support

    def part(samples: Tensor) -> OfSamples:
        confined = None if support is None else rows(support, samples)
        return told(network.for_samples(samples), rows(sigma, samples), confined, gain=gain)

    return OfSamples(apply, part)


class TransposedJacobian:
    """``w ↦ J(x)ᵀw`` for the Jacobian J of ``f``, holding one application of it.

    Parameters
    ----------
    f
        A differentiable map of images.
    x
        The point.
    arithmetic
        What the application is computed in; by default what holds now.
    """

    def __init__(self, f: Map, x: Tensor, arithmetic: Arithmetic | None = None) -> None:
        self._f, self._x = f, x
        self._arithmetic = arithmetic or Arithmetic.present(x.device.type)
        self._held: tuple[Tensor, Tensor] | None = self._recorded()

    def __call__(self, w: Tensor) -> Tensor:
        """Return the product for every sample."""
        if self._held is None:
            self._held = self._recorded()
        (value,) = torch.autograd.grad(*self._held, w, retain_graph=True)
        return value

    def _recorded(self) -> tuple[Tensor, Tensor]:
        point = self._x.detach().requires_grad_()
        with self._arithmetic.entered(), torch.enable_grad():
            return self._f(point), point

    def for_samples(self, samples: Tensor) -> TransposedJacobian | None:
        """Return it for some samples; what is held of the whole batch goes before."""
        part = part_of(self._f, samples)
        if part is None:
            return None
        self._held = None
        return TransposedJacobian(part, rows(self._x, samples), self._arithmetic)
