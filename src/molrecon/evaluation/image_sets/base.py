"""What every kind of image set has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from molrecon.data.masks import MASK_KINDS, make_mask
from molrecon.data.root import file_digest, find_files
from molrecon.errors import InputError
from molrecon.evaluation.reference_problem import ReferenceProblem
from molrecon.settings import Settings

Seed = Annotated[int, Field(ge=0)]

_LABELS = ("image_set", "name", "condition", "group", "ndim", "source", "coil_maps")
"""Fields that name a case and do not change what is computed; files count by their content."""


@dataclass(frozen=True)
class Case(ABC):
    """One image to reconstruct, as little as it takes to make it: cheap, and may be sent around."""

    image_set: str
    name: str  # unique in the set
    condition: str  # how it was measured; images of one condition are averaged together
    group: str  # the scan or subject: images of one group are not independent of each other
    ndim: int
    source: str  # ``FILE`` or ``FILE::KEY``
    digest: str  # of the file's content

    @abstractmethod
    def problem(self) -> ReferenceProblem:
        """Make the measurements; the same whenever and wherever it is called."""

    def definition(self) -> dict[str, Any]:
        """Return all that the problem depends on, as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _LABELS}
        return {"kind": type(self).__name__, **values}


class ImageSet(Settings, ABC):
    """A set of images, as it stands in a configuration."""

    name: str = Field(min_length=1)  # names the set in tables
    kind: str  # the kind of image set, whose other keys follow from it
    # Names or patterns relative to the root of the configuration.
    files: list[str] = Field(min_length=1)

    def sources(self, root: Path) -> dict[str, str]:
        """Return the files below a root, ``FILE`` or ``FILE::KEY``, and a short title of each."""
        found = find_files(root, self.files)
        short = {source: _stem(source) for source in found}
        titles = list(short.values())
        return {
            source: title if titles.count(title) == 1 else within(root, source)
            for source, title in short.items()
        }

    def of_source(self, root: Path, source: str) -> dict[str, Any]:
        """Return what all cases of a file below a root have in common."""
        return {
            "image_set": self.name,
            "group": within(root, source.split("::", 1)[0]),
            "source": source,
            "digest": file_digest(source),
        }

    @abstractmethod
    def cases(self, root: Path) -> list[Case]:
        """List the images of the files below a root, after checks that need no reconstruction."""


class Draw(NamedTuple):
    """One way to sample k-space."""

    mask_kind: str
    acceleration: float
    seed: int

    @property
    def condition(self) -> str:
        """Name without the seed."""
        return f"{self.acceleration:g}×, {self.mask_kind}"


class SampledSet(ImageSet):
    """A set whose images are sampled in k-space with every combination of the settings."""

    # How k-space is sampled, see `make_mask`.
    mask_kinds: list[str] = Field(["variable-density"], min_length=1)
    # Sizes of k-space over the number of its sampled points.
    accelerations: list[Annotated[float, Field(ge=1)]] = Field(min_length=1)
    calibration: int = Field(24, ge=8)  # width of the fully sampled centre of k-space, in samples
    # Seeds of the masks, and of the noise if that is simulated.
    seeds: list[Seed] = Field([0], min_length=1)

    def draws(self) -> Iterator[Draw]:
        """Return all combinations."""
        for values in product(self.mask_kinds, self.accelerations, self.seeds):
            yield Draw(*values)

    def check_draws(self, shape: tuple[int, ...], source: str) -> None:
        """Refuse settings that cannot be drawn on images of a shape, of the file ``source``."""
        for kind, acceleration in product(self.mask_kinds, self.accelerations):
            if kind not in MASK_KINDS:
                raise InputError(
                    f"The image set {self.name!r} has the mask kind {kind!r}, but one of "
                    f"{', '.join(sorted(MASK_KINDS))} was expected; correct it."
                )
            try:
                make_mask(kind, shape, acceleration, calibration=self.calibration)
            except InputError as error:
                raise InputError(f"The image set {self.name!r}, {source}: {error}") from None


def within(root: Path, source: str) -> str:
    """Return a file's name relative to the root folder, with its key ``::KEY`` if it has one."""
    return Path(source).relative_to(root).as_posix()


def _stem(source: str) -> str:
    path, *key = source.split("::", 1)
    return " ".join([Path(path).name.split(".", 1)[0], *key])
