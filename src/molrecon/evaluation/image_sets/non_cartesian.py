"""Scans simulated from magnitude images along spokes or spirals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import torch
from pydantic import Field, field_validator, model_validator

from molrecon.data.gridded_centre import central_width
from molrecon.data.simulation.along_lines import acquire_along
from molrecon.data.trajectories import (
    TRAJECTORY_KINDS,
    acceleration_of,
    complete_spokes,
    make_trajectory,
    require_spokes,
)
from molrecon.errors import InputError
from molrecon.evaluation.image_sets.base import Case, Seed
from molrecon.evaluation.image_sets.simulated_images import SimulatedImageCase, SimulatedImages
from molrecon.evaluation.reference_problem import ReferenceProblem, problem_along_lines
from molrecon.optional import require


@dataclass(frozen=True)
class NonCartesianCase(SimulatedImageCase):
    """An image with coils, phase and noise of its own, along lines of a kind."""

    trajectory: str
    acceleration: float

    def problem(self) -> ReferenceProblem:
        """Simulate the scan; maps are estimated from it unless the true ones were asked for."""
        image, maps, generator = self.drawn()
        acquisition = acquire_along(
            image[None, None],
            maps[None],
            make_trajectory(self.trajectory, tuple(image.shape), self.acceleration),
            torch.tensor([self.sigma]),
            generator=generator,
        )
        return problem_along_lines(acquisition, estimate_maps=self.estimate_maps)


class _Lines(NamedTuple):
    """One way to sample k-space along lines: by how many spokes, or how sparsely."""

    trajectory: str
    spokes: int | None
    acceleration: float | None

    def of(self, shape: tuple[int, ...]) -> float:
        """Return the acceleration for images of a shape."""
        if self.spokes is None:
            assert self.acceleration is not None
            return self.acceleration
        return acceleration_of(shape, self.spokes)

    @property
    def condition(self) -> str:
        """Name in the tables."""
        amount = f"{self.acceleration:g}×" if self.spokes is None else f"{self.spokes} spokes"
        return f"{amount}, {self.trajectory}"


class NonCartesianScans(SimulatedImages):
    """Simulated scans of magnitude images along lines, as ``molrecon simulate --trajectory`` does.

    Their 99.9th percentile is brought to 1, and the reference is the image without noise. It takes
    the extra ``nufft``.
    """

    kind: Literal["non-cartesian"] = "non-cartesian"
    # ``radial``, ``golden-angle`` or ``spiral``, see `make_trajectory`.
    trajectories: list[str] = Field(["radial"], min_length=1)
    # How much wider lines lie at the edge of k-space than those of a complete scan; for all
    # trajectories.
    accelerations: list[Annotated[float, Field(ge=1)]] = Field([])
    # Number of spokes, in place of ``accelerations``; spirals have none.
    spokes: list[Annotated[int, Field(ge=1)]] = Field([])
    seeds: list[Seed] = Field([0], min_length=1)  # of phase, maps and noise

    @field_validator("trajectories")
    @classmethod
    def _known(cls, kinds: list[str]) -> list[str]:
        for kind in kinds:
            if kind not in TRAJECTORY_KINDS:
                raise ValueError(f"found {kind!r}, expected one of {', '.join(TRAJECTORY_KINDS)}")
        return kinds

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if bool(self.accelerations) == bool(self.spokes):
            found = "both are" if self.spokes else "neither is"
            raise ValueError(f"accelerations or spokes are needed, but {found} given; give one")
        if self.spokes:
            require_spokes(self.trajectories)
        return self

    def cases(self, root: Path) -> list[Case]:
        """List every image at every noise level along all lines."""
        require("finufft", "non-Cartesian scans", extra="nufft")
        found: list[Case] = []
        checked: set[tuple[_Lines, tuple[int, ...]]] = set()
        for common in self.images(root, 2):
            shape, title = common.pop("shape"), common.pop("title")
            for sigma, lines, seed in product(self.sigma, self._lines(), self.seeds):
                if (lines, shape) not in checked:
                    self._check_lines(lines, shape, common["source"])
                    checked.add((lines, shape))
                condition = f"{lines.condition}, σ = {100 * sigma:g} %"
                found.append(
                    NonCartesianCase(
                        name=f"{title}, {condition}, seed {seed}",
                        condition=condition,
                        sigma=sigma,
                        seed=seed,
                        trajectory=lines.trajectory,
                        acceleration=lines.of(shape),
                        **common,
                    )
                )
        return found

    def _lines(self) -> Iterator[_Lines]:
        for kind in self.trajectories:
            for spokes in self.spokes:
                yield _Lines(kind, spokes, None)
            for acceleration in self.accelerations:
                yield _Lines(kind, None, acceleration)

    def _check_lines(self, lines: _Lines, shape: tuple[int, ...], source: str) -> None:
        """Refuse what cannot be drawn or shows too little to estimate maps from."""
        complete = complete_spokes(shape)
        if lines.spokes is not None and lines.spokes > complete:
            raise InputError(
                f"The image set {self.name!r} asks for {lines.spokes} spokes, but of the images of "
                f"{source} {complete} are a complete scan; give at most so many."
            )
        trajectory = make_trajectory(lines.trajectory, shape, lines.of(shape))
        if self.maps == "true" or self.coils == 1:
            return
        try:
            central_width(trajectory.reshape(-1, 2), shape)
        except InputError:
            raise InputError(
                f"The image set {self.name!r}, {source}: {lines.condition} shows too little of the "
                "centre of k-space to estimate coil maps; sample more, or set maps to true."
            ) from None
