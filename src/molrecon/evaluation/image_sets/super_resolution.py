"""Pictures measured with fewer pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from molrecon.data.pictures import read_picture, whole_blocks
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.super_resolution import decimate
from molrecon.errors import InputError
from molrecon.evaluation.image_sets.base import Case, ImageSet, Seed
from molrecon.evaluation.reference_problem import ReferenceProblem

Colours = Literal["refused", "luminance"]

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")


@dataclass(frozen=True)
class SuperResolutionCase(Case):
    """A picture at one factor and noise level."""

    factor: int
    sigma: float
    seed: int
    crop: bool

    def problem(self) -> ReferenceProblem:
        """Blur, decimate and add noise, whose level is told: few pixels cannot show it."""
        image = _picture(self.source, self.digest)
        if self.crop:
            image = whole_blocks(image, self.factor)
        own = hashlib.sha256(self.digest.encode()).digest()
        generator = make_generator(self.seed, int.from_bytes(own[:4], "big"))
        sigma = torch.tensor([self.sigma])
        batch = decimate(image[None, None], self.factor, sigma, generator=generator)
        return ReferenceProblem(batch.y, batch.A, batch.image, sigma=self.sigma)


class SuperResolutionSet(ImageSet):
    """Grey pictures with values between 0 and 1; every file is a group of its own."""

    kind: Literal["super-resolution"] = "super-resolution"
    factors: list[Annotated[int, Field(ge=1)]] = Field([3], min_length=1)  # decimation factors
    # Noise per measured pixel.
    sigma: list[Annotated[float, Field(gt=0)]] = Field([0.01], min_length=1)
    seeds: list[Seed] = Field([0], min_length=1)  # of the noise
    colours: Colours = "refused"  # ``"refused"``, or ``"luminance"`` to convert colour pictures
    # Cut the bottom and right edges to multiples of the factor, as is usual and as the direct
    # solution needs.
    crop: bool = True

    def cases(self, root: Path) -> list[Case]:
        """List every picture at every factor and noise level."""
        found: list[Case] = []
        for source, title in self.sources(root).items():
            self._check_colours(source)
            common = self.of_source(root, source)
            shape = tuple(_picture(source, common["digest"]).shape)
            for factor in self.factors:
                if min(shape) < factor:
                    raise InputError(
                        f"The image {source} has {shape[0]} × {shape[1]} pixels, fewer than the "
                        f"factor {factor} of the image set {self.name!r}; leave it out or use a "
                        "smaller factor."
                    )
                for sigma in self.sigma:
                    condition = f"{factor}×, σ = {100 * sigma:g} %"
                    found += [
                        SuperResolutionCase(
                            name=f"{title}, {condition}, seed {seed}",
                            condition=condition,
                            ndim=2,
                            factor=factor,
                            sigma=sigma,
                            seed=seed,
                            crop=self.crop,
                            **common,
                        )
                        for seed in self.seeds
                    ]
        return found

    def _check_colours(self, source: str) -> None:
        if self.colours == "luminance" or not source.lower().endswith(_PICTURES):
            return
        try:
            with Image.open(source) as picture:
                mode = picture.mode
        except OSError:
            return  # Reading it gives the reason.
        if mode not in _GREY:
            raise InputError(
                f"The image {source} is in colour ({mode}), but the image set {self.name!r} takes "
                "grey ones; set colours to luminance to convert it."
            )


@lru_cache(maxsize=4)
def _picture(source: str, digest: str) -> Tensor:
    return read_picture(source)
