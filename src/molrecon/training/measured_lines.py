"""Scans along lines without a reference: whole lines are what is to be predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.operators.non_cartesian_mri import NonCartesianMRI
from molrecon.pipeline.left_out_lines import left_out_lines, line_weights
from molrecon.training.split import Split, in_units_of_peak, recorrupted


@dataclass(frozen=True)
class SplitLines(Split):
    """A split of samples along lines."""

    trajectory: Tensor  # ``(*samples, axes)``, of all samples
    kept: Tensor  # bool ``(*lines)``, the lines an image is made of; of every frame as many

    @property
    def y(self) -> Tensor:
        """The samples that were kept."""
        return of_lines(self.kspace, self.kept, 2)

    @property
    def A(self) -> NonCartesianMRI:  # noqa: N802 - the field's name
        """The operator of the samples that were kept."""
        return NonCartesianMRI(self.coil_maps, of_lines(self.trajectory, self.kept))

    def predicted(self, estimate: Tensor) -> Tensor:
        """Return all samples of an image."""
        return NonCartesianMRI(self.coil_maps, self.trajectory)(estimate)


@dataclass(frozen=True, eq=False)
class MeasuredLines:
    """One slice, volume or series without a reference, in units of the peak of its image."""

    scan: NonCartesianScan  # with coil maps
    image: Tensor  # its SENSE image, ``(1, 1, *spatial)``
    sigma: Tensor  # ``(1,)``

    @classmethod
    def of(cls, part: NonCartesianScan) -> MeasuredLines:
        """Take a part of a scan as `read_parts` returns it; its noise is estimated if need be."""
        left_out_lines(part, 0.5, 0)  # a scan that has no lines is refused before any work
        kspace, image, sigma = in_units_of_peak(part.kspace, part.operator(), part.sigma)
        scan = replace(part, kspace=kspace, sigma=None, noise=None, reference=None)
        return cls(scan, image, sigma)

    @cached_property
    def weights(self) -> tuple[Tensor, Tensor]:
        """How much of k-space every sample shows, and how much it stands for beside."""
        return line_weights(self.scan)

    def split(self, share: float, draw: int, noise: float = 0.0) -> SplitLines:
        """Leave out lines; each draw leaves out others.

        A sample that is left out counts as the points of k-space that it stands for, so that a
        weighted sum is, in the mean over draws, one over what was not measured. With ``noise`` η
        above 0 the samples that are kept are to be predicted too, in another noise (see
        `recorrupted`), and count as the points that they show.

        Raises
        ------
        InputError
            If there are too few lines.
        """
        left_out = left_out_lines(self.scan, share, draw)
        areas, beside = (one.to(self.sigma.dtype) for one in self.weights)
        away = left_out.unsqueeze(-1)
        weights = away * beside / left_out.double().mean().to(beside)
        kspace = wanted = self.scan.kspace
        sigma = self.sigma
        if noise > 0:
            kspace, other, sigma = recorrupted(kspace, sigma, noise, draw)
            wanted = torch.where(away, wanted, other)
            weights = torch.where(away, weights, areas)
        assert self.scan.coil_maps is not None
        return SplitLines(
            image=self.image,
            sigma=sigma,
            kspace=kspace,
            wanted=wanted,
            coil_maps=self.scan.coil_maps,
            weights=weights,
            trajectory=self.scan.trajectory,
            kept=~left_out,
        )

    def held_out(self, share: float, noise: float) -> tuple[MeasuredLines, SplitLines]:
        """Hold out lines; return the scan without them, and the split that predicts them."""
        split = self.split(share, 0, noise)
        kspace = of_lines(self.scan.kspace, split.kept, 2)
        trajectory = of_lines(self.scan.trajectory, split.kept)
        return replace(self, scan=replace(self.scan, kspace=kspace, trajectory=trajectory)), split


def of_lines(values: Tensor, chosen: Tensor, first: int = 0) -> Tensor:
    """Return the values of chosen lines, of every frame as many.

    Parameters
    ----------
    values
        ``(…, *lines, …)``.
    chosen
        Bool ``(*lines)``.
    first
        The axis at which the lines begin.
    """
    end = first + chosen.ndim
    flat = values.flatten(first, end - 1)
    found = flat.index_select(first, chosen.flatten().nonzero().squeeze(1))
    return found.reshape(*values.shape[:first], *chosen.shape[:-1], -1, *values.shape[end:])
