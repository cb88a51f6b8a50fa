"""Operators made of others: adjoint, composition, sum and multiple."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator, per_sample
from molrecon.operators.checks import check_shape


class Adjoint(LinearOperator):
    """The adjoint Aᴴ of an operator A; its own adjoint is A."""

    _of_every_sample = ("_operator",)

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(
            operator.shape_out,
            operator.shape_in,
            batch=operator.batch,
            dtype=operator.dtype,
            device=operator.device,
        )
        self._operator = operator

    @property
    def H(self) -> LinearOperator:  # noqa: N802 - the field's name
        """The operator A itself."""
        return self._operator

    @property
    def nominal_norm(self) -> Tensor:
        """That of A, ``(batch,)``."""
        return self._operator.nominal_norm

    @property
    def norm_bound(self) -> Tensor | None:
        """That of A, ``(batch or 1,)``: both norms are equal."""
        return self._operator.norm_bound

    def forward(self, x: Tensor) -> Tensor:
        """Apply Aᴴ to measurements."""
        return self._operator.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply A to images."""
        return self._operator.forward(y)

    def check_input(self, x: Tensor) -> None:
        """Check the shape of measurements ``x``, ``(batch, *A.shape_out)``."""
        check_shape(self._operator, x, self.shape_in, "measurements")

    def __repr__(self) -> str:
        return f"{self._operator!r}.H"


class Composition(LinearOperator):
    """The operator ``outer @ inner``, which applies ``inner``, then ``outer``."""

    _of_every_sample = ("_outer", "_inner")

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        if outer.shape_in != inner.shape_out:
            raise InputError(
                f"the right operator of A @ B gives shape {inner.shape_out}, but the left one "
                f"takes {outer.shape_in}, expected the same; exchange them or adapt one"
            )
        super().__init__(inner.shape_in, outer.shape_out, **_common(outer, inner))
        self._outer, self._inner = outer, inner

    def forward(self, x: Tensor) -> Tensor:
        """Apply the inner operator, then the outer one."""
        return self._outer.forward(self._inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint of the outer operator, then that of the inner one."""
        return self._inner.adjoint(self._outer.adjoint(y))

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images, through the outer operator's own AᴴA."""
        self.check_input(x)
        return self._inner.adjoint(self._outer.normal(self._inner.forward(x)))

    @property
    def support(self) -> Tensor | None:
        """That of the inner operator: what it maps to zero stays zero."""
        return self._inner.support

    @property
    def nominal_norm(self) -> Tensor:
        """Product of both, ``(batch,)``."""
        return (self._outer.nominal_norm * self._inner.nominal_norm).expand(self.batch)

    @property
    def norm_bound(self) -> Tensor | None:
        """Product of both bounds, ``(batch or 1,)``."""
        outer, inner = self._outer.norm_bound, self._inner.norm_bound
        return None if outer is None or inner is None else outer * inner

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate the noise as the outer operator does, whose measurements these are."""
        return self._outer.estimate_sigma(y)

    def __repr__(self) -> str:
        return f"({self._outer!r} @ {self._inner!r})"


class Sum(LinearOperator):
    """The operator ``first + second``, of operators of the same shapes and dtype on one device."""

    _of_every_sample = ("_first", "_second")

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        shapes = [(one.shape_in, one.shape_out) for one in (first, second)]
        if shapes[0] != shapes[1]:
            raise InputError(
                "the operators of A + B map "
                + " and ".join(f"{taken} to {given}" for taken, given in shapes)
                + ", expected equal shapes; reshape what one of them takes or gives"
            )
        super().__init__(*shapes[0], **_common(first, second))
        self._first, self._second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """Add what both make of images."""
        return self._first.forward(x) + self._second.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Add what both adjoints make of measurements."""
        return self._first.adjoint(y) + self._second.adjoint(y)

    @property
    def support(self) -> Tensor | None:
        """Pixels that one of both can see, bool ``(batch or 1, *shape_in)``; None for all."""
        first, second = self._first.support, self._second.support
        return None if first is None or second is None else first | second

    @property
    def norm_bound(self) -> Tensor | None:
        """Sum of both bounds, ``(batch or 1,)``."""
        first, second = self._first.norm_bound, self._second.norm_bound
        return None if first is None or second is None else first + second

    def __repr__(self) -> str:
        return f"({self._first!r} + {self._second!r})"


class Scaled(LinearOperator):
    """The operator ``factor * operator``.

    The factor is a number, or a tensor of one or of one for every sample, ``(batch,)``; not zero,
    and real if the operator is.
    """

    _of_every_sample = ("_factor", "_operator")

    def __init__(self, factor: complex | Tensor, operator: LinearOperator) -> None:
        values = torch.as_tensor(factor, device=operator.device).reshape(-1)
        if values.is_complex() and not operator.dtype.is_complex:
            raise InputError(
                f"the factor of c * A is {factor}, expected a real one for an operator on "
                f"{operator.dtype} images; make the operator complex by its `to`, or drop the "
                "imaginary part"
            )
        if not bool((torch.isfinite(values) & (values != 0)).all()) or not values.numel():
            raise InputError(
                f"the factor of c * A is {factor}, expected finite, not zero; correct it"
            )
        sizes = {values.numel(), operator.batch} - {1}
        if len(sizes) > 1:
            raise InputError(
                f"the factor of c * A has {values.numel()} numbers, expected one or "
                f"{operator.batch}, one for every sample; give as many, or apply A "
                "by A(x)"
            )
        super().__init__(
            operator.shape_in,
            operator.shape_out,
            batch=max(sizes, default=1),
            dtype=operator.dtype,
            device=operator.device,
        )
        self._factor = values.to(operator.dtype)
        self._operator = operator

    def forward(self, x: Tensor) -> Tensor:
        """Apply A to images and multiply."""
        y = self._operator.forward(x)
        return per_sample(self._factor, y) * y

    def adjoint(self, y: Tensor) -> Tensor:
        """Multiply measurements by the conjugate factor and apply Aᴴ."""
        return self._operator.adjoint(per_sample(self._factor.conj(), y) * y)

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images and multiply by the squared magnitude of the factor."""
        image = self._operator.normal(x)
        return per_sample(self._size**2, image) * image

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor | None:
        """Exact ``(I + c AᴴA)⁻¹ r`` where the operator knows a closed form, else None."""
        return self._operator.resolvent(c * self._size**2, r)

    @property
    def _size(self) -> Tensor:
        return self._factor.abs()

    @property
    def support(self) -> Tensor | None:
        """That of the operator: the factor is not zero."""
        return self._operator.support

    @property
    def nominal_norm(self) -> Tensor:
        """Magnitude of the factor times that of the operator, ``(batch,)``."""
        return self._size * self._operator.nominal_norm

    @property
    def norm_bound(self) -> Tensor | None:
        """Magnitude of the factor times the bound of the operator, ``(batch or 1,)``."""
        bound = self._operator.norm_bound
        return None if bound is None else self._size * bound

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate the noise as the operator does, in the unit of ``y``."""
        return self._operator.estimate_sigma(y)

    def __repr__(self) -> str:
        values = self._factor.real if self._factor.isreal().all() else self._factor
        numbers = [f"{number:g}" for number in values.tolist()]
        factor = numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers)}]"
        return f"({factor} * {self._operator!r})"


def _common(first: LinearOperator, second: LinearOperator) -> dict[str, Any]:
    """Return what two operators that are combined have in common: batch, dtype and device."""
    for name, values in (
        ("dtype", (first.dtype, second.dtype)),
        ("device", (first.device, second.device)),
    ):
        if values[0] != values[1]:
            raise InputError(
                f"operators that are combined have {name} {values[0]} and {values[1]}, expected "
                "the same; convert one by its `to`"
            )
    sizes = {first.batch, second.batch} - {1}
    if len(sizes) > 1:
        raise InputError(
            f"operators that are combined hold parameters for {first.batch} and {second.batch} "
            "samples, expected equal numbers or one; repeat the parameters of one of them"
        )
    return {"batch": max(sizes, default=1), "dtype": first.dtype, "device": first.device}
