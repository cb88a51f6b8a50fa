"""Maps of every pixel beside an image: its noise and what the data say of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from molrecon.equilibrium.solution import Solution
from molrecon.operators.base import LinearOperator
from molrecon.operators.soft_sense import combined_sets
from molrecon.progress import Progress
from molrecon.reconstructors.base import Reconstructor
from molrecon.trust.noise import least_std, noise_map, ratio
from molrecon.trust.share import data_share

PixelMaps = dict[str, Tensor]
"""Maps of one value a pixel on the CPU, ``"noise"``, ``"g-factor"`` and ``"share"``, as far as they
are wanted and the operator has them."""


class Wanted(NamedTuple):
    """Which maps are wanted."""

    noise_draws: int = 0
    share: bool = False


def pixel_maps(
    method: Reconstructor,
    y: Tensor,
    A: LinearOperator,
    solution: Solution,
    wanted: Wanted,
    *,
    sigma: float | None,
    progress: Progress,
) -> PixelMaps:
    """Return the maps that are wanted of an image; those of several sets of coil maps joined.

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
    sigma
        Noise level of the measurements; None where only the solution knows one, or nobody.
    progress
        Called with what is being done, the number of solves done and their number.
    """
    image, maps = solution.value, PixelMaps()
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
        noise = noise_map(method, y, A, count=wanted.noise_draws, **run)
        maps["noise"] = joined(noise.std)
        least = least_std(A, noise.sigma)
        if least is not None:
            maps["g-factor"] = ratio(maps["noise"], joined(least))
    if wanted.share:
        pixels = data_share(method, y, A, **run).pixels
        # Of each set by what it adds to the square.
        maps["share"] = (sets.square() * pixels).sum(1, keepdim=True) if several else pixels
    return {name: one.cpu() for name, one in maps.items()}
