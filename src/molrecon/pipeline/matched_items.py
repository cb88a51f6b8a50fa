"""The items of a scan, brought to a method one after the other, and the memory of one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from molrecon.data.scan_items import ScanItems
from molrecon.pipeline.match import Matched, match_axes
from molrecon.pipeline.measurements import require_coil_maps
from molrecon.pipeline.memory import (
    COMPLEX,
    MemoryPlan,
    fit_memory,
    memory_of_trials,
)
from molrecon.pipeline.memory_limit import memory_limit
from molrecon.pipeline.preparation import Preparation
from molrecon.pipeline.tuning import Strength, chooses_by_default
from molrecon.progress import Progress
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.start import require_plausible


@dataclass(frozen=True, eq=False)
class MatchedItems:
    """The items of a scan, prepared and brought to the axes of a method one after the other."""

    items: ScanItems
    method: Reconstructor
    preparation: Preparation
    sigma: float | None
    intensity: bool

    def __iter__(self) -> Iterator[Matched]:
        yield self.first
        for number in range(1, len(self.items)):
            yield self._matched(number)

    @cached_property
    def first(self) -> Matched:
        """The first item, from which the plan is made."""
        return self._matched(0)

    def _matched(self, number: int, preparation: Preparation | None = None) -> Matched:
        read = self.items[number]
        ready = (preparation or self.preparation).prepare(read)
        require_plausible(self.sigma, ready.scan.kspace)
        item = ready.scan if self.sigma is None else replace(ready.scan, sigma=self.sigma)
        matched = match_axes(item, self.method.axes, self.method.model or self.method.name)
        restore = ready.restored if self.intensity else None
        own, whole = ready.scan.kspace.untyped_storage(), read.kspace.untyped_storage()
        copied = own.data_ptr() != whole.data_ptr()
        return replace(matched, steps=ready.steps, restore=restore, copied=copied)

    def require_maps(self, progress: Progress) -> None:
        """Refuse items without coil maps and without what they are estimated from."""
        first, count = self.first.scan, len(self.items)
        require_coil_maps(first)
        if first.coil_maps is None and first.kspace.shape[1] > 1:
            # Neither changes which samples were measured, and both take time.
            sampling = replace(self.preparation, whiten=False, coils=None)
            for number in range(1, count):
                if self.items.whole is None:
                    progress(f"{first.axes.item} {number + 1} of {count}: reading", 0, count)
                require_coil_maps(self._matched(number, sampling).scan)


def memory_of_items(
    items: MatchedItems,
    max_memory: float | None,
    device: str,
    strength: Strength,
) -> tuple[MemoryPlan, int]:
    """Plan the memory of one item beside what is held of the others.

    The second result is what of it is for trials of the strength, which nobody asked for have to
    find room.
    """
    scan, held = items.first.scan, items.items.held
    sets = max(scan.map_sets, items.preparation.map_sets)
    limit = memory_limit(max_memory, device, held=held or scan.kspace.nbytes)
    count, image = len(items.items), COMPLEX * math.prod(scan.kspace.shape[2:])
    beside = held * (count - 1) // count
    # Images are kept where k-space is. Else the first item is kept beside the one that is worked
    # on, and what changes it makes a copy.
    if items.items.whole is not None:
        beside += 2 * count * image
    elif count > 1:
        beside += scan.kspace.nbytes
    beside += items.first.copied * scan.kspace.nbytes
    one = partial(fit_memory, items.first, items.method, limit=limit, sets=sets, device=device)
    fit = partial(one, again=count > 1)
    trials = memory_of_trials(items.first, sets)
    if strength is None and chooses_by_default(items.method):
        plan = fit(held=beside)
        if limit is not None and plan.total + trials > limit:
            return plan, 0
    elif strength != "auto":
        return fit(held=beside), 0
    return fit(held=beside + trials), trials
