"""What every forward model has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from molrecon.errors import InputError


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product Re⟨a, b⟩ of every sample, shape ``(batch,)``."""
    return torch.real(torch.mul(a.conj(), b)).flatten(1).sum(1)


def norm(a: Tensor) -> Tensor:
    """Euclidean norm of every sample, shape ``(batch,)``."""
    length: Tensor = torch.linalg.vector_norm(a.flatten(1), dim=1)
    return length


def magnitude(a: Tensor) -> Tensor:
    """Largest magnitude of every sample, shape ``(batch,)``; 1 for a sample of zeros.

    Divided by it, a sample's squares neither overflow nor vanish, whatever its unit.
    """
    largest = a.abs().flatten(1).amax(1)
    return torch.where(largest > 0, largest, torch.ones_like(largest))


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Reshape ``(batch,)`` values so that they broadcast against ``like``, ``(batch, …)``."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


class LinearOperator(ABC):
    """A linear forward model A with its adjoint; ``A(x)``, ``A.H(y)``, ``A.normal(x)``.

    Shapes exclude the batch axis: ``A`` maps ``(batch, *shape_in)`` to ``(batch, *shape_out)``.
    The adjoint is with respect to the real inner product Re⟨·, ·⟩ of the complex tensors, which
    is the one PyTorch's gradients use.

    Attributes
    ----------
    shape_in, shape_out
        Per-sample shapes of image and measurements, ``(channel, *spatial)`` and for MRI
        ``(coil, *spatial)``.
    batch
        The number of samples the operator holds parameters for; 1 broadcasts to any batch.
    """

    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    batch: int = 1

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype of images."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device the operator's parameters lie on."""

    @abstractmethod
    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LinearOperator:
        """Return the operator on another device or in another (image) precision."""

    @cached_property
    def in_double(self) -> LinearOperator:
        """The operator in double precision, itself if it is; made once."""
        precise = torch.complex128 if self.dtype.is_complex else torch.float64
        return self if self.dtype == precise else self.to(dtype=precise)

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def _resolvent(self, c: Tensor, r: Tensor) -> Tensor | None:
        return None

    def __call__(self, x: Tensor) -> Tensor:
        """Apply A to images ``(batch, *shape_in)``."""
        self._check(x, self.shape_in, "an image")
        return self._forward(x)

    @property
    def H(self) -> Adjoint:  # noqa: N802 - the field's name
        """The adjoint Aᴴ as an operator."""
        return Adjoint(self)

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images ``(batch, *shape_in)``."""
        self._check(x, self.shape_in, "an image")
        return self._normal(x)

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor | None:
        """Exact ``(I + c AᴴA)⁻¹ r`` where it has a closed form, else None.

        Parameters
        ----------
        c
            Non-negative weight of every sample, ``(batch,)``.
        r
            Right-hand side, ``(batch, *shape_in)``.
        """
        self._check(r, self.shape_in, "an image")
        return self._resolvent(c, r)

    @property
    def support(self) -> Tensor | None:
        """Pixels the measurements can see, bool ``(batch or 1, *shape_in)``; None for all.

        An image that is zero on all of them is mapped to zero.
        """
        return None

    @property
    def nominal_norm(self) -> Tensor:
        """About the size of ‖A‖, known without work, shape ``(batch,)``: 1 by convention.

        An operator that scales images by another factor says so here, so that a fixed weight of
        the data term can be given relative to ``‖A‖²``.
        """
        return torch.ones(self.batch, dtype=self.dtype.to_real(), device=self.device)

    @property
    def norm_bound(self) -> Tensor | None:
        """Bound on ‖A‖ known without work, ``(batch or 1,)``; None where none is known."""
        return None

    def completed(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what a complete measurement would have shown, given an estimate ``x``.

        Operators that know of no complete measurement return ``x`` itself.
        """
        return x

    @property
    def completion_gain(self) -> Tensor:
        """Bound on how much `completed` enlarges differences of ``x``, ``(batch or 1,)``."""
        return torch.ones(1, device=self.device)

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate the noise standard deviation per measured sample, shape ``(batch,)``.

        Raises
        ------
        InputError
            When this kind of measurement does not show its noise.
        """
        raise InputError(
            f"{type(self).__name__} cannot tell the noise from the data: give sigma, the standard "
            "deviation of the noise per measured sample"
        )

    def norm(self, *, tol: float = 1e-4, max_iterations: int = 500, seed: int = 0) -> Tensor:
        """Operator norm ‖A‖₂ of every sample, shape ``(batch,)``.

        Power iteration on AᴴA; the value approaches the norm from below and stops when one
        iteration changes it by less than ``tol`` (relative).
        """
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn((self.batch, *self.shape_in), generator=generator, dtype=self.dtype)
        x = x.to(self.device)
        value = torch.zeros(self.batch, device=self.device, dtype=x.real.dtype)
        for _ in range(max_iterations):
            x = x / per_sample(norm(x).clamp_min(torch.finfo(value.dtype).tiny), x)
            x = self._normal(x)
            previous, value = value, norm(x).sqrt()
            if bool(torch.all((value - previous).abs() <= tol * value)):
                break
        return value

    def _check(self, x: Tensor, shape: tuple[int, ...], what: str) -> None:
        if tuple(x.shape[1:]) != shape:
            raise InputError(
                f"{type(self).__name__}: found {what} of shape {tuple(x.shape)}, expected "
                f"(batch, {', '.join(map(str, shape))})"
            )
        if self.batch not in (1, x.shape[0]):
            raise InputError(
                f"{type(self).__name__}: found {what} with a batch of {x.shape[0]}, but the "
                f"operator holds parameters for {self.batch} samples"
            )


class Adjoint(LinearOperator):
    """The adjoint Aᴴ of an operator A; its own adjoint is A."""

    def __init__(self, operator: LinearOperator) -> None:
        self._operator = operator
        self.shape_in = operator.shape_out
        self.shape_out = operator.shape_in
        self.batch = operator.batch

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of measurements."""
        return self._operator.dtype

    @property
    def device(self) -> torch.device:
        """The device of the operator."""
        return self._operator.device

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Adjoint:
        """Return the adjoint on another device or in another precision."""
        return Adjoint(self._operator.to(device, dtype))

    @property
    def nominal_norm(self) -> Tensor:
        """That of the operator."""
        return self._operator.nominal_norm

    @property
    def H(self) -> LinearOperator:  # type: ignore[override]  # noqa: N802
        """The operator A itself."""
        return self._operator

    def _forward(self, x: Tensor) -> Tensor:
        return self._operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._operator._forward(y)

    def _check(self, x: Tensor, shape: tuple[int, ...], what: str) -> None:
        self._operator._check(x, shape, "measurements")
