"""Networks H: the learned part of a reconstruction."""

from __future__ import annotations

from molrecon.networks.base import Network
from molrecon.networks.cnn import CNN
from molrecon.networks.guide import ThresholdGuide
from molrecon.networks.kernel_normalised import KernelNormalisedCNN
from molrecon.networks.multiscale import MultiscaleStrictCNN
from molrecon.networks.planes import PlanesNetwork
from molrecon.networks.residual import ResidualCNN
from molrecon.networks.series import SeriesStrictCNN
from molrecon.networks.settings import NETWORKS, AnyNetwork, NetworkSettings, build_network
from molrecon.networks.strict import ResidualStrictCNN, SpectralCNN
from molrecon.networks.tiled import Tiled
from molrecon.networks.unet import UNet

NETWORKS |= {
    "cnn": CNN,
    "kernel-normalised": KernelNormalisedCNN,
    "multiscale-strict": MultiscaleStrictCNN,
    "planes": PlanesNetwork,
    "residual": ResidualCNN,
    "residual-strict": ResidualStrictCNN,
    "series-strict": SeriesStrictCNN,
    "spectral": SpectralCNN,
    "unet": UNet,
}

__all__ = [
    "CNN",
    "NETWORKS",
    "AnyNetwork",
    "KernelNormalisedCNN",
    "MultiscaleStrictCNN",
    "Network",
    "NetworkSettings",
    "PlanesNetwork",
    "ResidualCNN",
    "ResidualStrictCNN",
    "SeriesStrictCNN",
    "SpectralCNN",
    "ThresholdGuide",
    "Tiled",
    "UNet",
    "build_network",
]
