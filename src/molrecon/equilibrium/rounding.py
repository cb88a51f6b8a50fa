r"""The model of rounding: what is added to an error bound because arithmetic is not exact.

**The exact problem.** Weights, measurements, coil maps, mask, λ and σ are what is stored, in single
precision, say; x* solves the equation with these numbers in exact arithmetic. The network's kernels
are normalised from its stored weights. Measurements count as they stand in the equation, in
units of the image peak: that division rounds each of them once, and like any error of the
measurements it moves x* by at most ``½√(λ/m)`` times its norm (`robustness_constant`), which is no
part of the bound.

**Model.** (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 2.4, 3.1 and 24.1.) With
the unit roundoff u, 2⁻⁵³ in double precision:

* A sum or product of two stored numbers has a relative error of at most u. A matrix with n entries
  in a row, M, is applied with an error of at most ``γ_n ‖|M|‖ ‖x‖``, ``γ_n = nu / (1 − nu)``.
* A convolution has n entries in a row, n being channels times taps, and ``‖|M|‖ ≤ √n ‖M‖``. The
  layers of a network that is certified are nonexpansive, so their errors add up to
  ``u Σ n^{3/2} ‖x‖``, every kernel counted twice since a layer may apply it and its transpose
  (`network_factor`), if the layers' activations are no larger than their input by more than that.
* An orthonormal FFT of N samples has a relative error of at most 8u log₂ N, below 400u for images
  of 2⁵⁰ samples; with the products by maps, mask and sums over coils a forward operator or its
  adjoint is applied with an error of at most ``OPERATOR · u · ‖A‖`` times the norm of its argument.

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

**What double precision leaves** (`floor`) is e's own error. Of H and the sums it is
``u · network · (‖u‖ + ‖H(u)‖)``, ``‖H(u)‖ ≤ ‖u‖`` up to its offset; of ``r = y − Au`` it is
``OPERATOR u (‖y‖ + ‖A‖‖u‖)``, which counts ``‖(I + cAᴴA)⁻¹cAᴴ‖ ≤ √c/2`` times; of Aᴴr it is
``OPERATOR u c‖A‖‖r‖``; of ``cAᴴAw`` it is ``2 · OPERATOR u c‖A‖²‖w‖``. The residual form is what
makes this small: were λAᴴy and λAᴴAu rounded apart, ``u λ‖A‖²‖u‖`` would remain in place of the
first two, and of it what lies in the null space of A would be divided by m.

**Slack.** Norms are sums in double precision; kernels normalised in double differ from those used
in single precision by a rounding of the latter. `SLACK` covers both, and is not needed where the
problem itself is in double precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OPERATOR = 512.0
"""Rounding of one application of A or its adjoint, in units of ``u ‖A‖`` times its argument.

An orthonormal FFT of N samples has at most ``8 log₂ N`` of them (Higham 2002, 24.1).
"""

NETWORK = 64.0
"""Rounding of H where nothing is known about it, in units of ``u`` times its argument."""

SLACK = 1 + 2.0**-10
"""Factor of every bound."""


def unit_roundoff(dtype: torch.dtype) -> float:
    """Return u of a dtype, 2⁻⁵³ in double precision.

    Parameters
    ----------
    dtype
        Real or complex.
    """
    return torch.finfo(dtype).eps / 2


def network_factor(network: nn.Module) -> float:
    """Return the rounding of a network in units of ``u`` times the norm of its argument.

    Parameters
    ----------
    network
        A network of nonexpansive layers; its kernels are the parameters of three axes or more.
    """
    kernels = [p for p in network.parameters() if p.ndim >= 3]
    rows = [p.numel() / min(p.shape[0], p.shape[1]) for p in kernels]
    return float(NETWORK + 2 * sum(n**1.5 for n in rows))


def floor(
    *,
    size: Tensor,
    mismatch: Tensor,
    data: Tensor,
    step: Tensor,
    c: Tensor,
    norm: Tensor,
    network: float,
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
        Rounding of H in units of u, see `network_factor`.
    dtype
        The precision of the computation.
    """
    amplified = c.sqrt() / 2 * (data + norm * size) + c * norm * (mismatch + 2 * norm * step)
    return unit_roundoff(dtype) * (2 * network * (size + step) + OPERATOR * amplified)
