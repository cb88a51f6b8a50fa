r"""The model of rounding: what is added to an error bound because arithmetic is not exact.

**The exact problem.** Weights, measurements, coil maps, mask, λ and σ are what is stored, in single
precision, say; x* solves the equation with these numbers in exact arithmetic. The network's kernels
are normalised from its stored weights. Measurements are those that were given, and where the
equation is in units of the image peak they are divided by it exactly: the single-precision
iteration rounds the quotients, and the bound, which takes them from what was given
(`Inclusion.measured`), counts that. λ and σ are the numbers that the solution reports, in that
unit.

**Outside the claim** is whoever changes what PyTorch computes: a function of it that was replaced,
a `TorchFunctionMode` or `TorchDispatchMode` that returns other numbers, a backend of ``compile``
that does (a compiled network or model is not called proved, nor one with hooks), tensors changed
through ``data`` or numpy behind an operator that holds them, and anything changed by another thread
while a solve runs.

**Model.** (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 2.4, 3.1 and 24.1.) With
the unit roundoff u, 2⁻⁵³ in double precision:

* A sum or product of two stored numbers has a relative error of at most u. A matrix with n entries
  in a row, M, is applied with an error of at most ``γ_n ‖|M|‖ ‖x‖``, ``γ_n = nu / (1 − nu)``.
* A convolution has n entries in a row or column, n being taps times the larger number of channels,
  and ``‖|M|‖ ≤ ‖P‖``, ``P_ij = Σ_k |W_ijk|`` the sums over taps, for rectangular kernels and wide
  ones too. It is summed product by product, in any order, and not by a transform of the image
  (Winograd or FFT), which no backend has in double precision.
* The layers of a certified network are nonexpansive, so errors made in them add up. Those of a step
  ``z − 2Wᵀclip(Wz + b)``, ``‖W‖ ≤ 1``, are at most ``4n‖P‖u`` times the size of its argument, n‖P‖
  for each of the two products and a factor of 2 on both; a layer of a chain has a quarter of it.
  Biases enlarge what is passed on: ``‖z‖ ≤ ‖x‖ + 2√N Σ‖b‖`` for images of N pixels.
  The few operations of every pixel (bias, threshold, difference) are in `NETWORK`, once per kernel.
  See `NetworkRounding`.
* An orthonormal FFT of N samples has a relative error of at most 8u log₂ N, below 400u for images
  of 2⁵⁰ samples; with the products by maps, mask and sums over coils a forward operator or its
  adjoint is applied with an error of at most ``OPERATOR · u · ‖A‖`` times the norm of its argument.
  OPERATOR is what the operator states (`LinearOperator.rounding`): 512, or more where its sums are
  those of a library that approximates them.
  That the adjoint is one, and that an operator computes in the precision of its argument, is known
  of the operators of this package; others are tested (`molrecon.equilibrium.operator_model`).

**What is bounded.** One iteration computes from u the image ``x ≈ u + w``,
``w ≈ (I + cAᴴA)⁻¹ p``, ``p = aρ/s``, ``ρ = H(u) − (1 + shift)u + λAᴴ(y − Au)``, so that
``T(u) = u + (I + cAᴴA)⁻¹ p`` (see `ForwardBackward`). u, w and x are stored numbers, however they
were found. With ``q = p − (I + cAᴴA)w``, computed in double precision, and the inverse of norm at
most 1,

``‖T(u) − u‖ ≤ ‖w‖ + e``, ``‖x − T(u)‖ ≤ ‖x − u − w‖ + e``, ``e = ‖(I + cAᴴA)⁻¹q‖ ≤ ‖q‖``,

and T contracts with k, so ``‖x − x*‖ ≤ ‖x − u − w‖ + e + k/(1 − k) (‖w‖ + e)``. Where ‖q‖ is too
coarse, because λ enlarges in q what the inverse makes small again, any v gives
``e ≤ ‖v‖ + ‖q − (I + cAᴴA)v‖``. Nothing is assumed of the iteration in single precision, whose
rounding and whose inexact linear solve are in q.

**What double precision leaves** (`floor`) is e's own error. Of H it is
``u · factor · (‖u‖ + offset √N)`` and of the sums ``8u (‖u‖ + ‖w‖)``; of ``r = y − Au`` it is
``OPERATOR u (‖y‖ + ‖A‖‖u‖)``, which counts ``‖(I + cAᴴA)⁻¹cAᴴ‖ ≤ √c/2`` times; of Aᴴr it is
``OPERATOR u c‖A‖‖r‖``; of ``cAᴴAw`` it is ``2 · OPERATOR u c‖A‖²‖w‖``. The residual form is what
makes this small: were λAᴴy and λAᴴAu rounded apart, ``u λ‖A‖²‖u‖`` would remain in place of the
first two, and of it what lies in the null space of A would be divided by m.

**Slack.** Norms are sums in double precision, of fewer than 2³⁰ terms. A bound of a problem in
single precision is a few products of numbers of that precision; `SLACK` covers their rounding,
and `DOUBLE_SLACK` that of one in double precision.

**The image that is returned** is stored once more, in the unit of the measurements, which is a
rounding of each pixel, and for those below the smallest normal number a larger one (`lost`). A
completed image (`LinearOperator.completed`) is computed in double precision from x, so that it adds
no more than its own `OPERATOR` term and this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molrecon.networks.layers import Convolution
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.operators.base import norm

NETWORK = 64.0
"""Rounding of the operations on every pixel of a layer, in units of ``u`` times its argument."""

SLACK = 1 + 2.0**-10
"""Factor of every bound of a problem in single precision."""

DOUBLE_SLACK = 1 + 2.0**-20
"""Factor of every bound of a problem in double precision."""


def unit_roundoff(dtype: torch.dtype) -> float:
    """Return u of a dtype, 2⁻⁵³ in double precision.

    Parameters
    ----------
    dtype
        Real or complex.
    """
    return torch.finfo(dtype).eps / 2


@dataclass(frozen=True)
class NetworkRounding:
    """The rounding of H(x): at most ``u · factor · (‖x‖ + offset √N)``, N being its pixels.

    Attributes
    ----------
    factor
        In units of u.
    offset
        By how much biases may enlarge what layers pass on, per root of a pixel.
    """

    factor: float = NETWORK
    offset: float = 0.0

    @classmethod
    def of(cls, network: nn.Module) -> NetworkRounding:
        """Return that of a network of nonexpansive layers, from the kernels they use."""
        layers = [part for part in network.modules() if isinstance(part, Convolution)]
        biases = [b for part in layers for b in (part.bias, part.noise_bias) if b is not None]
        lengths = [float(torch.linalg.vector_norm(b.detach().double())) for b in biases]
        return cls(
            factor=NETWORK * (1 + len(layers)) + 4 * sum(map(_products, layers)),
            offset=2 * sum(lengths),
        )

    def size(self, x: Tensor) -> Tensor:
        """Return ``factor · (‖x‖ + offset √N)`` of images ``(batch, channel, *spatial)``."""
        return self.factor * (norm(x).double() + self.offset * math.sqrt(x[0, 0].numel()))


def _products(layer: Convolution) -> float:
    used = layer.normalised_weight() if isinstance(layer, NormalisedConvolution) else layer.weight
    sums = used.detach().double().abs().flatten(2)
    length = sums.shape[2] * max(sums.shape[:2])
    if not bool(torch.isfinite(sums).all()):  # which the decomposition would refuse
        return math.inf
    return length * float(torch.linalg.matrix_norm(sums.sum(2), 2))


def lost(exact: Tensor, image: Tensor) -> Tensor:
    """Bound on what an image lost where values left the range of its precision, ``(batch,)``.

    Relative to its norm. A value below the smallest normal number has the absolute accuracy of the
    numbers there, or is set to zero where the processor does that; an image that overflows is worth
    nothing.

    Parameters
    ----------
    exact
        The image ``(batch, channel, *spatial)`` in a unit or a precision that has room for it.
    image
        As it is stored.
    """
    before, after = (_parts(values.detach()).flatten(1) for values in (exact, image))
    kind = torch.finfo(image.dtype)
    tiny, flushed = kind.tiny, bool(torch.full_like(after[0, 0], kind.tiny) / 2 == 0)
    wrong = tiny if flushed else tiny * kind.eps
    count = ((after.abs() < tiny) & (before != 0)).sum(1)
    size = torch.linalg.vector_norm(after, dim=1, dtype=torch.float64)
    return torch.where(torch.isfinite(size), wrong * count.sqrt() / size, torch.inf)


def _parts(values: Tensor) -> Tensor:
    return torch.view_as_real(values.resolve_conj()) if values.is_complex() else values


def floor(
    *,
    size: Tensor,
    mismatch: Tensor,
    data: Tensor,
    step: Tensor,
    c: Tensor,
    norm: Tensor,
    network: Tensor,
    operator: float,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return the rounding of e (see the module's docstring), ``(batch,)``.

    Parameters
    ----------
    size, mismatch, data, step
        ``‖u‖``, ``‖y − Au‖``, ``‖y‖`` and ``‖w‖`` of every sample, ``(batch,)``.
    c
        Weight of AᴴA in the linear system, ``(batch,)``.
    norm
        ``‖A‖``, ``(batch,)``.
    network
        Rounding of H(u) in units of u, ``(batch,)``, see `NetworkRounding.size`.
    operator
        Rounding of an application of A, see `operator_rounding`.
    dtype
        The precision of the computation.
    """
    amplified = c.sqrt() / 2 * (data + norm * size) + c * norm * (mismatch + 2 * norm * step)
    return unit_roundoff(dtype) * (network + 8 * (size + step) + operator * amplified)
