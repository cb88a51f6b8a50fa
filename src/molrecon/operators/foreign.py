"""Operators of other packages as ones that multiply vectors of numpy, for `wrap_operator`."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molrecon.errors import InputError

Array = npt.NDArray[Any]


class SigpyProducts:
    """A `sigpy.linop.Linop`: ``ishape``, ``oshape``, and ``H`` for its adjoint."""

    def __init__(self, op: Any) -> None:
        self.op, self.dims, self.dimsd = op, tuple(op.ishape), tuple(op.oshape)
        self.shape = math.prod(self.dimsd), math.prod(self.dims)
        # Its operators take the precision of what they are given.
        self.dtype = np.dtype(np.complex64)

    def matvec(self, x: Array) -> Array:
        """Multiply by the operator."""
        return np.asarray(self.op(x.reshape(self.dims))).ravel()

    def rmatvec(self, y: Array) -> Array:
        """Multiply by its adjoint."""
        return np.asarray(self.op.H(y.reshape(self.dimsd))).ravel()


class TupleOperator(torch.nn.Module):
    """A linear operator of mrpro, whose products are tuples of one tensor, as a physics."""

    def __init__(self, op: torch.nn.Module) -> None:
        super().__init__()
        self.op = op

    def A(self, x: Tensor) -> Tensor:  # noqa: N802 - deepinv's name
        """Multiply by the operator."""
        (made,) = self.op(x)
        return made  # type: ignore[no-any-return]

    def A_adjoint(self, y: Tensor) -> Tensor:  # noqa: N802
        """Multiply by its adjoint."""
        (made,) = self.op.adjoint(y)  # type: ignore[operator]
        return made  # type: ignore[no-any-return]


class PhysicsProducts:
    """A linear physics of deepinv: ``A`` and ``A_adjoint`` of tensors with a batch axis.

    Complex images are two channels there, real and imaginary part, at the same place of images and
    measurements.
    """

    def __init__(self, op: Any, image: tuple[int, ...], dtype: torch.dtype | None) -> None:
        is_complex = dtype is not None and dtype.is_complex
        self.op, self.image = op, image
        self.pairs = is_complex and image[0] == 2
        self._double: Any = None
        kind = torch.complex64 if is_complex and not self.pairs else torch.float32
        start = torch.zeros(1, *image, device=_device(op), dtype=kind)
        made = self._product("A", start)
        self.measured = tuple(made.shape[1:])
        self.shape_in = self._without_pair(image)
        self.shape_out = self._without_pair(self.measured)
        self.shape = math.prod(self.shape_out), math.prod(self.shape_in)
        self.dtype = np.dtype(np.complex64 if self.pairs or made.is_complex() else np.float32)

    def matvec(self, x: Array) -> Array:
        """Multiply by the operator."""
        return self._multiply(x, self.image, adjoint=False)

    def rmatvec(self, y: Array) -> Array:
        """Multiply by its adjoint."""
        return self._multiply(y, self.measured, adjoint=True)

    def _multiply(self, values: Array, shape: tuple[int, ...], *, adjoint: bool) -> Array:
        given = torch.from_numpy(np.ascontiguousarray(values)).to(_device(self.op))
        if self.pairs:
            given = torch.view_as_real(given).movedim(-1, 0)
        name = "A_adjoint" if adjoint else "A"
        made = self._product(name, given.reshape(1, *shape))
        if self.pairs:
            made = torch.view_as_complex(made[0].movedim(0, -1).contiguous())
        found: Array = made.resolve_conj().cpu().numpy().ravel().astype(values.dtype)
        return found

    @torch.no_grad()
    def _product(self, name: str, values: Tensor) -> Tensor:
        made: Tensor
        if values.dtype in (torch.float64, torch.complex128):
            try:
                made = getattr(self._in_double(), name)(values)
                return made
            except RuntimeError:
                # It holds numbers of single precision that it does not convert. What it gives is
                # then no rounder than that, and nothing is called proved (`follows_model`).
                values = values.to(torch.complex64 if values.is_complex() else torch.float32)
        made = getattr(self.op, name)(values)
        return made

    def received(self, y: Tensor) -> Tensor:
        """Return measurements of deepinv, ``(batch, …)``, as this package has them."""
        if self.pairs:
            y = torch.view_as_complex(y.movedim(1, -1).contiguous())
        return y.reshape(len(y), *self.shape_out)

    def given_back(self, image: Tensor) -> Tensor:
        """Return an image of this package, ``(batch, channel, *spatial)``, as deepinv has it."""
        return torch.view_as_real(image[:, 0]).movedim(-1, 1) if self.pairs else image

    def _in_double(self) -> Any:
        if self._double is None:
            double = copy.deepcopy(self.op)
            self._double = double.double() if isinstance(double, torch.nn.Module) else double
        return self._double

    def _without_pair(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the numbers that are complex here; one axis at least is a channel."""
        rest = shape[1:] if self.pairs else shape
        # Coils take the place of channels.
        enough = len(rest) >= (len(self.image) if self.pairs else 2)
        return rest if enough else (1, *rest)


def products_of(op: Any, shape_in: Sequence[int] | None, dtype: torch.dtype | None) -> Any:
    """Return an operator of sigpy, deepinv or mrpro as one that multiplies vectors."""
    if all(hasattr(op, name) for name in ("ishape", "oshape", "H")):
        return SigpyProducts(op)
    if isinstance(op, torch.nn.Module) and callable(getattr(op, "adjoint", None)):
        op, dtype = TupleOperator(op), dtype or torch.complex64
    if not (hasattr(op, "A") and hasattr(op, "A_adjoint")):
        return op
    image = getattr(op, "img_size", None) if shape_in is None else shape_in
    if image is None:
        raise InputError(
            f"shape_in is not given and {type(op).__name__} does not tell the size of its images, "
            "expected (channel, *spatial); give it"
        )
    image = tuple(map(int, image))
    return PhysicsProducts(op, image, dtype)


def _device(op: Any) -> torch.device:
    held = [*op.buffers(), *op.parameters()] if isinstance(op, torch.nn.Module) else []
    return held[0].device if held else torch.device("cpu")
