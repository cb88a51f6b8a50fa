"""What every forward model has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from numbers import Number
from typing import Self

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.checks import check_shape, image_dtype
from molrecon.operators.conversion import converted, device_of, of_samples
from molrecon.operators.watched import Watched


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product Re⟨a, b⟩ of every sample, shape ``(batch,)``."""
    return torch.real(torch.mul(a.conj(), b)).flatten(1).sum(1)


def norm(a: Tensor) -> Tensor:
    """Euclidean norm of every sample, shape ``(batch,)``, accurate at any size.

    Squares are summed in double precision: in single, the norm of 10⁷ equal numbers is wrong by
    several per cent, and squares of small ones vanish.
    """
    values = torch.view_as_real(a.resolve_conj()) if a.is_complex() else a
    length: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1, dtype=torch.float64)
    return length.to(values.dtype)


def magnitude(a: Tensor) -> Tensor:
    """Size of the largest value of every sample, a power of two, shape ``(batch,)``; 1 for zeros.

    Divided by it, a sample's squares neither overflow nor vanish, whatever its unit, and nothing
    is rounded.
    """
    largest = a.abs().flatten(1).amax(1)
    powers = torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent - 1)
    return torch.where(largest > 0, powers, torch.ones_like(largest))


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Reshape ``(batch,)`` values so that they broadcast against ``like``, ``(batch, …)``."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


class LinearOperator(Watched, ABC):
    """A linear forward model A with its adjoint: ``A(x)``, ``A.H(y)``, ``A.normal(x)``.

    A model of your own is a subclass with `forward` and `adjoint`; everything else follows from
    them. The adjoint is with respect to the real inner product Re⟨·, ·⟩ of the complex tensors,
    which is the one that PyTorch's gradients use. Operators combine: ``A @ B`` applies B, then A;
    ``A + B``, ``A - B`` and ``c * A`` do what they say. `check_operator` tests a model.

    Parameters
    ----------
    shape_in
        Shape of one image without the batch axis, ``(channel, *spatial)``; ``A`` maps
        ``(batch, *shape_in)`` to ``(batch, *shape_out)``.
    shape_out
        Shape of the measurements of one image, for MRI ``(coil, *spatial)``.
    batch
        Number of samples that the operator holds parameters for; 1 serves a batch of any size.
    dtype
        Of images and measurements: float32, float64, complex64 or complex128.
    device
        Where images and measurements lie. An operator that holds tensors is where these are.

    Attributes
    ----------
    shape_in, shape_out, batch, dtype
        As given.

    Notes
    -----
    An operator may derive other tensors from its parameters when it is made. Make a new one after
    changing a parameter in place, and one for every backward pass through such a parameter: nothing
    is proved with an operator that was changed.

    Examples
    --------
    >>> import torch
    >>> from molrecon import LinearOperator
    >>> class Difference(LinearOperator):
    ...     def __init__(self, n):
    ...         super().__init__(shape_in=(1, n), shape_out=(1, n - 1))
    ...
    ...     def forward(self, x):
    ...         return x.diff()
    ...
    ...     def adjoint(self, y):
    ...         return -torch.nn.functional.pad(y, (1, 1)).diff()
    >>> A = Difference(5)
    >>> A(torch.tensor([[[0.0, 1.0, 4.0, 9.0, 16.0]]]))
    tensor([[[1., 3., 5., 7.]]])
    >>> 2 * A.H
    (2 * Difference(shape_in=(1, 5), shape_out=(1, 4), dtype=float32).H)
    """

    rounding: float = 512.0
    """Error of one application of A or Aᴴ in units of ``u ‖A‖`` times its argument, at most.

    u is the unit roundoff. An orthonormal FFT of N samples has ``8 log₂ N`` (Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, 24.1), below 400 for images of 2⁵⁰ samples.
    """

    _of_every_sample: tuple[str, ...] = ()
    """Names of what it holds of every sample: tensors ``(batch or 1, …)``, and operators."""

    def __init__(
        self,
        shape_in: Sequence[int],
        shape_out: Sequence[int],
        *,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape_in = tuple(shape_in)
        self.shape_out = tuple(shape_out)
        self.batch = batch
        self.dtype = image_dtype(dtype)
        self._device = device_of(device)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply A to images ``(batch, *shape_in)`` whose shape was checked."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply Aᴴ to measurements ``(batch, *shape_out)`` whose shape was checked."""

    def __call__(self, x: Tensor) -> Tensor:
        """Apply A to images ``(batch, *shape_in)``.

        Raises
        ------
        InputError
            If the shape does not fit.
        """
        self.check_input(x)
        y = self.forward(x)
        if y.shape[1:] != self.shape_out:
            raise InputError(
                f"{self} gives shape {tuple(y.shape)}, expected (batch, "
                f"{', '.join(map(str, self.shape_out))}); correct its forward or adjoint, or the "
                "shapes that it was made with"
            )
        return y

    @property
    def H(self) -> LinearOperator:  # noqa: N802 - the field's name
        """The adjoint Aᴴ as an operator."""
        from molrecon.operators.algebra import Adjoint

        return Adjoint(self)

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images ``(batch, *shape_in)``.

        Raises
        ------
        InputError
            If the shape does not fit.
        """
        self.check_input(x)
        return self.adjoint(self.forward(x))

    def mismatch(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``Aᴴ(y − Ax)``, the data gradient of ``½‖Ax − y‖²`` with the opposite sign.

        It is small where x explains y, and computed as the difference it is: ``Aᴴy − AᴴAx`` would
        hold the rounding of two terms that may be large.

        Parameters
        ----------
        x
            Images ``(batch, *shape_in)``.
        y
            Measurements ``(batch, *shape_out)``.
        """
        return self.adjoint(y - self(x))

    def resolvent(self, c: Tensor, r: Tensor) -> Tensor | None:
        """Exact ``(I + c AᴴA)⁻¹ r`` where the operator knows a closed form, else None.

        Parameters
        ----------
        c
            Non-negative weight of every sample, ``(batch,)``.
        r
            Right-hand side, ``(batch, *shape_in)``.

        Raises
        ------
        InputError
            If the shape of ``r`` does not fit.
        """
        self.check_input(r)
        return None

    def preconditioner(self, c: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Return an approximate ``(I + c AᴴA)⁻¹``, linear, Hermitian and positive; None for none.

        It makes conjugate gradients faster and changes no result.

        Parameters
        ----------
        c
            Non-negative weight of every sample, ``(batch,)``.
        """
        return None

    @property
    def device(self) -> torch.device:
        """Where images and measurements lie."""
        held = (value.device for value in vars(self).values() if isinstance(value, Tensor))
        return next(held, self._device)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the operator on another device or in another precision.

        By default a copy, all of whose tensors and operators are converted: real tensors to the
        real dtype of that precision, complex ones to the complex one, others only moved.

        Parameters
        ----------
        device
            By default the present one.
        dtype
            Of images, by default the present one.
        """
        target = image_dtype(dtype or self.dtype)
        state = self.__getstate__()
        state.pop("in_double", None)
        moved = type(self).__new__(type(self))
        moved.__setstate__({k: converted(value, device, target) for k, value in state.items()})
        moved.dtype, moved._device = target, device_of(device or self._device)
        return moved

    def for_samples(self, samples: Tensor) -> LinearOperator | None:
        """Return the operator of some samples of the batch, itself if it serves any of them.

        None where it is not known what the operator holds of every sample.

        Parameters
        ----------
        samples
            Their numbers, int64 ``(count,)``.
        """
        if self.batch == 1:
            return self
        named = (*self._of_every_sample, "nominal_norm", "undetermined", "measured_share")
        state = of_samples(self.__getstate__(), named, self.batch, samples)
        if state is None or not self._of_every_sample:
            return None
        part = type(self).__new__(type(self))
        part.__setstate__(state | {"batch": len(samples)})
        return part

    @cached_property
    def in_double(self) -> LinearOperator:
        """The operator in double precision, itself if it is; made once."""
        precise = torch.complex128 if self.dtype.is_complex else torch.float64
        return self if self.dtype == precise else self.to(dtype=precise)

    @property
    def for_double(self) -> LinearOperator:
        """The operator to apply to images and measurements of double precision.

        By default `in_double`. An operator whose arithmetic takes the precision of its argument is
        that itself, and needs no second copy of its parameters.
        """
        return self.in_double

    @property
    def support(self) -> Tensor | None:
        """Pixels the measurements can see, bool ``(batch or 1, *shape_in)``; None for all.

        An image that is zero on all of them is mapped to zero.
        """
        return None

    @cached_property
    def nominal_norm(self) -> Tensor:
        """About the size of ‖A‖, shape ``(batch,)``.

        A weight of the data term is given relative to its square, so that it suits operators in
        any unit. By default it is estimated once, to a few per cent. MRI operators call it 1,
        which holds for coil maps of unit root sum of squares.
        """
        estimate = self.norm(tol=1e-2)
        return torch.where(estimate > 0, estimate, torch.ones_like(estimate))

    @cached_property
    def undetermined(self) -> Tensor:
        """Share of a typical image's energy that is hardly measured, ``(batch,)``; computed once.

        See `molrecon.operators.undetermined.undetermined`.
        """
        from molrecon.operators.undetermined import undetermined

        return undetermined(self)

    @cached_property
    def measured_share(self) -> Tensor:
        """Mean eigenvalue of AᴴA, at most 1, ``(batch,)``; computed once.

        See `molrecon.operators.undetermined.measured_share`.
        """
        from molrecon.operators.undetermined import measured_share

        return measured_share(self)

    @property
    def norm_bound(self) -> Tensor | None:
        """Proved bound on ‖A‖, ``(batch or 1,)``; None where none is known."""
        return None

    def completed(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what a complete measurement would have shown, given an estimate ``x``.

        Operators that know of no complete measurement return ``x`` itself.

        Parameters
        ----------
        x
            Estimated image, ``(batch, *shape_in)``.
        y
            Measurements in the same unit, ``(batch, *shape_out)``.
        """
        return x

    @property
    def completion_gain(self) -> Tensor:
        """Bound on how much `completed` enlarges differences of ``x``, ``(batch or 1,)``."""
        return torch.ones(1, device=self.device)

    def zero_filled(self, y: Tensor) -> Tensor:
        """Return the image in which what was not measured counts as zero: ``Aᴴy`` by default.

        An operator whose samples lie more or less densely makes up for that, as Aᴴ does not.

        Parameters
        ----------
        y
            Measurements ``(batch, *shape_out)``.
        """
        return self.H(y)

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate the noise standard deviation per measured sample, shape ``(batch,)``.

        Parameters
        ----------
        y
            Measurements, ``(batch, *shape_out)``; the estimate is in their unit.

        Raises
        ------
        InputError
            When this kind of measurement does not show its noise.
        """
        raise InputError(
            f"{type(self).__name__} cannot tell the noise from the data: give sigma, the standard "
            "deviation of the noise per measured sample"
        )

    def noise(self, white: Tensor) -> Tensor:
        """Return noise as the measurements have it, made of white noise.

        By default it is zero where the mask of the operator, if it has one, says that nothing was
        measured.

        Parameters
        ----------
        white
            White noise ``(batch, *shape_out)``.
        """
        mask: Tensor | None = getattr(self, "mask", None)
        return white if mask is None else white * (mask != 0)

    @torch.no_grad()
    def norm(self, *, tol: float = 1e-4, max_iterations: int = 500, seed: int = 0) -> Tensor:
        """Estimate of the operator norm ‖A‖₂ of every sample, shape ``(batch,)``.

        Power iteration on AᴴA. The value approaches the norm from below, so it proves nothing
        about how large the norm is (`norm_bound` does). It carries no gradient.

        Parameters
        ----------
        tol
            Stop when one iteration changes the value by less than this fraction of it.
        max_iterations
            Stop after so many iterations at the latest.
        seed
            Of the random image it starts from.
        """
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn((self.batch, *self.shape_in), generator=generator, dtype=self.dtype)
        x = x.to(self.device)
        value = torch.zeros(self.batch, device=self.device, dtype=x.real.dtype)
        for _ in range(max_iterations):
            x = x / per_sample(norm(x).clamp_min(torch.finfo(value.dtype).tiny), x)
            x = self.normal(x)
            previous, value = value, norm(x).sqrt()
            if bool(torch.all((value - previous).abs() <= tol * value)):
                break
        return value

    def check_input(self, x: Tensor) -> None:
        """Check the shape of images ``x``.

        Raises
        ------
        InputError
            If it is not ``(batch, *shape_in)`` with a batch that the operator's parameters fit.
        """
        check_shape(self, x, self.shape_in, "an image")

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        """Return the operator that applies ``other``, then this one."""
        from molrecon.operators.algebra import Composition

        return Composition(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __add__(self, other: LinearOperator) -> LinearOperator:
        """Return the sum of two operators."""
        from molrecon.operators.algebra import Sum

        return Sum(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __mul__(self, factor: complex | Tensor) -> LinearOperator:
        """Return the operator times a number, or a tensor with one for every sample."""
        from molrecon.operators.algebra import Scaled

        if not isinstance(factor, Number | Tensor):
            return NotImplemented
        return Scaled(factor, self)

    __rmul__ = __mul__
    # numpy's numbers leave `factor * A` to the operator.
    __array_ufunc__ = None

    def __neg__(self) -> LinearOperator:
        """Return −A."""
        return self * -1

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        """Return the difference of two operators."""
        return self + -other if isinstance(other, LinearOperator) else NotImplemented

    def __repr__(self) -> str:
        batch = f", batch={self.batch}" if self.batch > 1 else ""
        device = f", device={self.device}" if self.device.type != "cpu" else ""
        return (
            f"{type(self).__name__}(shape_in={self.shape_in}, shape_out={self.shape_out}"
            f"{batch}, dtype={str(self.dtype).removeprefix('torch.')}{device})"
        )
