"""A method of this package in the place of a reconstructor of deepinv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from molrecon.errors import InputError
from molrecon.operators.wrapped import Wrapped, wrap_operator
from molrecon.reconstructors.base import Reconstructor


class ForPhysics(nn.Module):
    """A method that is called as reconstructors of deepinv are: ``model(y, physics)``.

    The physics is wrapped by `wrap_operator`, and what comes back is the image alone; the
    `Solution` of the last call, with its bound, is `solution`.

    Parameters
    ----------
    method
        Any method, such as what `load` or `build_method` return.
    shape_in
        ``(channel, *spatial)`` of an image as deepinv has it; by default ``physics.img_size``.
    dtype
        A complex one where deepinv has real and imaginary part as two channels (MRI) and the method
        is of complex images; by default that of the physics.
    sigma
        Standard deviation of the noise per sample; by default ``physics.noise_model.sigma`` if
        there is one, else estimated where the method needs it.

    Attributes
    ----------
    solution
        The `Solution` of the last call; None before it.

    Raises
    ------
    InputError
        If ``method`` is no method of this package, or the physics is not linear.

    Examples
    --------
    >>> import torch
    >>> from molrecon import ForPhysics, SENSE
    >>> class Half:  # as a physics of deepinv
    ...     img_size = (1, 4, 4)
    ...     def A(self, x):
    ...         return 0.5 * x
    ...     def A_adjoint(self, y):
    ...         return 0.5 * y
    >>> model = ForPhysics(SENSE(lam=1e4))
    >>> image = model(torch.ones(1, 1, 4, 4), Half())
    >>> round(image.mean().item(), 2), model.solution.converged
    (2.0, True)
    """

    def __init__(
        self,
        method: Reconstructor,
        shape_in: Sequence[int] | None = None,
        *,
        dtype: torch.dtype | None = None,
        sigma: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(method, Reconstructor):
            raise InputError(
                f"method is of type {type(method).__name__}, expected a method, such as load or "
                "build_method return; build one."
            )
        self.method, self.shape_in, self.dtype, self.sigma = method, shape_in, dtype, sigma
        self.solution: Any = None

    def forward(self, y: Tensor, physics: Any, **_: Any) -> Tensor:
        """Return the image of measurements ``(batch, …)``, both as deepinv has them."""
        # Anew: masks and other parameters of a physics change from call to call.
        A = wrap_operator(physics, self.shape_in, dtype=self.dtype)
        assert isinstance(A, Wrapped)
        sigma = self.sigma
        if sigma is None:
            stated = getattr(getattr(physics, "noise_model", None), "sigma", None)
            sigma = None if stated is None else float(torch.as_tensor(stated).flatten()[0])
        self.solution = self.method(A.op.received(y).to(A.dtype), A, sigma=sigma or None)
        image: Tensor = A.op.given_back(self.solution.value)
        return image
