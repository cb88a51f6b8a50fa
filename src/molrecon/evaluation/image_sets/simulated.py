"""Scans simulated from magnitude images or volumes, on the grid of k-space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from molrecon.data.masks import make_mask
from molrecon.data.randomness import integer
from molrecon.data.simulation.acquisition import acquire
from molrecon.evaluation.image_sets.base import Case, SampledSet
from molrecon.evaluation.image_sets.simulated_images import SimulatedImageCase, SimulatedImages
from molrecon.evaluation.reference_problem import ReferenceProblem, simulated_problem

Reference = Literal["noise-free", "full-scan"]


@dataclass(frozen=True)
class SimulatedCase(SimulatedImageCase):
    """An image with coils, phase, mask and noise of its own."""

    mask_kind: str
    acceleration: float
    calibration: int
    reference: Reference

    def problem(self) -> ReferenceProblem:
        """Simulate the scan; maps are estimated from it unless the true ones were asked for."""
        image, maps, generator = self.drawn()
        mask = make_mask(
            self.mask_kind,
            tuple(image.shape),
            self.acceleration,
            calibration=self.calibration,
            seed=integer((0, 2**31 - 1), generator),
        )
        acquisition = acquire(
            image[None, None],
            maps[None],
            mask[None, None],
            torch.tensor([self.sigma]),
            generator=generator,
        )
        return simulated_problem(
            acquisition, estimate_maps=self.estimate_maps, reference=self.reference
        )


class SimulatedScans(SampledSet, SimulatedImages):
    """Simulated scans of magnitude images, whose 99.9th percentile is brought to 1."""

    kind: Literal["simulated"] = "simulated"
    dimensions: Literal[2, 3] = 2  # 2: the slices of each file; 3: each volume as a whole
    # What is compared with: the image simulated from, or what a full scan of the same noise shows.
    reference: Reference = "noise-free"

    def cases(self, root: Path) -> list[Case]:
        """List every image at every noise level under every mask."""
        found: list[Case] = []
        checked: set[tuple[str, tuple[int, ...]]] = set()
        for common in self.images(root, self.dimensions):
            shape, title = common.pop("shape"), common.pop("title")
            if (common["source"], shape) not in checked:
                self.check_draws(shape, common["source"])
                checked.add((common["source"], shape))
            for sigma in self.sigma:
                for draw in self.draws():
                    condition = f"{draw.condition}, σ = {100 * sigma:g} %"
                    found.append(
                        SimulatedCase(
                            name=f"{title}, {condition}, seed {draw.seed}",
                            condition=condition,
                            calibration=self.calibration,
                            sigma=sigma,
                            reference=self.reference,
                            **draw._asdict(),
                            **common,
                        )
                    )
        return found
