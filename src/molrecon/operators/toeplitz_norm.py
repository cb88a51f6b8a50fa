r"""A proved bound on the norm of non-Cartesian MRI, within a fraction of a per cent where it can.

**The operator.** ``B = AᴴA = Σ_c S_cᴴ P ᵀ C P S_c``: coil maps S_c, P puts an image of n pixels an
axis into a circle of 2n, and C is the circular convolution whose spectrum f is that of the Toeplitz
kernel (`SamplePoints.spectrum`). With F the unitary transform of the circle, ``C = Fᴴ diag(f) F``.
Let ρ² be the largest sum of squares of the coil maps of a pixel, ``Σ_c S_cᴴS_c ≤ ρ²I``.

**The circulant's maximum.** ``C ≤ max f · I`` gives ``‖A‖² ≤ ρ² max f``. The circle holds images
that the field of view does not, whose spectra may be as narrow as one of its frequencies, so this
is up to twice too large for each axis.

**The strongest frequencies by themselves.** For any τ ≥ 0, ``f ≤ τ + (f − τ)₊``, so that

``B ≤ τρ²I + VVᴴ``,  V having the columns ``√(f_k − τ) S_cᴴPᵀFᴴe_k`` for all coils c and for the
frequencies k with f_k > τ. The r of them that are largest are taken (`COLUMNS` columns at most) and
τ is the next f. ``‖VVᴴ‖ = λ_max(VᴴV)`` is that of a small matrix, which proves

``‖A‖² ≤ τρ² + λ_max(VᴴV)``.                                                                   (1)

**The rest is closed by its residual.** (Temple and Lehmann; Parlett, The Symmetric Eigenvalue
Problem, 1998, 10.) The eigenvectors of VVᴴ with eigenvalues above δ, and a few vectors of the
Lanczos process, are made an orthonormal basis Q. For x orthogonal to Q, ``xᴴVVᴴx ≤ δ‖x‖²``, so
``Q⊥ᴴBQ⊥ ≤ dI``, ``d = τρ² + δ``. Let ``M = QᴴBQ`` and ``R = BQ − QM``. For λ > d the Schur
complement of ``λI − B`` in the basis (Q, Q⊥) is at least
``λI − M − RᴴR/(λ − d)``, so B ≤ λI whenever

``λ_max(M + RᴴR/(λ − d)) ≤ λ``.                                                                (2)

The smallest such λ is found by bisection, from above, and only one that satisfies (2) is returned.
Its distance to the largest Ritz value λ_max(M), a lower bound of ‖A‖², is of the order of the
square of a residual. Where d is not below ‖A‖², because a weighted density is flat, (2) has no
solution below (1), and (1) is returned. An image of few pixels has a basis of all of them.

**Numerics.** f is that of a kernel that was computed. Each lag is wrong by at most ``ρ_F u T(0)``
(`molrecon.operators.nufft.ROUNDING`: relative to the sum of the magnitudes of its terms, which is
T(0)), so f is wrong by at most ``(2n)ᵈ ρ_F u T(0)``, and B by ρ² times that, which is added. What
follows are products in double precision of vectors of fewer than 2³⁰ numbers; `SLACK` is far more
than their rounding.

**Planes** that are transformed by themselves (frames, or a stack sampled alike in all partitions)
are diagonal blocks of B, and the largest bound holds for all: (1) of all of them, then (2) of those
that are largest, `REFINED` of them at most. A stack whose partitions are sampled otherwise has no
such blocks and the circulant's maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molrecon.operators.fourier import spatial_dims
from molrecon.operators.nufft import ROUNDING

if TYPE_CHECKING:
    from molrecon.operators.non_cartesian_mri import NonCartesianMRI

COLUMNS = 96
"""Columns of V, at most: frequencies that are taken by themselves, times coils."""

SHARE = 0.05
"""δ, relative to the largest eigenvalue of VVᴴ."""

KRYLOV = 8
"""Vectors of the Lanczos process."""

REFINED = 4
"""Planes of a sample whose bound is refined, at most."""

WHOLE = 256
"""Pixels of an image whose basis is that of all images, at most."""

SLACK = 1 + 2.0**-20
"""Factor of a bound, for the rounding of its own computation in double precision."""


@dataclass(frozen=True, eq=False)
class NormEstimate:
    """Bounds on ‖A‖ from both sides, ``(batch,)``, float64; the upper one is proved."""

    lower: Tensor
    upper: Tensor


@torch.no_grad()
def estimate_norm(A: NonCartesianMRI) -> NormEstimate:
    """Return bounds on the norm of an operator from both sides."""
    maps = A.coil_maps.detach().cpu().to(torch.complex128)
    spectrum = A.points.spectrum
    planes = len(A.shape_in) - 1 > A.axes
    if planes and A.stacked and len(spectrum) > 1:
        size = maps.abs().square().sum(1).flatten(1).amax(1)
        upper = size * (spectrum.amax() + _error(A))
        return NormEstimate(A.norm(tol=1e-2).cpu().double(), (upper * SLACK).sqrt())
    found = []
    for one in maps:
        parts = one.unbind(1) if planes else (one,)
        count = max(len(parts), len(spectrum))
        pairs = [(parts[i % len(parts)], spectrum[i % len(spectrum)]) for i in range(count)]
        found.append(_of_planes([_Plane(m, f, _error(A)) for m, f in pairs]))
    lower, upper = torch.tensor(found, dtype=torch.float64).T
    return NormEstimate(lower.sqrt(), (upper * SLACK).sqrt())


def _error(A: NonCartesianMRI) -> float:
    """Return how wrong the spectrum may be."""
    return A.points.spectrum[0].numel() * ROUNDING * 2.0**-53 * A.points.kernel_peak


def _of_planes(planes: list[_Plane]) -> tuple[float, float]:
    """Return a lower and an upper bound of the largest norm of several ``B``."""
    uppers = [plane.strongest() for plane in planes]
    lower, refined = 0.0, set[int]()
    while len(refined) < min(REFINED, len(planes)):
        worst = max(range(len(planes)), key=uppers.__getitem__)
        if worst in refined:
            break
        low, uppers[worst] = planes[worst].refined(uppers[worst])
        lower = max(lower, low)
        refined.add(worst)
    return lower, max(uppers)


class _Plane:
    """``B`` of one plane: coil maps ``(coil, *n)``, a spectrum ``(*2n)`` and its error."""

    def __init__(self, maps: Tensor, spectrum: Tensor, error: float) -> None:
        self.maps, self.spectrum, self.error = maps, spectrum, error
        self.shape = maps.shape[1:]
        self.size = float(maps.abs().square().sum(0).max())

    def strongest(self) -> float:
        """Return the bound (1), or the circulant's maximum if that is smaller."""
        coils = len(self.maps)
        count = min(max(1, COLUMNS // coils), self.spectrum.numel() - 1)
        values, places = self.spectrum.flatten().topk(count + 1)
        threshold = values[-1].clamp_min(0)
        share = (values[:-1] - threshold).clamp_min(0) / self.spectrum.numel()
        waves = self._waves(places[:-1]) * share.sqrt().reshape(-1, *[1] * len(self.shape))
        self._columns = (waves[:, None] * self.maps.conj()).reshape(count * coils, -1)
        self._gram = torch.linalg.eigh(self._columns.conj() @ self._columns.mT)
        self._floor = self.size * float(threshold)
        largest = max(float(self._gram.eigenvalues[-1]), 0.0)
        bound = min(self._floor + largest, self.size * float(self.spectrum.max().clamp_min(0)))
        return bound + self.size * self.error

    def refined(self, upper: float) -> tuple[float, float]:
        """Return the largest Ritz value, and the bound (2) or ``upper`` if that is smaller."""
        basis, below = self._basis()
        images = self._apply(basis)
        small = basis.mH @ images
        small = (small + small.mH) / 2
        rest = images - basis @ small
        square = rest.mH @ rest
        added = self.size * self.error
        low, high = max(float(torch.linalg.eigvalsh(small)[-1]), 0.0), upper - added
        lower = max(low - added, 0.0)

        def holds(value: float) -> bool:
            if value <= below:
                return False
            return float(torch.linalg.eigvalsh(small + square / (value - below))[-1]) <= value

        if not holds(high):
            return lower, upper
        low = max(low, below)
        while high - low > 1e-6 * high:
            middle = (low + high) / 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return lower, high + added

    def _waves(self, places: Tensor) -> Tensor:
        """Return ``exp(2πi k·r / 2n)`` of frequencies, numbered as in the spectrum."""
        waves = torch.ones(len(places), *[1] * len(self.shape), dtype=torch.complex128)
        numbers = torch.unravel_index(places, self.spectrum.shape)
        for axis, (frequency, n) in enumerate(zip(numbers, self.shape, strict=True)):
            angle = frequency[:, None] * torch.arange(n) * (torch.pi / n)
            other = [1] * len(self.shape)
            other[axis] = n
            waves = waves * torch.polar(torch.ones_like(angle), angle).reshape(-1, *other)
        return waves

    def _basis(self) -> tuple[Tensor, float]:
        """Return Q, its columns images, and d."""
        pixels = self.shape.numel()
        if pixels <= WHOLE:
            return torch.eye(pixels, dtype=torch.complex128), 0.0
        values, vectors = self._gram
        kept = values > SHARE * values[-1]
        basis = torch.linalg.qr(self._columns.mT @ vectors[:, kept])[0]
        dropped = max(0.0, float(values[~kept].max())) if bool((~kept).any()) else 0.0
        vector = basis[:, -1:]
        for _ in range(KRYLOV):
            vector = self._apply(vector)
            for _ in range(2):
                vector = vector - basis @ (basis.mH @ vector)
            length = float(torch.linalg.vector_norm(vector))
            if not length > 0:
                break
            vector = vector / length
            basis = torch.cat([basis, vector], 1)
        return torch.linalg.qr(basis)[0], self._floor + dropped

    def _apply(self, columns: Tensor) -> Tensor:
        """Return ``B`` times the columns of a matrix, one by one."""
        dims = spatial_dims(len(self.shape))
        inside = tuple(slice(0, n) for n in self.shape)
        result = torch.empty_like(columns)
        for number, column in enumerate(columns.mT):
            total = torch.zeros(self.shape, dtype=columns.dtype)
            for coil in self.maps:
                k = torch.fft.fftn(coil * column.reshape(self.shape), self.spectrum.shape, dims)
                total += coil.conj() * torch.fft.ifftn(k * self.spectrum, dim=dims)[inside]
            result[:, number] = total.flatten()
        return result
