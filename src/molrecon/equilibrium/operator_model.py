"""What proofs assume of an operator, its norm, rounding and adjoint, and how that is tested."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from molrecon.equilibrium.rounding import unit_roundoff
from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, inner, norm
from molrecon.operators.wrapped import Wrapped


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
