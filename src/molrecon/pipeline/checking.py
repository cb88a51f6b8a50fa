"""The data check of a scan whose items lie in memory or in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from molrecon.data.check import ITEMS, DataCheck, Finding, check, evenly
from molrecon.data.scan import Scan, sampled
from molrecon.data.scan_items import ScanItems
from molrecon.pipeline.preparation import Preparation


def check_items(
    items: ScanItems, settle: Callable[[Scan], Scan], *, most: int | None = ITEMS
) -> DataCheck:
    """Check the items of a scan; of those in a file only the ones looked at are read.

    Parameters
    ----------
    items
        The items.
    settle
        Returns an item with what the user settles about it.
    most
        Number of items that are looked at, evenly spaced; None for all.
    """
    if items.whole is not None:
        return check(settle(items.whole), items=most)
    count = len(items)
    # Those that are next to each other come first: they show the axis of items, one does not.
    found: list[Finding] = []
    middle = [settle(items[n]) for n in range(max(0, count // 2 - 1), min(count, count // 2 + 2))]
    if len({one.kspace.shape for one in middle}) == 1:
        kspace = torch.cat([one.kspace for one in middle])
        together = replace(
            middle[0],
            kspace=kspace,
            mask=sampled(kspace),
            mask_given=False,
            coil_maps=None,
            reference=None,
            outside=None,
        )
        found += check(together).findings
    for number in evenly(count, most):
        found += check(settle(items[number])).findings
    return DataCheck.of(found)


def check_whole(source: ScanItems, preparation: Preparation, force: bool) -> DataCheck:
    """Check all of a scan, and refuse one that the data contradict unless that is forced."""
    checked = check_items(source, preparation.settled, most=None)
    if not force:
        checked.require_none(source.source)
    return checked
