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
  of the operators of this package; others are tested (`follows_model`).

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
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.networks.layers import Convolution
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.operators.base import LinearOperator, inner, norm
from molrecon.operators.wrapped import Wrapped

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


def operator_norm(A: LinearOperator) -> Tensor:
    """Return a number that ‖A‖ does not exceed, ``(batch or 1,)``: its bound, or twice its size.

    Parameters
    ----------
    A
        Any operator. An estimate of its norm approaches it from below, to a few per cent.
    """
    known = A.norm_bound
    return 2 * A.nominal_norm if known is None else known


def operator_rounding(A: LinearOperator) -> float:
    """Return OPERATOR of an operator: the largest of what its parts state."""
    return max(part.rounding for part in _parts_of(A))


UNITS = (2.0**-20, 2.0**20)
"""Sizes of images, besides 1, at which an operator is tested for being linear."""

_tested: WeakKeyDictionary[LinearOperator, bool] = WeakKeyDictionary()


@torch.no_grad()
def follows_model(A: LinearOperator) -> bool:
    """Whether an operator is linear with ``adjoint`` as its adjoint, and no rounder than assumed.

    Of the operators of this package it is known. Others, and what is made of them, are tested once,
    on random images of three sizes, in their own precision and in double. None may have changed
    since it was made (`LinearOperator.changed`).

    Parameters
    ----------
    A
        Any operator.
    """
    if any(part.changed for part in _parts_of(A)):
        return False
    known = _tested.get(A)
    if known is None:
        known = all(map(_is_own, _parts_of(A))) or next(_faults(A), None) is None
        _tested[A] = known
    return known


@torch.no_grad()
def check_operator(A: LinearOperator) -> None:
    """Refuse an operator whose ``forward`` and ``adjoint`` are not linear and adjoint.

    It is tested on random images, in its own precision and in double: some ten products. Methods do
    the same before they call a bound proved, and go on without proof where it fails.

    Parameters
    ----------
    A
        The operator, of any kind.

    Raises
    ------
    InputError
        If a test fails; the message says which, and by how much.

    Examples
    --------
    >>> from molrecon import LinearOperator, check_operator
    >>> class Twice(LinearOperator):
    ...     def forward(self, x):
    ...         return 2 * x
    ...
    ...     def adjoint(self, y):
    ...         return y / 2
    >>> check_operator(Twice((1, 8), (1, 8)))
    Traceback (most recent call last):
    molrecon.errors.InputError: Twice: ⟨x, Aᴴy⟩ is 1.96 from ⟨Ax, y⟩ = -2.614; correct adjoint
    """
    for fault in _faults(A):
        raise InputError(f"{type(A).__name__}: {fault}")


def _parts_of(A: LinearOperator) -> Iterator[LinearOperator]:
    """Return an operator and those it is made of."""
    yield A
    for value in _held(A).values():
        if isinstance(value, LinearOperator):
            yield from _parts_of(value)


def _held(A: LinearOperator) -> dict[str, Any]:
    """Return what was set of an operator; its double, once computed, is kept beside that."""
    return {name: value for name, value in vars(A).items() if name != "in_double"}


def _is_own(A: LinearOperator) -> bool:
    kind = type(A)
    module = sys.modules.get(kind.__module__)
    own = kind.__module__.startswith("molrecon.") and getattr(module, kind.__name__, None) is kind
    replaced = any(callable(value) and hasattr(kind, name) for name, value in _held(A).items())
    return own and not replaced and not isinstance(A, Wrapped)


def _draw(A: LinearOperator, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn((A.batch, *shape), generator=generator, dtype=A.dtype).to(A.device)


def _faults(A: LinearOperator) -> Iterator[str]:
    """Say what an operator lacks, in its own precision and in double, and what to do."""
    if any(part.changed for part in _parts_of(A)):
        yield "a tensor that it holds was changed after it was made; make a new operator"
    double = A.for_double
    for one in dict.fromkeys((A, double)):
        yield from _faults_in_precision(one)
    x = _draw(A, A.shape_in, torch.Generator().manual_seed(1))
    found = double(x.to(double.dtype) if double is not A else x).to(x.dtype)
    yield from _unequal(
        A, (("A.for_double(x) is not A(x)", found, A(x), operator_norm(A) * norm(x)),)
    )


def _faults_in_precision(A: LinearOperator) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    x, z, y = (_draw(A, shape, generator) for shape in (A.shape_in, A.shape_in, A.shape_out))
    forward, back, full = A(x), A.H(y), A.completed(x, y)
    for name, a in (("A(x)", forward), ("A.H(y)", back), ("A.completed(x, y)", full)):
        if a.dtype != A.dtype:
            yield f"{name} is {a.dtype}, expected {A.dtype} as its argument; keep the precision"
            return
    # From its own products: a norm that it states may be anything.
    size = LinearOperator.norm(A, tol=1e-2)
    both = norm(y) + size * norm(x)
    # A full scan is completed with the mismatch, or not known.
    added = torch.zeros_like(x) if full is x else A.mismatch(x, y)
    least = torch.finfo(size.dtype).tiny
    same = (
        (
            "A(x + z) is not A(x) + A(z)",
            A(x + z),
            forward + A(z),
            size * (3 * norm(x) + 3 * norm(z)),
        ),
        *(
            (f"A({factor:g} x) is not {factor:g} A(x)", A(factor * x), factor * forward, scale)
            for factor in UNITS
            for scale in (2 * factor * size * norm(x),)
        ),
        ("A.normal(x) is not A.H(A(x))", A.normal(x), A.H(forward), 4 * size**2 * norm(x)),
        (
            "A.mismatch(x, y) is not A.H(y − A(x))",
            A.mismatch(x, y),
            A.H(y - forward),
            4 * size * both,
        ),
        ("A.completed(x, y) is not x + A.H(y − A(x))", full, x + added, 4 * size * both + norm(x)),
    )
    yield from _unequal(A, same)
    yield from _faults_of_support(A, x, size)
    left, right = inner(forward, y), inner(x, back)
    apart = (left - right).abs()
    if not bool((apart <= 2 * _unit(A) * size * norm(x) * norm(y)).all()):
        worst = int(apart.argmax())
        yield (
            f"⟨x, Aᴴy⟩ is {float(apart[worst]):.3g} from ⟨Ax, y⟩ = {float(left[worst]):.4g}; "
            "correct adjoint"
        )
    stated = operator_norm(A)
    if not bool((size <= stated * (1 + 1e-6)).all()):
        yield (
            f"its norm is at least {float(size.max()):.6g}, but it states at most "
            f"{float(stated.max()):.6g}; correct norm_bound or nominal_norm"
        )
    gain = torch.maximum(norm(x - A.normal(x)) / norm(x).clamp_min(least), size.square() - 1)
    if full is not x and not bool((gain <= A.completion_gain * (1 + 1e-3)).all()):
        yield f"‖I − AᴴA‖ is at least {float(gain.max()):.6g}; correct completion_gain"


def _faults_of_support(A: LinearOperator, x: Tensor, size: Tensor) -> Iterator[str]:
    seen, again = A.support, A.support
    if seen is None:
        return
    if again is None or seen.dtype != torch.bool or not torch.equal(seen, again):
        yield "its support is no boolean tensor, or another one whenever it is asked; correct it"
        return
    outside = "A(x) is not zero where x is so on the support"
    yield from _unequal(A, ((outside, A(x * seen), A(x), size * norm(x)),))


def _unit(A: LinearOperator) -> float:
    return 2 * operator_rounding(A) * unit_roundoff(A.dtype)


def _unequal(
    A: LinearOperator, pairs: Iterable[tuple[str, Tensor, Tensor, Tensor]]
) -> Iterator[str]:
    """Say which pairs differ by more than the rounding of numbers of a size."""
    for what, a, b, scale in pairs:
        if not bool((norm(a - b) <= _unit(A) * scale).all()):
            share = float((norm(a - b) / norm(b)).max())
            yield f"{what}: in {A.dtype} they differ by {share:.1g} of their size; correct it"


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
