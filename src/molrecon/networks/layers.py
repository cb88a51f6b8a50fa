"""Pieces every network is made of: complex images as channels, and noise-conditioned biases."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.shifted import convolution, suits
from molrecon.networks.wrapping import wrapped

CONVOLUTIONS = {2: nn.functional.conv2d, 3: nn.functional.conv3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}

NOISE_RANGE = (1e-3, 0.3)
"""Noise levels, relative to the image peak, at which `noise_code` is -1 and 1: the range between
which biases tell noise levels apart. Thresholds go on below it."""

LOWEST_CODE = -3.0
"""Code of a noise level of 3e-6 of the image peak, below which thresholds do not fall further."""

LOW_NOISE = 0.01
"""Noise level, relative to the image peak, below which thresholds may fall faster than above it."""

START_POINTS = {3: 12}
"""Grid points, by the number of axes, on which the norm of a new kernel is bounded."""

START_OFFSET = 1.5
"""A bias above any value of an image with a peak of 1: it keeps a ReLU in its linear range."""


def as_channels(x: Tensor) -> Tensor:
    """Complex ``(batch, 1, *spatial)`` to real ``(batch, 2, *spatial)``, channels last in memory.

    Real images pass unchanged. Channels-last memory makes the convolutions about three times
    faster on a CPU.
    """
    channels = torch.cat([x.real, x.imag], dim=1) if x.is_complex() else x
    return channels.contiguous(memory_format=CHANNELS_LAST[x.ndim - 2])


def as_image(channels: Tensor, like: Tensor) -> Tensor:
    """Inverse of `as_channels`, in the dtype of ``like``."""
    if not like.is_complex():
        return channels.to(like.dtype).contiguous()
    real, imaginary = channels.to(like.real.dtype).chunk(2, dim=1)
    return torch.complex(real.contiguous(), imaginary.contiguous())


def lift(x: Tensor, features: int) -> Tensor:
    """Append channels of zeros up to ``features``: an isometry, whose adjoint cuts them off."""
    zeros = x.new_zeros(x.shape[0], features - x.shape[1], *x.shape[2:])
    # Concatenation gives up the memory order of `as_channels`.
    return torch.cat([x, zeros], dim=1).contiguous(memory_format=CHANNELS_LAST[x.ndim - 2])


def resized(z: Tensor, channels: int) -> Tensor:
    """Cut channels off, or append zeros: z has ``channels`` then."""
    return z[:, :channels] if z.shape[1] >= channels else lift(z, channels)


def changed(z: Tensor, change: Tensor, kept: int, *, own: bool = False) -> Tensor:
    """Add a change of the first channels of z, of which ``kept`` are returned; z may have fewer.

    It is overwritten where nobody else holds it (``own``) and no gradient is recorded.
    """
    count = change.shape[1]
    if own and z.shape[1] == kept > count and not torch.is_grad_enabled():
        z[:, :count] += change
        return z
    first = resized(z, min(kept, count)) + change[:, :kept]
    if kept <= count:
        return first
    return torch.cat([first, resized(z, kept)[:, count:]], dim=1)


def noise_code(sigma: Tensor) -> Tensor:
    """Map noise levels in `NOISE_RANGE` to [-1, 1] on a logarithmic scale, `LOWEST_CODE` to 1.

    A threshold is a power of the noise level, which holds below the range as well: held fixed
    there, it would be ten times too large for a scan of σ = 1e-4, and details go with the noise.
    """
    low, high = map(math.log, NOISE_RANGE)
    return (2 * (sigma.log() - low) / (high - low) - 1).clamp(LOWEST_CODE, 1)


def _log_below(code: Tensor) -> Tensor:
    """Return ``log(σ/LOW_NOISE)`` of noise levels below `LOW_NOISE`, and 0 above."""
    low, high = map(math.log, NOISE_RANGE)
    sigma = low + (code + 1) * (high - low) / 2
    return (sigma - math.log(LOW_NOISE)).clamp_max(0)


class Layer(nn.Module, ABC):
    """A layer with weights; its constructor allocates them and `reset_parameters` fills them."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw new weights."""


class Convolution(Layer):
    """A stride-1 "same" convolution in 2D or 3D, its bias set by the noise level.

    A bias moves a network's thresholds and leaves its Lipschitz bound as it is, so a network may
    know the noise level through its biases, ``b + code(sigma) · d``, and keep its certificate for
    every sigma.

    Parameters
    ----------
    channels_in, channels_out
        Channels.
    ndim
        Spatial axes, 2 or 3.
    kernel_size
        Odd width of the kernel, or one for every axis.
    noise_conditioned
        Whether the bias depends on the noise level.
    biased
        Whether there is a bias.
    periodic
        Whether the first axis is a period, and goes on where it ends; else zeros are beyond the
        ends, as they are of the other axes.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        ndim: int = 2,
        kernel_size: int | Sequence[int] = 3,
        noise_conditioned: bool = False,
        biased: bool = True,
        periodic: bool = False,
    ) -> None:
        super().__init__()
        if ndim not in CONVOLUTIONS:
            raise InputError(f"ndim is {ndim}, expected 2 or 3")
        widths = [kernel_size] * ndim if isinstance(kernel_size, int) else list(kernel_size)
        if len(widths) != ndim or any(width < 1 or width % 2 == 0 for width in widths):
            raise InputError(f"kernel_size is {kernel_size}, expected an odd width")
        self.radii = tuple(width // 2 for width in widths)
        self.periodic = periodic
        self.ndim = ndim
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, *widths))
        self.register_parameter("bias", None)
        if biased:
            self.bias = nn.Parameter(torch.empty(channels_out))
        conditioned = biased and noise_conditioned
        self.noise_bias = nn.Parameter(torch.empty(channels_out)) if conditioned else None

    def reset_parameters(self) -> None:
        """Draw a kernel as torch's own convolutions do, without biases."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        for bias in (self.bias, self.noise_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(
        self, x: Tensor, code: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Convolve ``(batch, channels_in, *spatial)``, with ``weight`` in place of its own.

        ``code`` is `noise_code` of every sample, ``(batch,)``.
        """
        w = self.weight if weight is None else weight
        if self.noise_bias is None:
            return self.convolved(x, w, self.bias)
        if code is None:
            raise InputError("this network is conditioned on the noise level: give sigma")
        # Unlike a threshold, a bias is linear in the code: outside the range it would run away.
        bias = self.bias + code.clamp(-1, 1)[:, None] * self.noise_bias
        if len(bias) == 1:
            return self.convolved(x, w, bias[0])
        out = self.convolved(x, w)
        # In the precision of the convolution, or the rest of the layer leaves it.
        return out + bias.to(out.dtype).reshape(*out.shape[:2], *[1] * self.ndim)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve with any kernel of this width, padded as this one."""
        padding = self.radii
        if self.periodic:
            x, padding = wrapped(x, padding[0]), (0, *padding[1:])
        if suits(x):
            return convolution(x, weight, bias, padding)
        return CONVOLUTIONS[self.ndim](x, weight, bias, padding=padding)

    def rectified(
        self, x: Tensor, code: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Convolve, as a call does, and apply a ReLU."""
        return torch.relu(self(x, code, weight))


class SoftClip(Layer):
    """Clip every feature to ``[-τ, τ]``, τ learned per feature and set by the noise level.

    ``h − clip(h)`` is soft thresholding, so a residual layer that subtracts what is clipped removes
    small (noisy) features and keeps large ones, as wavelet shrinkage does. Clipping is monotone and
    1-Lipschitz for every τ, the derivative of a convex (Huber) function.

    A new one has ``τ = 0.4 sigma``, or 0.4 times the middle of `NOISE_RANGE` where the noise level
    is not known.

    Parameters
    ----------
    features
        Features.
    noise_conditioned
        Whether the thresholds depend on the noise level.
    speed
        Factor on what is learned, log τ: Adam moves it by ``speed`` learning rates a step. At a
        rate that suits kernels, thresholds of speed 1 hardly leave their start.
    low_noise_power
        Thresholds that depend on the noise level σ have a factor of ``(σ/LOW_NOISE)`` to this power
        where σ is below `LOW_NOISE`.
    """

    def __init__(
        self,
        features: int,
        *,
        noise_conditioned: bool,
        speed: float = 1.0,
        low_noise_power: float = 0.0,
    ) -> None:
        super().__init__()
        self.speed, self.low_noise_power = speed, low_noise_power
        self.log_threshold = nn.Parameter(torch.empty(features))
        self.slope = nn.Parameter(torch.empty(features)) if noise_conditioned else None

    def reset_parameters(self) -> None:
        """Set every threshold to 0.4 sigma, or 0.4 times the middle of `NOISE_RANGE`."""
        low, high = map(math.log, NOISE_RANGE)
        nn.init.constant_(self.log_threshold, ((high + low) / 2 + math.log(0.4)) / self.speed)
        if self.slope is not None:
            nn.init.constant_(self.slope, (high - low) / 2 / self.speed)

    def forward(self, h: Tensor, code: Tensor | None) -> Tensor:
        """Clip ``(batch, features, *spatial)``; ``code`` is `noise_code` of every sample."""
        threshold = self.threshold(h, code)
        return torch.clamp(h, min=-threshold, max=threshold)

    def threshold(self, h: Tensor, code: Tensor | None) -> Tensor:
        """Return the thresholds that ``h`` is clipped to, of its number of axes."""
        log_threshold = self.log_threshold[None]
        if self.slope is not None:
            if code is None:
                raise InputError("this network is conditioned on the noise level: give sigma")
            log_threshold = log_threshold + code[:, None] * self.slope
        log_threshold = self.speed * log_threshold
        if code is not None and self.low_noise_power:
            log_threshold = log_threshold + self.low_noise_power * _log_below(code)[:, None]
        threshold = log_threshold.exp().to(h.dtype)
        return threshold.reshape(-1, h.shape[1], *[1] * (h.ndim - 2))

    @torch.no_grad()
    def start_from(self, other: SoftClip) -> None:
        """Take over the thresholds of a clip of the same features, whatever its speed."""
        self.log_threshold.copy_(other.log_threshold * (other.speed / self.speed))
        if self.slope is not None and other.slope is not None:
            self.slope.copy_(other.slope * (other.speed / self.speed))


class GuidedClip(SoftClip):
    """A `SoftClip` whose thresholds are multiplied pixel by pixel; learned values are shared.

    Parameters
    ----------
    clip
        The one that gives the thresholds.
    factors
        Positive, ``(batch, features, *grid)``, of the grid of what is clipped.
    """

    def __init__(self, clip: SoftClip, factors: Tensor) -> None:
        nn.Module.__init__(self)
        self.speed, self.low_noise_power = clip.speed, clip.low_noise_power
        self.log_threshold, self.slope = clip.log_threshold, clip.slope
        self.factors: Tensor
        # In the memory order of what is clipped, which each application would else reorder.
        ordered = factors.contiguous(memory_format=CHANNELS_LAST[factors.ndim - 2])
        self.register_buffer("factors", ordered, persistent=False)
        self.train(clip.training)

    def threshold(self, h: Tensor, code: Tensor | None) -> Tensor:
        """Return the thresholds ``(batch, features, *grid)``."""
        return super().threshold(h, code) * self.factors.to(h.dtype)


def transposed(weight: Tensor) -> Tensor:
    """Kernel of the adjoint of the "same" convolution with kernel ``weight``."""
    return weight.transpose(0, 1).flip(tuple(range(2, weight.ndim)))


@torch.no_grad()
def start_high_pass(weight: Tensor) -> None:
    """Fill a kernel with random filters that ignore constant images, of operator norm about 1.

    Thresholding pays where features are sparse, and those of images are differences. Started from
    filters that see the mean, a thresholding network learns to switch itself off instead.
    """
    nn.init.normal_(weight)
    if weight[0, 0].numel() > 1:
        weight -= weight.mean(dim=tuple(range(2, weight.ndim)), keepdim=True)
    # Of a 3D kernel the exact value takes as long as reading a whole model.
    axes = sum(width > 1 for width in weight.shape[2:])
    weight /= certified_norm(weight, points=START_POINTS.get(axes))


def layers_of(modules: nn.ModuleList) -> list[Convolution]:
    """Return a list of modules as what they are."""
    return [cast(Convolution, module) for module in modules]
