"""Operators of scipy, pylops, sigpy, deepinv and mrpro as operators of this package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.operators.checks import image_dtype, image_shape
from molrecon.operators.foreign import PhysicsProducts, SigpyProducts, TupleOperator, products_of

COLLATZ_STEPS = 30
"""Power iterations that tighten the norm bound of a matrix."""


def wrap_operator(
    op: Any,
    shape_in: Sequence[int] | None = None,
    shape_out: Sequence[int] | None = None,
    *,
    dtype: torch.dtype | None = None,
    norm_bound: float | None = None,
) -> LinearOperator:
    """Return an operator of scipy, pylops, sigpy, deepinv or mrpro as a `LinearOperator`.

    It runs where and how it does without wrapping, on the CPU and one image after the other;
    tensors on other devices are copied there and back. Gradients pass through by its adjoint.

    The size of the norm is estimated (`LinearOperator.nominal_norm`); that of a matrix is also
    bounded (`LinearOperator.norm_bound`), and so robustness bounds hold. Of an operator that only
    multiplies, no number of products proves a useful bound: give one, or go without.
    Error bounds count the rounding of double precision: of an operator that computes in single
    precision whatever it is given they hold up to its own rounding.

    Parameters
    ----------
    op
        A matrix (numpy array or scipy sparse array), `scipy.sparse.linalg.LinearOperator`, pylops
        operator, or anything else with ``shape``, ``dtype``, ``matvec`` and ``rmatvec``; linear
        over the complex numbers if complex. Or a `sigpy.linop.Linop`; a linear physics of deepinv,
        with ``A`` and ``A_adjoint``; or a linear operator of mrpro, of complex tensors whose first
        axis is the batch.
    shape_in
        ``(channel, *spatial)`` of an image; by default one channel with pylops' ``dims`` or
        sigpy's ``ishape``, deepinv's ``img_size``, or ``(1, columns)``. Where it is deepinv's
        ``(2, *spatial)`` and ``dtype`` is complex, the two channels are real and imaginary part,
        and images here ``(1, *spatial)``.
    shape_out
        Shape of the measurements of an image; by default one channel with pylops' ``dimsd`` or
        sigpy's ``oshape``, that of deepinv's measurements, or ``(1, rows)``.
    dtype
        Of images and measurements; by default that of ``op``. A real operator may act on complex
        images.
    norm_bound
        A bound on ‖A‖ that you know, in place of that of a matrix. Robustness bounds rest on it.

    Raises
    ------
    InputError
        If shapes or dtypes do not fit, ``op`` has no adjoint or one that is not that of its
        forward map, or ``norm_bound`` is smaller than the norm.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from molrecon import wrap_operator
    >>> A = wrap_operator(np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0]]), (1, 2, 2))
    >>> A(torch.ones(1, 1, 2, 2, dtype=torch.float64))
    tensor([[[3., 7.]]], dtype=torch.float64)
    >>> A.norm_bound
    tensor([5.0000], dtype=torch.float64)
    """
    bound = norm_bound
    op = products_of(op, shape_in, dtype)
    if isinstance(op, PhysicsProducts):
        shape_in, shape_out = op.shape_in, op.shape_out if shape_out is None else shape_out
    if not hasattr(op, "matvec"):
        from scipy.sparse.linalg import aslinearoperator

        op = _as_matrix(op)
        bound = _matrix_bound(op) if norm_bound is None else norm_bound
        op = aslinearoperator(op)
    rows, columns = map(int, op.shape)
    shape_in = _shape("shape_in", shape_in, getattr(op, "dims", (columns,)), columns)
    shape_out = _shape("shape_out", shape_out, getattr(op, "dimsd", (rows,)), rows)
    own = np.result_type(op.dtype, np.float32)
    natural = torch.from_numpy(np.empty(0, own)).dtype
    if natural.is_complex and not (dtype or natural).is_complex:
        raise InputError(
            f"dtype is {dtype}, expected a complex one, as {_name(op)} is {own}; leave it out"
        )
    _check_adjoint(op, own)
    wrapped = Wrapped(op, shape_in, shape_out, image_dtype(dtype or natural), bound)
    if norm_bound is not None and not float(wrapped.nominal_norm) <= norm_bound * (1 + 1e-6):
        raise InputError(
            f"norm_bound is {norm_bound}, but the norm of {_name(op)} is at least "
            f"{float(wrapped.nominal_norm):g}; give a larger bound, or none"
        )
    return wrapped


class Wrapped(LinearOperator):
    """An operator on numpy vectors, as `wrap_operator` checked it."""

    def __init__(
        self,
        op: Any,
        shape_in: tuple[int, ...],
        shape_out: tuple[int, ...],
        dtype: torch.dtype,
        norm_bound: float | None,
    ) -> None:
        super().__init__(shape_in, shape_out, dtype=dtype)
        self.op = op
        self._bound = norm_bound

    @property
    def norm_bound(self) -> Tensor | None:
        """Bound on ‖A‖, ``(1,)``; None where none is known."""
        if self._bound is None:
            return None
        real = self.dtype.to_real()
        # Rounded up.
        bound = self._bound * (1 + torch.finfo(real).eps)
        return torch.tensor([bound], dtype=real, device=self.device)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator to one image after the other."""
        return _product(x, self, False)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply its adjoint to the measurements of one image after the other."""
        return _product(y, self, True)

    def multiply(self, values: Tensor, adjoint: bool) -> Tensor:
        """Multiply by the matrix or its adjoint, through numpy and without a gradient."""
        flat = values.detach().resolve_conj().cpu().flatten(1).numpy()
        product = self.op.rmatvec if adjoint else self.op.matvec
        own = np.result_type(self.op.dtype, np.float32)
        # A real operator may drop imaginary parts, or refuse them.
        apart = values.is_complex() and not np.issubdtype(own, np.complexfloating)
        results = []
        for row in flat:
            parts = [row.real, row.imag] if apart else [row]
            done = [product(part.astype(np.result_type(own, part.dtype))) for part in parts]
            results.append(done[0] + 1j * done[1] if apart else done[0])
        shape = self.shape_in if adjoint else self.shape_out
        stacked = torch.from_numpy(np.stack(results)).reshape(-1, *shape)
        return stacked.to(dtype=values.dtype, device=values.device)


class _Product(torch.autograd.Function):
    """A product whose derivative is the product with the adjoint."""

    @staticmethod
    def forward(values: Tensor, operator: Wrapped, adjoint: bool) -> Tensor:
        return operator.multiply(values, adjoint)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.operator, ctx.adjoint = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _product(gradient, ctx.operator, not ctx.adjoint), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _product(tangent, ctx.operator, ctx.adjoint)


def _product(values: Tensor, operator: Wrapped, adjoint: bool) -> Tensor:
    result: Tensor = _Product.apply(values, operator, adjoint)  # type: ignore[no-untyped-call]
    return result


def _name(op: Any) -> str:
    while isinstance(op, SigpyProducts | PhysicsProducts | TupleOperator):
        op = op.op
    return type(op).__name__


def _shape(
    name: str, shape: Sequence[int] | None, own: Sequence[int], size: int
) -> tuple[int, ...]:
    shape = image_shape((1, *map(int, own)) if shape is None else shape)
    if math.prod(shape) != size:
        raise InputError(
            f"{name} is {shape}, which has {math.prod(shape)} numbers, expected one with {size}, "
            "without the batch axis; correct it"
        )
    return shape


def _check_adjoint(op: Any, dtype: np.dtype[Any]) -> None:
    """Compare ⟨Ax, y⟩ with ⟨x, Aᴴy⟩, for random y and for y = Ax.

    The second is not small by chance, as inner products of random vectors are: it shows an adjoint
    of another scale at any size.
    """
    random = np.random.default_rng(0)
    x, y = (
        (random.standard_normal(n) + 1j * random.standard_normal(n)).astype(dtype)
        if np.issubdtype(dtype, np.complexfloating)
        else random.standard_normal(n).astype(dtype)
        for n in op.shape[::-1]
    )
    forward = op.matvec(x)
    if np.iscomplexobj(forward) and not np.iscomplexobj(x):
        raise InputError(
            f"{_name(op)} says it is {dtype}, but gives complex numbers; correct its dtype"
        )
    tolerance = float(np.finfo(dtype).eps) ** 0.7
    for other in (y, forward):
        try:
            back = op.rmatvec(other)
        except NotImplementedError:
            raise InputError(
                f"{_name(op)} has no adjoint; give one, `rmatvec`, that multiplies by the "
                "conjugate transpose"
            ) from None
        left, right = np.vdot(other, forward), np.vdot(back, x)
        size = np.linalg.norm(forward) * np.linalg.norm(other)
        if not abs(left - right) <= tolerance * size:
            raise InputError(
                f"the adjoint of {_name(op)} does not fit it: ⟨y, Ax⟩ is {left:.6g}, but "
                f"⟨Aᴴy, x⟩ is {right:.6g}, expected the same to {tolerance * size:.1g}; give an "
                "operator whose `rmatvec` multiplies by the conjugate transpose"
            )


def _as_matrix(op: Any) -> Any:
    """Return an array of two axes, or a sparse matrix of any format as a compressed one."""
    from scipy.sparse import issparse

    # Not every sparse format knows its largest entry.
    matrix = op.tocsr() if issparse(op) else np.asarray(op)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biufc" or 0 in matrix.shape:
        raise InputError(
            f"op is of type {type(op).__name__} with shape {matrix.shape}, expected an operator of "
            "scipy or pylops, or a matrix of numbers; give one"
        )
    return matrix


def _matrix_bound(matrix: Any) -> float:
    """Bound the norm of a matrix by the magnitudes of its entries.

    ``‖A‖² ≤ ‖|A|‖² ≤ maxⱼ (|A|ᵀ|A|v)ⱼ/vⱼ`` for any positive v (Collatz, Wielandt), here those of
    a power iteration. It is close for matrices without negative entries, such as projections, and
    for others too large by at most the root of the number of rows.
    """
    magnitudes = abs(matrix).astype(np.float64)
    unit = float(magnitudes.max()) or 1.0
    # Squares neither overflow nor vanish in units of the largest entry.
    magnitudes = magnitudes / unit
    smallest, v = math.inf, np.ones(magnitudes.shape[1])
    for _ in range(COLLATZ_STEPS):
        after = magnitudes.T @ (magnitudes @ v)
        smallest = min(smallest, float((after / v).max()))
        # A column of zeros adds nothing, whatever stands there; entries must not vanish.
        v = np.maximum(after / max(after.max(), 1e-300), 1e-12)
    # What sums of so many non-negative terms, and the root, can round.
    rounding = 2 * (sum(magnitudes.shape) + 8) * float(np.finfo(np.float64).eps)
    bound: float = unit * math.sqrt(smallest) * (1 + rounding)
    return bound
