"""The lesion probe and the share of the data, of several methods on the scan of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.evaluation.scan_slice import OneScan, problem_of
from molrecon.operators.base import LinearOperator
from molrecon.progress import Advance, silent
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.start import require_plausible
from molrecon.trust.features import Lattice, spacing_for
from molrecon.trust.probe import LesionProbe, probe_lesions
from molrecon.trust.share import DataShare, data_share

QUICK_SHIFTS = 4
"""Shifts of the lattice, where no map is wanted: some thousand places of a slice."""

Features = Sequence[tuple[float, float]]
"""Sizes in pixels and contrasts."""


@dataclass(frozen=True, eq=False)
class Probed:
    """What was found of one method.

    Attributes
    ----------
    name
        What the method is called.
    probes
        One for every size and contrast.
    share
        The share of the data; None if it was not asked for.
    solution
        The image that was probed.
    """

    name: str
    probes: tuple[LesionProbe, ...]
    share: DataShare | None
    solution: Solution

    def facts(self) -> dict[str, Any]:
        """Return all but the maps."""
        share = None if self.share is None else self.share.facts()
        return {"name": self.name, "probes": [one.facts() for one in self.probes], "share": share}


def shifts_of(sizes: Sequence[float], shifts: int | None) -> int:
    """Return the number of solves that probes of these sizes take; None is the whole lattice."""
    return sum(shifts or 2 * spacing_for(size) ** 2 for size in sizes)


@torch.no_grad()
def probe_scan(
    methods: Sequence[Reconstructor],
    scan: OneScan,
    features: Features,
    *,
    shifts: int | None = QUICK_SHIFTS,
    share: bool = False,
    sigma: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    report: Advance = silent,
) -> list[Probed]:
    """Probe every method on the same measurements and coil maps, see `probe_lesions`.

    Parameters
    ----------
    methods
        The methods, on ``device``.
    scan
        One slice, volume or series; coil maps are estimated where it has none.
    features
        Sizes in pixels and contrasts.
    shifts
        Shifts of the lattice, None for all; of a lattice that has fewer, all.
    share
        Whether to map the share of the data too, see `data_share`.
    sigma
        Noise level in the units of the scan, in place of the scan's own.
    seed
        Seed of all that is random.
    device
        Where to compute.
    report
        Told what is being done and the number of steps done since the last call.
    """
    report("coil maps", 0)
    y, A = problem_of(scan, device)
    require_plausible(sigma, y)
    sigma = scan.sigma if sigma is None else sigma
    return [
        _probed(method, y, A, features, shifts, share, sigma, seed, report) for method in methods
    ]


def _probed(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    features: Features,
    shifts: int | None,
    share: bool,
    sigma: float | None,
    seed: int,
    report: Advance,
) -> Probed:
    label = method.label
    solution = method(y, A, sigma=sigma, raise_on_failure=False)
    x0 = solution.value
    told = _Steps(label, report)
    probes = tuple(
        probe_lesions(
            method,
            y,
            A,
            size=size,
            contrast=contrast,
            sigma=sigma,
            shifts=shifts and min(shifts, len(Lattice(A.shape_in[1:], spacing_for(size)))),
            x0=x0,
            seed=seed,
            progress=told,
        )
        for size, contrast in features
    )
    known = None
    if share:
        known = data_share(method, y, A, sigma=sigma, x0=x0, seed=seed, progress=told)
    return Probed(label, probes, known, solution)


class _Steps:
    """Turns the number of steps that are done into that since the last call."""

    def __init__(self, label: str, report: Advance) -> None:
        self._label, self._report, self._done = label, report, 0

    def __call__(self, text: str, done: int, total: int) -> None:
        self._report(f"{self._label}: {text}", max(0, done - self._done))
        self._done = 0 if done == total else done


def recovery_images(probed: Sequence[Probed]) -> Tensor:
    """Return the recovery of every method, size and contrast, in this order, zero where unknown.

    The shape is ``(methods × features, 1, *spatial)``.
    """
    return torch.cat([one.recovery.nan_to_num(0).cpu() for each in probed for one in each.probes])


def share_images(probed: Sequence[Probed]) -> Tensor:
    """Return for every method its share of the data in pixels, then that in k-space.

    The shape is ``(2 × methods, 1, *spatial)``.
    """
    shares = [each.share for each in probed if each.share is not None]
    return torch.cat([one.cpu() for share in shares for one in (share.pixels, share.frequencies)])
