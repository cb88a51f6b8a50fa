"""A network of volumes made of networks of slices, in all three orientations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.layers import CHANNELS_LAST


class PlanesNetwork(Network):
    r"""The mean of three networks of slices, one for the planes across every axis.

    ``H(x) = ⅓ Σ_k P_kᵀ H_k(P_k x)``, where ``P_k`` takes a volume (z, y, x) apart into its slices
    across axis k. ``P_k`` is an isometry, and the slices of a batch do not see each other, so
    ``Lip(H)`` is at most the mean of the three bounds. The errors the three leave are partly
    independent: started from a trained network of slices, the mean is better than either before it
    is trained, at the cost of one network of 3 × 3 × 3 kernels.

    Parameters
    ----------
    make
        Builds a network of slices; it is called once for every axis.
    ndim
        3.

    Raises
    ------
    InputError
        If ``ndim`` is another, or the networks are not made for slices.
    """

    def __init__(self, make: Callable[[], Network], *, ndim: int = 3) -> None:
        super().__init__()
        self.planes = nn.ModuleList(make() for _ in range(3))
        inner = self._inner()[0]
        if ndim != 3 or inner.ndim != 2:
            raise InputError(
                f"ndim is {ndim} and that of plane {inner.ndim}, expected 3 and 2: volumes and "
                "networks of slices"
            )
        self.ndim, self.channels = ndim, inner.channels
        self.noise_conditioned = inner.noise_conditioned

    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Take apart, apply, put together, for every axis."""
        out = torch.zeros_like(x)
        for axis, network in enumerate(self._inner(), start=2):
            network.checkpointing = self.checkpointing
            slices = x.movedim(axis, 1)
            batch, count = slices.shape[:2]
            codes = code
            if code is not None and len(code) > 1:
                codes = code.repeat_interleave(count)
            parts = slices.flatten(0, 1).contiguous(memory_format=CHANNELS_LAST[2])
            done = network.apply_channels(parts, codes)
            out = out + done.reshape(batch, count, *done.shape[1:]).movedim(1, axis)
        return out / len(self.planes)

    @property
    def halo(self) -> int | None:
        """That of the networks: every axis lies in two of the planes."""
        halos = [network.halo for network in self._inner()]
        return None if None in halos else max(cast(list[int], halos))

    def lipschitz_bound(self) -> float | None:
        """The largest of those of the networks, if all have one; a mean might round below it."""
        bounds = [network.lipschitz_bound() for network in self._inner()]
        return None if None in bounds else max(cast(list[float], bounds))

    def composed_bound(self) -> float:
        """The mean of those of the networks; rounding may not lift it above the largest."""
        bounds = [network.composed_bound() for network in self._inner()]
        return min(max(bounds), math.fsum(bounds) / len(bounds))

    @torch.no_grad()
    def start_from(self, other: Network) -> None:
        """Take over a network of its own kind, or one of slices for all three axes."""
        for number, network in enumerate(self._inner()):
            source = other._inner()[number] if isinstance(other, PlanesNetwork) else other
            network.start_from(source)

    def _inner(self) -> list[Network]:
        return [cast(Network, network) for network in self.planes]
