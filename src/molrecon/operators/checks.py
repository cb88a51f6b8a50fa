"""What operators ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.operators.base import LinearOperator

IMAGE_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return ``(channel, *spatial)`` as a tuple; all have to be positive integers."""
    lengths = tuple(shape)
    if len(lengths) < 2 or any(not isinstance(n, int) or n < 1 for n in lengths):
        raise InputError(
            f"shape is {lengths}, expected positive integers (channel, *spatial), without the "
            "batch axis; for one gray image of 64 by 48 pixels give (1, 64, 48)"
        )
    return lengths


def image_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return ``dtype``; one that images cannot have is refused."""
    if dtype not in IMAGE_DTYPES:
        expected = ", ".join(map(_dtype_name, IMAGE_DTYPES))
        raise InputError(f"dtype is {_dtype_name(dtype)}, expected one of {expected}; convert it")
    return dtype


def check_tensor(name: str, value: object) -> None:
    """Check that an argument is a tensor.

    Raises
    ------
    InputError
        If it is anything else, such as an array of NumPy.
    """
    if not isinstance(value, Tensor):
        raise InputError(
            f"{name} is of type {type(value).__name__}, expected torch.Tensor; convert it, an "
            "array by torch.from_numpy"
        )


def check_shape(
    operator: LinearOperator, values: Tensor, shape: tuple[int, ...], what: str
) -> None:
    """Refuse values, called ``what`` in the error, that are not ``(batch, *shape)``."""
    name = type(operator).__name__
    check_tensor(f"{what} for {name}", values)
    if tuple(values.shape[1:]) != shape or values.shape[0] == 0:
        raise InputError(
            f"{name}: found {what} of shape {tuple(values.shape)}, expected "
            f"(batch, {', '.join(map(str, shape))}) of one sample or more; A(x) takes "
            "images, A.H(y) measurements"
        )
    if operator.batch not in (1, values.shape[0]):
        raise InputError(
            f"{name}: found {what} with a batch of {values.shape[0]}, but the operator holds "
            f"parameters for {operator.batch} samples; give as many, or parameters for one"
        )


def check_measurements(y: Tensor, A: LinearOperator, model: nn.Module | None = None) -> None:
    """Refuse measurements that are not finite, or not of the precision of A and of the model.

    The model is the network of a learned method, or the method itself. Mixed precision by autocast
    does not show in its weights and is left to it.
    """
    from molrecon.operators.base import LinearOperator

    check_tensor("y", y)
    if not isinstance(A, LinearOperator):
        raise InputError(
            f"A is of type {type(A).__name__}, expected a LinearOperator, such as CartesianMRI; "
            "methods are called with measurements and operator: method(y, A)"
        )
    if y.dtype != A.dtype:
        found, expected = _dtype_name(y.dtype), _dtype_name(A.dtype)
        raise InputError(
            f"the measurements are {found}, but the operator A is {expected}, expected the same; "
            f"convert one of them: y.to(torch.{expected}) or A.to(dtype=torch.{found})"
        )
    weights = [] if model is None else [p.dtype for p in model.parameters()]
    wrong = {dtype for dtype in weights if dtype.to_real() != y.real.dtype}
    if wrong:
        found, expected = _dtype_name(min(wrong, key=str)), _dtype_name(y.real.dtype)
        raise InputError(
            f"the model's weights are {found}, but the measurements are {_dtype_name(y.dtype)}, "
            f"expected weights in {expected}; convert the model by model.to(torch.{expected}), "
            "or the measurements and A"
        )
    if y.ndim == 0 or not y.numel():
        raise InputError(
            f"the measurements have shape {tuple(y.shape)}, expected (batch, "
            f"{', '.join(map(str, A.shape_out))}) with one sample or more; give some"
        )
    if not bool(torch.isfinite(y).all()):
        raise InputError("the measurements hold NaN or infinite values: check the raw data")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_parameter(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a mask or kernel that is not ``(batch or 1, channel or 1, *any)`` for an image shape.

    It has to be finite and not empty.
    """
    check_tensor(name, values)
    if values.ndim != len(shape) + 1 or values.shape[1] not in (1, shape[0]) or not values.numel():
        raise InputError(
            f"{name} has shape {tuple(values.shape)}, expected (batch or 1, "
            f"{'1' if shape[0] == 1 else f'{shape[0]} or 1'}, *spatial) with {len(shape) - 1} "
            f"spatial axes, to fit images of shape {shape}; reshape it"
        )
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values, expected finite ones; correct it")
