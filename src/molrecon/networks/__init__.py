"""Networks H: the learned part of a reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from molrecon.errors import InputError
from molrecon.networks.base import Network
from molrecon.networks.cnn import CNN
from molrecon.networks.kernel_normalised import KernelNormalisedCNN
from molrecon.networks.multiscale import MultiscaleStrictCNN
from molrecon.networks.periodic import PeriodicStrictCNN
from molrecon.networks.planes import PlanesNetwork
from molrecon.networks.residual import ResidualCNN
from molrecon.networks.strict import STRICT_NETWORKS, ResidualStrictCNN, SpectralCNN
from molrecon.networks.tiled import Tiled
from molrecon.networks.unet import UNet


def _planes(*, plane: Mapping[str, Any], ndim: int = 3) -> Network:
    return PlanesNetwork(lambda: build_network(plane), ndim=ndim)


NETWORKS: dict[str, Callable[..., Network]] = {
    "cnn": CNN,
    "kernel-normalised": KernelNormalisedCNN,
    "multiscale-strict": MultiscaleStrictCNN,
    "periodic-strict": PeriodicStrictCNN,
    "planes": _planes,
    "residual": ResidualCNN,
    "unet": UNet,
    **STRICT_NETWORKS,
}
"""Networks by the name a configuration uses."""


def build_network(config: Mapping[str, Any]) -> Network:
    """Build a network from ``{"kind": name, **arguments}``.

    ``{"kind": "planes", "plane": {"kind": …}}`` has a network of slices inside.

    Raises
    ------
    InputError
        If the kind is unknown or an argument does not belong to it.
    """
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind not in NETWORKS:
        raise InputError(f"network kind {kind!r} is unknown, expected one of {sorted(NETWORKS)}")
    try:
        return NETWORKS[kind](**arguments)
    except TypeError as error:
        raise InputError(f"network {kind!r} does not take these settings: {error}") from None


__all__ = [
    "CNN",
    "NETWORKS",
    "KernelNormalisedCNN",
    "MultiscaleStrictCNN",
    "Network",
    "PeriodicStrictCNN",
    "PlanesNetwork",
    "ResidualCNN",
    "ResidualStrictCNN",
    "SpectralCNN",
    "Tiled",
    "UNet",
    "build_network",
]
