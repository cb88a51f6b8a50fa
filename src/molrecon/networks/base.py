"""The interface of the learned part H."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from molrecon.networks.layers import as_channels, as_image, noise_code


class Network(nn.Module, ABC):
    """A network H acting on images; H − I is learned, F = I − H is the monotone score.

    Attributes
    ----------
    ndim
        Spatial axes of the images.
    channels
        Real channels: 2 for complex images, else the number of image channels.
    """

    ndim: int
    channels: int
    noise_conditioned: bool

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Apply H to images.

        Parameters
        ----------
        x
            Complex ``(batch, 1, *spatial)`` or real ``(batch, channel, *spatial)``, with a peak
            of about 1.
        sigma
            Noise level of every sample relative to the image peak, ``(batch,)``; ignored by
            networks that are not conditioned on the noise.
        """
        code = noise_code(sigma).to(x.real.dtype) if self.noise_conditioned and sigma is not None else None
        return as_image(self.apply_channels(as_channels(x), code), like=x)

    @abstractmethod
    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the network to real channels ``(batch, channels, *spatial)``."""

    def lipschitz_bound(self) -> float | None:
        """Proved bound on Lip(H), or None if there is none."""
        return None
