"""What a raw-data file holds: k-space and what is known about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from molrecon.errors import InputError


@dataclass(frozen=True, eq=False)
class Scan:
    """K-space with its sampling, coil maps, reference and noise level, where these are known.

    Everything is checked on construction, so that code which receives a `Scan` need not.

    Parameters
    ----------
    kspace
        complex64 ``(batch, coil, *spatial)``, zero frequency at index ``n // 2`` of each axis.
    mask
        bool ``(batch or 1, 1, *spatial)``, true where k-space was measured; ``None`` if the file
        does not say, see `sampling_mask`.
    coil_maps
        complex64 ``(batch or 1, coil, *spatial)``.
    reference
        complex64 ``(batch, 1, *spatial)``, the image to compare with.
    dynamic
        Whether the first of three spatial axes is time, ``(t, y, x)``, which is not transformed;
        coil maps may then have length 1 there and serve all frames. ``None`` if the file does not
        say: it is then taken for a volume, unless a model is made for frames.
    sigma
        Standard deviation ``sqrt(E|n|²)`` of the noise of one complex k-space sample, in the units
        of ``kspace``.
    source
        Where it came from; names the scan in error messages.
    notes
        What the reader decided, one readable clause each.

    Raises
    ------
    InputError
        If a shape or type does not fit, a value is NaN or infinite, an item is zero throughout, or
        a frame has no samples.
    """

    kspace: Tensor
    mask: Tensor | None = None
    coil_maps: Tensor | None = None
    reference: Tensor | None = None
    sigma: float | None = None
    source: str = "the scan"
    notes: tuple[str, ...] = ()
    dynamic: bool | None = None

    def __post_init__(self) -> None:
        if self.kspace.ndim < 3 or 0 in self.kspace.shape:
            raise InputError(
                f"The k-space of {self.source} has shape {tuple(self.kspace.shape)}, but "
                "(batch, coil, *spatial) without empty axes was expected; reshape it."
            )
        batch, coils, *spatial = self.kspace.shape
        self._check("k-space", self.kspace, torch.complex64, (batch,), (coils, *spatial))
        if self.mask is not None:
            self._check("mask", self.mask, torch.bool, (1, batch), (1, *spatial))
        if self.coil_maps is not None:
            maps_shape = (coils, *spatial)
            if self.dynamic and self.coil_maps.ndim == 5 and self.coil_maps.shape[2] == 1:
                maps_shape = (coils, 1, *spatial[1:])
            self._check("coil maps", self.coil_maps, torch.complex64, (1, batch), maps_shape)
        if self.reference is not None:
            self._check("reference", self.reference, torch.complex64, (batch,), (1, *spatial))
        if self.sigma is not None and not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise InputError(
                f"The noise level sigma of {self.source} is {self.sigma}, but a positive number "
                "was expected; correct it or leave it out to have it estimated."
            )

        if self.dynamic:
            self._check_frames()

    def _check_frames(self) -> None:
        """Refuse frames that nothing was measured of."""
        if self.ndim != 3:
            raise InputError(
                f"The k-space of {self.source} has shape {tuple(self.kspace.shape)}, but (batch, "
                "coil, t, y, x) was expected of frames; reshape it."
            )
        sampled = self.sampling_mask().any(dim=1).flatten(2).any(dim=2)
        empty = (~sampled).nonzero()
        if len(empty):
            frame, number = int(empty[0, 1]), len(empty)
            others = f" and {number - 1} more" if number > 1 else ""
            raise InputError(
                f"Frame {frame}{others} of {self.source} has no samples, but every frame needs "
                "some; leave it out."
            )

    def _check(
        self,
        name: str,
        value: Tensor,
        dtype: torch.dtype,
        batches: tuple[int, ...],
        rest: tuple[int, ...],
    ) -> None:
        """Refuse a tensor of the wrong type or shape, with bad values, or with an empty item."""
        shape = tuple(value.shape)
        if value.dtype != dtype:
            raise InputError(
                f"The {name} of {self.source}: found {value.dtype}, expected {dtype}; convert it."
            )
        if value.ndim == 0 or shape[0] not in batches or shape[1:] != rest:
            expected = " or ".join(str((n, *rest)) for n in sorted(set(batches)))
            raise InputError(
                f"The {name} of {self.source}: found shape {shape}, expected {expected} to fit "
                "k-space; give one of the same scan."
            )
        if dtype.is_complex and not bool(torch.isfinite(value).all()):
            raise InputError(
                f"The {name} of {self.source}: found NaN or infinite values (in single precision), "
                "expected finite ones; repair or export the data again."
            )
        empty = [i for i, item in enumerate(value) if not bool(item.any())]
        if empty:
            where = "everywhere" if len(empty) == shape[0] else f"throughout item {empty[0]}"
            raise InputError(
                f"The {name} of {self.source}: found zeros {where}, expected data; check the file "
                "or leave that item out."
            )

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.kspace.ndim - 2

    @property
    def axes(self) -> str:
        """The spatial axes by their letters: ``"yx"``, ``"zyx"`` or ``"tyx"``."""
        return "tyx" if self.dynamic else "zyx"[-self.ndim :]

    def item(self, number: int) -> Scan:
        """Return one item of the batch, a scan of its own; what all items share it keeps."""

        def one(value: Tensor | None) -> Tensor | None:
            if value is None or value.shape[0] == 1:
                return value
            return value[number : number + 1]

        return replace(
            self,
            kspace=self.kspace[number : number + 1],
            mask=one(self.mask),
            coil_maps=one(self.coil_maps),
            reference=one(self.reference),
        )

    def sampling_mask(self) -> Tensor:
        """Return where k-space was measured: the given mask, or else where any coil is not zero.

        Returns
        -------
        Tensor
            bool ``(batch or 1, 1, *spatial)``.
        """
        if self.mask is not None:
            return self.mask
        return (self.kspace != 0).any(dim=1, keepdim=True)
