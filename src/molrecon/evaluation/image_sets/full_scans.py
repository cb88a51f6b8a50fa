"""Real fully sampled scans, checked and prepared as for a reconstruction, and undersampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from molrecon.data.formats import scan_items
from molrecon.data.scan import Scan
from molrecon.data.simulation.retrospective import require_full
from molrecon.errors import InputError
from molrecon.evaluation.image_sets.base import Case, SampledSet, Seed
from molrecon.evaluation.reference_problem import ReferenceProblem, retrospective_problem
from molrecon.evaluation.scan_slice import prepared_item


@dataclass(frozen=True)
class FullScanCase(Case):
    """A slice of a scan under one mask."""

    slice: int
    mask_kind: str
    acceleration: float
    calibration: int
    seed: int

    def problem(self) -> ReferenceProblem:
        """Undersample; maps come from the calibration region alone."""
        return retrospective_problem(
            _slice(self.source, self.digest, self.slice),
            self.acceleration,
            mask_kind=self.mask_kind,
            calibration=self.calibration,
            seed=self.seed,
        )


class FullScans(SampledSet):
    """Fully sampled scans, every slice under every mask; one file is one group."""

    kind: Literal["full-scans"] = "full-scans"
    slices: list[Seed] | None = None  # slices to take from every file; all by default

    def cases(self, root: Path) -> list[Case]:
        """List every slice under every mask."""
        found: list[Case] = []
        for source, title in self.sources(root).items():
            items, common = scan_items(source), self.of_source(root, source)
            count = len(items)
            for number in range(count) if self.slices is None else self.slices:
                if number >= count:
                    raise InputError(
                        f"The image set {self.name!r} asks for slice {number} of {source}, which "
                        f"has {count}; choose among 0 to {count - 1}."
                    )
                scan = prepared_item(items, number)
                require_full(scan.mask, source)
                self.check_draws(tuple(scan.kspace.shape[2:]), source)
                image = title + (f" slice {number}" if count > 1 else "")
                found += [
                    FullScanCase(
                        name=f"{image}, {draw.condition}, seed {draw.seed}",
                        condition=draw.condition,
                        ndim=scan.ndim,
                        slice=number,
                        calibration=self.calibration,
                        **draw._asdict(),
                        **common,
                    )
                    for draw in self.draws()
                ]
        return found


@lru_cache(maxsize=2)
def _slice(source: str, digest: str, number: int) -> Scan:
    return prepared_item(scan_items(source), number)
