"""Maps of every pixel beside an image: its noise and what the data say of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.errors import MolreconError
from molrecon.operators.base import LinearOperator
from molrecon.operators.soft_sense import combined_sets
from molrecon.progress import Progress
from molrecon.reconstructors.base import Reconstructor
from molrecon.trust.noise import least_std, noise_map, ratio
from molrecon.trust.share import data_share


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """Maps of one value a pixel.

    Attributes
    ----------
    maps
        ``"noise"``, ``"g-factor"`` and ``"share"`` on the CPU, as far as they are wanted and the
        operator has them.
    failures
        Of ``"noise"`` and ``"share"``, a sentence why there is none although it is wanted.
    linearised
        Whether the noise is that of the derivative, since rounding would be more of a difference.
    """

    maps: dict[str, Tensor] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    linearised: bool = False

    @classmethod
    def joined(
        cls, parts: Sequence[PixelMaps], join: Callable[[list[Tensor]], Tensor]
    ) -> PixelMaps:
        """Join the maps of parts, those that all of them have."""
        names = [name for name in parts[0].maps if all(name in one.maps for one in parts)]
        failures: dict[str, str] = {}
        for one in reversed(parts):
            failures |= one.failures
        return cls(
            {name: join([one.maps[name] for one in parts]) for name in names},
            failures,
            any(one.linearised for one in parts),
        )


class Wanted(NamedTuple):
    """Which maps are wanted."""

    noise_draws: int = 0
    share: bool = False

    def without(self, failed: Collection[str]) -> Wanted:
        """Return what is still wanted of further parts: a map with holes is none.

        Parameters
        ----------
        failed
            Names of the maps that could not be made of a part.
        """
        draws = 0 if "noise" in failed else self.noise_draws
        return Wanted(draws, self.share and "share" not in failed)


def pixel_maps(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    solution: Solution,
    wanted: Wanted,
    *,
    where: str,
    sigma: float | None,
    progress: Progress,
) -> PixelMaps:
    """Return the maps that are wanted of an image; those of several sets of coil maps joined.

    A map that cannot be made takes neither the image nor the other maps with it.

    Parameters
    ----------
    method
        The method that made the image.
    y, A
        Measurements of one image, and the operator.
    solution
        What the method returned for them; maps start from it.
    wanted
        Which maps.
    where
        Where the image belongs, in words.
    sigma
        Noise level of the measurements; None where only the solution knows one, or nobody.
    progress
        Called with what is being done, the number of solves done and their number.
    """
    image = solution.value
    maps: dict[str, Tensor] = {}
    failures: dict[str, str] = {}
    linearised = False
    used = sigma if solution.sigma is None else float(solution.sigma[0])
    # Of several sets of coil maps the magnitude of the image is their root sum of squares; of one
    # it is the image.
    several = image.shape[1] > 1
    sets = image.abs() / combined_sets(image).abs().clamp_min(1e-30)

    def joined(std: Tensor) -> Tensor:
        return (sets * std).norm(dim=1, keepdim=True) if several else std

    # One draw at a time: the memory that was planned is that of one image.
    run: dict[str, Any] = {"sigma": used, "batch": 1, "x0": image, "progress": progress}
    if wanted.noise_draws:
        with _kept(failures, "noise", f"{where}: no map of the noise"):
            noise = noise_map(method, y, A, count=wanted.noise_draws, **run)
            linearised = noise.way == "linearised"
            maps["noise"] = joined(noise.std)
            least = least_std(A, noise.sigma)
            if least is not None:
                maps["g-factor"] = ratio(maps["noise"], joined(least))
    if wanted.share:
        with _kept(failures, "share", f"{where}: no map of the share of the data"):
            pixels = data_share(method, y, A, **run).pixels
            # Of each set by what it adds to the square.
            maps["share"] = (sets.square() * pixels).sum(1, keepdim=True) if several else pixels
    return PixelMaps({name: one.cpu() for name, one in maps.items()}, failures, linearised)


@contextmanager
def _kept(failures: dict[str, str], name: str, text: str) -> Iterator[None]:
    """Note why a map cannot be made."""
    try:
        yield
    except MolreconError as error:
        failures[name] = f"{text}: {error}"
