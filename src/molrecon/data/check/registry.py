"""All checks of a scan, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from molrecon.data.check.calibration import check_calibration
from molrecon.data.check.centre import check_centre
from molrecon.data.check.coils import check_coils
from molrecon.data.check.evidence import Evidence
from molrecon.data.check.findings import DataCheck, Finding
from molrecon.data.check.kind import check_kind
from molrecon.data.check.layout import check_layout
from molrecon.data.check.maps import check_maps
from molrecon.data.check.sampling import check_sampling
from molrecon.data.check.spikes import check_spikes
from molrecon.data.scan import Scan

CHECKS: dict[str, Callable[[Evidence], Iterable[Finding]]] = {
    "kind": check_kind,
    "axes": check_layout,
    "centre": check_centre,
    "mask": check_sampling,
    "maps": check_maps,
    "calibration": check_calibration,
    "coils": check_coils,
    "spikes": check_spikes,
}
"""What is checked, by name: each returns what it finds."""
SETTLE_FIRST = ("kind", "axes")
"""Checks after whose contradictions the others would only misread the data."""
ITEMS = 3
SMALL = 1e-12


@torch.no_grad()
def check(scan: Scan, *, items: int | None = ITEMS) -> DataCheck:
    """Return what contradicts, or makes doubtful, that a scan is what it is taken for.

    Looked at are the order of the axes, the place of zero frequency, mask, coil maps, noise of the
    coils, spikes, and whether it is k-space at all.

    Parameters
    ----------
    scan
        The scan.
    items
        Number of slices, volumes or series that are looked at, evenly spaced; None for all.

    Examples
    --------
    >>> import torch
    >>> from molrecon import Scan, check, make_mask
    >>> from molrecon.operators.fourier import fft_centred
    >>> window = torch.hann_window(48)
    >>> mask = make_mask("random", (48, 48), 2, calibration=12).expand(1, 1, 48, 48)
    >>> noise = 0.01 * torch.randn(1, 1, 48, 48, dtype=torch.complex64)
    >>> kspace = (fft_centred(window[:, None] * window + 0j, 2) + noise) * mask
    >>> check(Scan(kspace, mask)).summary
    'no contradiction found'
    >>> check(Scan(kspace, mask.roll(7, -1))).contradictions[0].name
    'mask'
    """
    count = len(scan.kspace)
    peak = float(scan.kspace.abs().max())
    if not SMALL < peak < 1 / SMALL:
        # Squares of such numbers would leave the range of single precision.
        scan = replace(scan, kspace=scan.kspace / peak)
    neighbours = scan.kspace[max(0, count // 2 - 1) : count // 2 + 2]
    chosen = evenly(count, items)
    if len(chosen) < count:
        scan = scan.items(chosen)
    evidence = Evidence(scan, neighbours)
    found: list[Finding] = []
    for name, one in CHECKS.items():
        found += one(evidence)
        if name in SETTLE_FIRST and any(each.severity == "refused" for each in found):
            break
    return DataCheck.of(found)


def evenly(count: int, most: int | None) -> list[int]:
    """Return at most so many of the numbers below ``count``, evenly spaced; None for all."""
    if most is None or most >= count:
        return list(range(count))
    return [int((number + 0.5) * count / most) for number in range(most)]
