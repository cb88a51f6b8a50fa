"""MRI with partial Fourier sampling: mirrored samples for an edge that was not measured."""

from __future__ import annotations

import torch
from torch import Tensor

from molrecon.operators.base import LinearOperator
from molrecon.operators.multi_coil import MultiCoilMRI
from molrecon.operators.soft_sense import SoftSense

WEIGHT = 0.3
"""Weight of mirrored samples against measured ones. The phase is known only roughly, so that they
are less certain; even a small weight decides where there is nothing else."""


def mirrored(kspace: Tensor, fourier: int) -> Tensor:
    """Return k-space at the opposite frequency of every sample.

    Parameters
    ----------
    kspace
        ``(…, *Fourier axes)``, zero frequency at index ``n // 2``. The lowest frequency of an even
        length has no opposite one, and stays in place.
    fourier
        Number of Fourier axes, the last ones.
    """
    axes = tuple(range(-fourier, 0))
    # Index i has its opposite at 2 (n // 2) − i.
    shifts = tuple(1 - kspace.shape[axis] % 2 for axis in axes)
    return kspace.flip(axes).roll(shifts, axes)


class PartialFourierMRI(LinearOperator):
    """MRI with mirrored samples in place of an edge of k-space that was not measured.

    Where the phase φ of an image x is known, its conjugate mirror image ``e^{2iφ} x̄`` is the image
    itself, and ``conj(y(−k))`` is what coils with the maps ``conj(S) e^{−2iφ}`` would measure at k
    (virtual conjugate coils). These are added to the coils, for the frequencies of the missing edge
    alone: ``A x = (A₁x, w A₂x)``. Everywhere else the image keeps any phase that the data give it,
    and in the edge it is tied to φ as tightly as to the data. The operator is linear, and whatever
    holds for any operator holds for this one.

    Parameters
    ----------
    measured
        A₁, the operator of what was measured.
    phase
        Complex ``(batch or 1, 1 or set, *spatial)`` of unit modulus, ``e^{iφ}``, smooth.
    edge
        bool ``(batch or 1, 1, *spatial)``, frequencies that were not measured and whose opposite
        ones are to stand for them, where these were measured.
    weight
        w, how much mirrored samples count against measured ones, in (0, 1].

    References
    ----------
    M. Blaimer et al., "Virtual coil concept for improved parallel MRI employing conjugate symmetric
    signals", Magn. Reson. Med. 61 (2009) 93.

    Examples
    --------
    >>> import torch
    >>> from molrecon import CartesianMRI, PartialFourierMRI
    >>> maps = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    >>> mask = (torch.arange(8) >= 2).expand(1, 1, 8, 8)
    >>> A = PartialFourierMRI(CartesianMRI(maps, mask), torch.ones_like(maps), ~mask)
    >>> image = torch.randn(1, 1, 8, 8) + 0j
    >>> y = A.measurements(CartesianMRI(maps, mask)(image))
    >>> torch.allclose(y, A(image), atol=1e-6)
    True
    """

    _of_every_sample = ("measured", "opposite")

    def __init__(
        self, measured: MultiCoilMRI, phase: Tensor, edge: Tensor, *, weight: float = WEIGHT
    ) -> None:
        coils, *spatial = measured.shape_out
        super().__init__(
            measured.shape_in,
            (2 * coils, *spatial),
            batch=max(measured.batch, phase.shape[0]),
            dtype=measured.dtype,
        )
        mask = edge & mirrored(measured.mask != 0, measured.transformed)
        turned = phase.conj().square().to(measured.dtype)
        if isinstance(measured, SoftSense):
            maps = measured.coil_maps.conj() * turned[:, :, None]
            second: MultiCoilMRI = SoftSense(maps, mask, frames=measured.frames)
        else:
            maps = measured.coil_maps.conj() * turned
            second = type(measured)(maps, mask)  # type: ignore[call-arg]
        self.measured, self.opposite = measured, second
        self.coils, self.weight = coils, weight

    @property
    def device(self) -> torch.device:
        """Where images and measurements lie."""
        return self.measured.device

    def measurements(self, kspace: Tensor) -> Tensor:
        """Return the measurements of the operator for k-space ``(batch, coil, *spatial)``."""
        other = mirrored(kspace.conj(), self.measured.transformed) * self.opposite.mask
        return torch.cat([kspace, self.weight * other], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sampled k-space of all coils, then that of their mirror images."""
        parts = [self.measured.forward(x), self.weight * self.opposite.forward(x)]
        return torch.cat(parts, dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the sum of both zero-filled images."""
        first, second = y[:, : self.coils], y[:, self.coils :]
        return self.measured.adjoint(first) + self.weight * self.opposite.adjoint(second)

    def normal(self, x: Tensor) -> Tensor:
        """Apply AᴴA to images."""
        return self.measured.normal(x) + self.weight**2 * self.opposite.normal(x)

    def mismatch(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``Aᴴ(y − Ax)``, block by block of coils."""
        first, second = y[:, : self.coils], y[:, self.coils :]
        other = self.opposite.mismatch(x, second / self.weight)
        return self.measured.mismatch(x, first) + self.weight**2 * other

    @property
    def support(self) -> Tensor | None:
        """Pixels that a coil sees, bool ``(batch or 1, *shape_in)``; None for all."""
        return self.measured.support

    @property
    def nominal_norm(self) -> Tensor:
        """That of the operator of what was measured, ``(batch,)``: its unit of the data weight."""
        return self.measured.nominal_norm.expand(self.batch)

    @property
    def norm_bound(self) -> Tensor:
        """Bound on ‖A‖: ``‖A‖² ≤ ‖A₁‖² + w² ‖A₂‖²``, ``(batch or 1,)``."""
        first, second = self.measured.norm_bound, self.opposite.norm_bound
        return (first.square() + self.weight**2 * second.square()).sqrt()

    def completed(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the completed image; samples that were not measured are those of ``x``."""
        return self.measured.completed(x, y[:, : self.coils])

    @property
    def completion_gain(self) -> Tensor:
        """That of the operator of what was measured, ``(batch or 1,)``."""
        return self.measured.completion_gain

    def noise(self, white: Tensor) -> Tensor:
        """Return noise whose mirrored part is that of the measured samples."""
        return self.measurements(self.measured.noise(white[:, : self.coils]))

    def estimate_sigma(self, y: Tensor) -> Tensor:
        """Estimate sigma from what was measured."""
        self.H.check_input(y)
        return self.measured.estimate_sigma(y[:, : self.coils])
