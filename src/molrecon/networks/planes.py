"""A network of volumes made of networks of slices, in all three orientations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from molrecon.networks.base import Network
from molrecon.networks.layers import CHANNELS_LAST
from molrecon.networks.settings import AnyNetwork, ConvolutionalSettings, NetworkSettings

BLOCK_PIXELS = {"cpu": 2**15, "cuda": 2**20}
"""Pixels of the slices that are worked on at once: on a CPU what its cache holds, nearly twice as
fast as all of them, on a GPU what keeps it busy."""


class PlanesSettings(NetworkSettings):
    """Settings of a `PlanesNetwork`."""

    kind: Literal["planes"] = "planes"
    ndim: Literal[3] = 3
    plane: AnyNetwork  # settings of the network of slices, of any kind in two axes

    @property
    def images(self) -> ConvolutionalSettings:
        """Settings of the network of slices, whose channels the volumes have."""
        return self.plane.images

    @model_validator(mode="after")
    def _made_of_slices(self) -> Self:
        if self.plane.ndim != 2:
            raise ValueError(f"plane has ndim {self.plane.ndim}, expected 2: a network of slices")
        return self


class PlanesNetwork(Network):
    r"""The mean of three networks of slices, one for the planes across every axis.

    ``H(x) = ⅓ Σ_k P_kᵀ H_k(P_k x)``, where ``P_k`` takes a volume (z, y, x) apart into its slices
    across axis k. ``P_k`` is an isometry, and the slices of a batch do not see each other, so
    ``Lip(H)`` is at most the mean of the three bounds. The errors the three leave are partly
    independent: started from a trained network of slices, the mean is better than either before it
    is trained, at the cost of one network of 3 × 3 × 3 kernels.

    Parameters
    ----------
    **settings
        ``plane``: settings of the network of slices, or their plain values; one network is built
        for every axis. See `PlanesSettings`.

    Raises
    ------
    InputError
        If a setting is unknown or wrong, or the networks are not made for slices.

    Examples
    --------
    >>> from molrecon import PlanesNetwork
    >>> plane = {"kind": "residual-strict", "features": 8, "layers": 2}
    >>> PlanesNetwork(plane=plane).eval().lipschitz_bound() <= 0.98
    True
    """

    Settings = PlanesSettings
    settings: PlanesSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.planes = nn.ModuleList(self.settings.plane.build() for _ in range(3))

    def reset_parameters(self) -> None:
        """Draw new weights of all three networks."""
        for network in self._inner():
            network.reset_parameters()

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
            done = _applied(network, slices.flatten(0, 1), codes)
            out = out + done.reshape(batch, count, *done.shape[1:]).movedim(1, axis)
        return out / len(self.planes)

    @property
    def halo(self) -> int | None:
        """Pixels that a pixel depends on beyond its place, as in the slices through it."""
        halos = [network.halo for network in self._inner()]
        return None if None in halos else max(cast(list[int], halos))

    @property
    def block_pixels(self) -> Mapping[str, int]:
        """Those of the slices that are worked on at once, while no gradient is recorded."""
        return BLOCK_PIXELS

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
        """Take over trained weights.

        Parameters
        ----------
        other
            A network of the same kind, or one of slices, which is taken over for all three axes.
        """
        for number, network in enumerate(self._inner()):
            source = other._inner()[number] if isinstance(other, PlanesNetwork) else other
            network.start_from(source)

    def _inner(self) -> list[Network]:
        return [cast(Network, network) for network in self.planes]


def _applied(network: Network, slices: Tensor, codes: Tensor | None) -> Tensor:
    """Apply a network to slices ``(batch, channels, *plane)``.

    Without gradients a few of them at a time: all at once, in double precision above all, would
    need more memory than the rest of a solve.
    """
    count = len(slices)
    if not torch.is_grad_enabled() and slices.device.type in BLOCK_PIXELS:
        count = max(1, BLOCK_PIXELS[slices.device.type] // slices[0, 0].numel())
    done = []
    for start in range(0, len(slices), count):
        block = slice(start, start + count)
        few = slices[block].contiguous(memory_format=CHANNELS_LAST[2])
        own = codes if codes is None or len(codes) == 1 else codes[block]
        done.append(network.apply_channels(few, own))
    return done[0] if len(done) == 1 else torch.cat(done)
