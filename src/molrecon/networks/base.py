"""The interface of the learned part H."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from molrecon.errors import InputError, NoBoundError
from molrecon.networks.inflation import inflated_state
from molrecon.networks.layers import Convolution, Layer, as_channels, as_image, noise_code
from molrecon.networks.settings import NetworkSettings

WORKING_WIDTHS = 4
"""Images of all channels that a layer holds at once: input, result and intermediate ones."""


class Network(nn.Module, ABC):
    """A network H acting on images; H − I is learned, F = I − H is the monotone score.

    A kind of network that configurations name is a subclass with a class of `Settings`, entered in
    `NETWORKS`. Its constructor makes the layers and ends with `start`; what the weights are at
    first is settled in `reset_parameters` alone.

    Parameters
    ----------
    **settings
        The fields of `Settings`, but for ``kind``.

    Attributes
    ----------
    Settings
        The class of its settings; None for a network that no configuration names.
    settings
        Those it was built with.
    ndim
        Spatial axes of the images.
    channels
        Real channels: 2 for complex images, else the number of image channels.
    checkpointing
        Whether gradients keep the input of every layer alone and compute its inside again when it
        is needed: less memory for more work, the same values.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Network, build_network
    >>> network = build_network({"kind": "residual-strict", "features": 8, "layers": 2})
    >>> isinstance(network, Network), network.channels
    (True, 2)
    """

    Settings: ClassVar[type[NetworkSettings]]
    settings: NetworkSettings
    ndim: int
    channels: int
    noise_conditioned: bool
    checkpointing: bool = False

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        if hasattr(self, "Settings"):
            self.settings = self.Settings.checked(settings)
            self.ndim, images = self.settings.ndim, self.settings.images
            self.channels, self.noise_conditioned = images.channels, images.noise_conditioned

    def start(self) -> None:
        """Give the network its first weights, unless it is built on the device "meta".

        There it has its structure alone, for weights that are read from a file: drawing numbers and
        bounding the norms of kernels takes a hundred times as long as reading them.
        """
        if not any(parameter.is_meta for parameter in self.parameters()):
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, as they are before any training."""
        for part in self.modules():
            if isinstance(part, Layer):
                part.reset_parameters()

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Apply H to images.

        Parameters
        ----------
        x
            Complex ``(batch, 1, *spatial)`` or real ``(batch, channel, *spatial)``, with a peak
            of about 1. Of complex images ``(batch, set, *spatial)`` on several sets of coil maps
            each is denoised by itself, which leaves the Lipschitz constant as it is.
        sigma
            Noise level of every sample relative to the image peak, ``(batch,)``; ignored by
            networks that are not conditioned on the noise.

        Raises
        ------
        InputError
            If the image has another number of axes or channels than the network, or the network
            needs sigma and it is not given.
        """
        if x.is_complex() and x.shape[1] > 1 and self.channels == 2:
            return torch.cat([self.forward(x[:, [n]], sigma) for n in range(x.shape[1])], dim=1)
        self._check(x)
        code = None
        if self.noise_conditioned and sigma is not None:
            code = noise_code(sigma).to(x.real.dtype).expand(x.shape[0])
        return as_image(self.apply_channels(as_channels(x), code), like=x)

    @abstractmethod
    def apply_channels(self, x: Tensor, code: Tensor | None) -> Tensor:
        """Apply the network to real channels; `forward` takes images apart into them.

        Parameters
        ----------
        x
            Real channels ``(batch, channels, *spatial)``, channels last in memory.
        code
            `noise_code` of every sample, ``(batch,)``; None if no noise level was given.
        """

    def layer(self, function: Callable[..., Tensor], x: Tensor, *arguments: Any) -> Tensor:
        """Apply one layer, with ``checkpointing`` if that is asked for.

        Parameters
        ----------
        function
            What the layer computes from ``x`` and the arguments.
        x
            Its input ``(batch, channels, *spatial)``, which is kept for the gradient.
        *arguments
            What else it takes, such as the noise code and its modules.
        """
        if self.checkpointing and torch.is_grad_enabled():
            out: Tensor = checkpoint(function, x, *arguments, use_reentrant=False)
            return out
        return function(x, *arguments)

    @property
    def kernel_axes(self) -> int:
        """Axes of the convolutions' kernels: those of the images, if they are not taken in turn."""
        return self.ndim

    @property
    def halo(self) -> int | None:
        """Pixels along each axis, those `uncut` aside, that a pixel depends on beyond its place.

        None if it may depend on the whole image. Beyond the border of the image a network of a
        known halo sees zeros in all of its layers.
        """
        return None

    @property
    def uncut(self) -> tuple[int, ...]:
        """Axes on which a pixel may depend on all others, so that tiles have to be whole there."""
        return ()

    @property
    def working_channels(self) -> int:
        """Estimate of the real numbers per pixel that one application without gradients holds.

        It follows from the widest layer; in three axes 3.0 to 3.7 times its width was measured.
        """
        widths = [max(m.weight.shape[:2]) for m in self.modules() if isinstance(m, Convolution)]
        return WORKING_WIDTHS * max([self.channels, *widths])

    @property
    def block_pixels(self) -> Mapping[str, int]:
        """Pixels that are worked on at once, by kind of device; all of them where it has none."""
        return {}

    def lipschitz_bound(self) -> float | None:
        """Bound on Lip(H) that the construction imposes on any weights; None if it imposes none.

        It costs nothing, and nothing is checked: `certified_bound` computes a bound from the
        weights at hand, of networks that impose none too.
        """
        return None

    def composed_bound(self) -> float:
        """Bound on Lip(H) composed from the norms of the layers, the kernels as they are in use.

        `certified_bound` asks for it once it has checked the parts. A network that changes
        ``apply_channels`` has to say its bound anew.

        Raises
        ------
        NoBoundError
            If the network does not say how its layers are put together.
        """
        raise NoBoundError(f"{type(self).__name__} has no certified bound: it states none")

    def _check(self, x: Tensor) -> None:
        channels = x.shape[1] * (2 if x.is_complex() else 1)
        fits = channels == self.channels or (x.is_complex() and self.channels == 2)
        if x.ndim - 2 != self.ndim or not fits:
            raise InputError(
                f"the network is made for {self.ndim} spatial axes and {self.channels} real "
                f"channels, found {x.dtype} images of shape {tuple(x.shape)}: use another model"
            )

    def for_samples(self, samples: Tensor) -> Self:
        """Return the network for some samples of the batch; itself where it holds nothing of them.

        Parameters
        ----------
        samples
            Their numbers, int64 ``(count,)``.
        """
        return self

    def in_double(self) -> Self:
        """Return a copy in double precision, which no gradient reaches the original from."""
        return deepcopy(self).double()

    def start_from(self, other: Network) -> None:
        """Take over the weights of a trained network of the same kind, with as many axes or fewer.

        The kernels of one with fewer axes are placed in the middle of the new axes, which come
        first: a network without pooling then computes what the other does, slice by slice.

        Parameters
        ----------
        other
            The trained network.

        Raises
        ------
        InputError
            If the other network's weights do not fit.
        """
        try:
            self.load_state_dict(inflated_state(other.state_dict(), self.kernel_axes))
        except RuntimeError as error:
            raise InputError(
                f"the initial network {type(other).__name__} does not fit "
                f"{type(self).__name__}: {' '.join(str(error).split())}"
            ) from None
