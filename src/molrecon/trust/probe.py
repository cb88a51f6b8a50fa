"""The lesion probe: how much of a small feature comes back, how wide, and what else appears."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon.arguments import require_positive
from molrecon.errors import InputError
from molrecon.operators.base import LinearOperator
from molrecon.progress import Progress, silent
from molrecon.reconstructors.base import Reconstructor
from molrecon.trust.features import Lattice, Tissue, convolved, gaussian, spacing_for
from molrecon.trust.response import ACCURACY, Response, require_effort

LOW = 0.05
"""Share of places that keep less than what is reported as low."""
LARGEST_CONTRAST = 1e6
"""Largest height of a feature, relative to the tissue: far above it squares overflow."""
LEAST_SIZE = 0.5
"""Smallest width of a feature, in pixels."""


@dataclass(frozen=True, eq=False)
class LesionProbe:
    """What became of small features that were added to the measurements.

    Maps are ``(1, *A.shape_in)``, NaN where nothing was probed.

    Attributes
    ----------
    size
        Full width at half maximum of the features, in pixels.
    contrast
        Their height, relative to the tissue around.
    recovery
        Share of the contrast that comes back at every place, ``(1, *A.shape_in)``: 1 for all of it.
    width
        Width of what comes back, ``(1, *A.shape_in)`` in pixels: that of the Gaussian of the same
        height and sum.
    echo
        What appears at places where nothing was added, ``(1, *A.shape_in)``, as a share of the
        contrast, with its sign.
    solves
        Number of reconstructions.
    linearised
        Whether the features are too faint to tell a difference of two images from rounding, so that
        the derivative of the method was applied to them.
    seconds
        Wall-clock time.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Denoising, ZeroFilled, probe_lesions
    >>> A = Denoising((1, 16, 16))
    >>> found = probe_lesions(ZeroFilled(), torch.ones(1, 1, 16, 16), A, size=2.0, shifts=3)
    >>> round(found.facts()["recovery"], 3), found.solves
    (1.0, 3)
    """

    size: float
    contrast: float
    recovery: Tensor
    width: Tensor
    echo: Tensor
    solves: int
    seconds: float
    linearised: bool = False

    def facts(self) -> dict[str, Any]:
        """Return the figures of all places.

        Mean, fifth percentile and least recovery, median width in pixels, root mean square and
        99th percentile of the echoes, the number of places, and the standard error of the recovery
        of one place: the echoes of the other features fall on it as on the empty places.
        """
        recovery = self.recovery[self.recovery.isfinite()].double()
        width = self.width[self.width.isfinite()].double()
        echo = self.echo[self.echo.isfinite()].double().abs()
        rms = float(echo.square().mean().sqrt())
        return {
            "size": self.size,
            "contrast": self.contrast,
            "recovery": float(recovery.mean()),
            "recovery_low": float(recovery.quantile(LOW)),
            "recovery_least": float(recovery.min()),
            "width": float(width.median()),
            "echo": rms,
            "echo_high": float(echo.quantile(0.99)),
            "standard_error": rms,
            "places": recovery.numel(),
            "solves": self.solves,
            "linearised": self.linearised,
            "seconds": self.seconds,
        }


def probe_lesions(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    *,
    size: float = 1.5,
    contrast: float = 0.05,
    sigma: float | None = None,
    shifts: int | None = None,
    batch: int = 4,
    x0: Tensor | None = None,
    accuracy: float = ACCURACY,
    seed: int = 0,
    progress: Progress = silent,
) -> LesionProbe:
    """Return how much of small features of known size and contrast a reconstruction keeps.

    Gaussian features, half of them brighter and half darker than the tissue around, are added to
    the image and what A sees of them to the measurements, noise and all else as they were; the
    image is reconstructed anew and the difference looked at. They stand on a lattice that is
    shifted until every pixel of the tissue had one. What the method derives from the measurements
    (unit, σ, λ) is fixed, but for thresholds that a guide sets, which follow the features.

    Parameters
    ----------
    method
        The method.
    y
        Measurements of one image, ``(1, *A.shape_out)``.
    A
        The forward operator.
    size
        Full width at half maximum of a feature, in pixels.
    contrast
        Its height, relative to the tissue around, positive.
    sigma
        Standard deviation of the noise per sample in the unit of ``y``; by default estimated where
        the method needs it.
    shifts
        Number of shifts of the lattice, each one reconstruction; by default all, which covers
        every pixel. With fewer a random part of the places is probed.
    batch
        Shifts that are solved for together: memory grows with it.
    x0
        The image, if it is known, ``(1, *A.shape_in)``.
    accuracy
        Error that is allowed of the solves, relative to the features.
    seed
        Seed of the signs and of the order of the shifts.
    progress
        Called with what is being done, the number of shifts done and their number.

    Returns
    -------
    LesionProbe
        Maps of recovery, width and echoes.

    Raises
    ------
    InputError
        If an argument is out of range, there is more than one image, or no tissue.
    ConvergenceError
        If a solve does not converge, or the features are too faint to tell from rounding and the
        method has no derivative.

    Examples
    --------
    >>> import torch
    >>> from molrecon import SENSE, Denoising, probe_lesions
    >>> A = Denoising((1, 16, 16))
    >>> found = probe_lesions(SENSE(lam=9.0), torch.ones(1, 1, 16, 16), A)
    >>> round(found.facts()["recovery"], 2), round(found.facts()["width"], 2)  # 0.9 of all
    (0.9, 1.5)
    """
    started = time.perf_counter()
    require_effort(batch, accuracy, seed)
    lattice = _lattice(A, size, contrast, shifts, seed)
    spatial = A.shape_in[1:]
    profile = gaussian(size, spatial)
    density = 0.5 / lattice.spacing ** len(spatial)

    def change(image: Tensor) -> float:
        tissue = Tissue.of(image, A.support)
        power = (tissue.mask * tissue.level).square().sum() * profile.square().sum() * density
        return contrast * float(power.sqrt())

    response = Response(method, y, A, change, sigma=sigma, x0=x0, accuracy=accuracy)
    tissue = Tissue.of(response.image, A.support)
    if not bool(tissue.mask.any()):
        raise InputError("the image shows no tissue to probe; check the measurements")
    count = shifts or len(lattice)
    maps = _Maps(tissue, profile, size)
    unit = contrast * tissue.level
    places = iter(lattice)
    for done in range(0, count, batch):
        progress("lesion probe", done, count)
        chosen = [next(places) for _ in range(min(batch, count - done))]
        signs = torch.stack([one for one, _ in chosen]).unsqueeze(1).to(unit)
        added = convolved(signs * tissue.mask, profile)
        changed = response.difference(A(unit * tissue.phase * added))
        # In units of the contrast: the features themselves are `added`.
        seen = (tissue.phase.conj() * changed).real / unit
        maps.add(signs, torch.stack([empty for _, empty in chosen]).unsqueeze(1), added, seen)
    progress("lesion probe", count, count)
    return LesionProbe(
        size=size,
        contrast=contrast,
        recovery=maps.recovery,
        width=maps.width,
        echo=maps.echo,
        solves=count,
        seconds=time.perf_counter() - started,
        linearised=response.linearised,
    )


def _lattice(
    A: LinearOperator, size: float, contrast: float, shifts: int | None, seed: int
) -> Lattice:
    """Return where features of a size stand, or refuse what cannot be probed."""
    require_positive("size", size)
    require_positive("contrast", contrast, most=LARGEST_CONTRAST)
    spatial = A.shape_in[1:]
    if size < LEAST_SIZE:
        raise InputError(
            f"size is {size:g} pixels, expected at least {LEAST_SIZE:g}, as no pixel shows less; "
            "probe larger features"
        )
    spacing = spacing_for(size)
    if min(spatial) < 2 * spacing:
        raise InputError(
            f"size is {size:g} pixels, expected at most {min(spatial) / 4:g} for an image of "
            f"{tuple(spatial)}; probe smaller features"
        )
    lattice = Lattice(spatial, spacing, seed)
    if shifts is not None and not 1 <= shifts <= len(lattice):
        raise InputError(f"shifts is {shifts}, expected 1 to {len(lattice)}; correct it")
    return lattice


class _Maps:
    """The maps of a probe, filled place by place."""

    def __init__(self, tissue: Tissue, profile: Tensor, size: float) -> None:
        self._tissue, self._profile, self._size = tissue.mask, profile, size
        self.recovery = torch.full_like(tissue.level, torch.nan)
        self.width, self.echo = self.recovery.clone(), self.recovery.clone()
        # Height: the sum over what is above half the maximum. Width: that over a box of two widths.
        self._core = (profile >= 0.5).double()
        self._box = _box(max(1, round(size)), profile.shape)

    def add(self, signs: Tensor, empty: Tensor, added: Tensor, seen: Tensor) -> None:
        """Enter what was seen of features, ``(batch, 1, *spatial)`` each, contrast 1."""
        # Relative to what was added: the tails of other features are in both.
        height, true_height = convolved(seen, self._core), convolved(added, self._core)
        total, true_total = convolved(seen, self._box), convolved(added, self._box)
        kept = height / torch.where(signs != 0, true_height, 1)
        share = total / torch.where(signs != 0, true_total, 1) / torch.where(kept != 0, kept, 1)
        false = (height - true_height) / float((self._core * self._profile).sum())
        wide = self._size * share.clamp_min(0) ** (1 / self._profile.ndim)
        for k in range(len(signs)):
            taken = (signs[k : k + 1] != 0) & self._tissue
            void = empty[k : k + 1].to(taken.device) & self._tissue
            self.recovery[taken] = kept[k : k + 1][taken]
            self.width[taken] = wide[k : k + 1][taken]
            self.echo[void] = false[k : k + 1][void]


def _box(half: int, shape: torch.Size) -> Tensor:
    box = torch.ones(shape, dtype=torch.float64)
    for axis, n in enumerate(shape):
        along = torch.arange(n)
        inside = torch.minimum(along, n - along) <= half
        box = box * inside.reshape(-1, *([1] * (len(shape) - 1 - axis)))
    return box
