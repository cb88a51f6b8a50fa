"""The two conventions of scoring: that of this package, and that of the published tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from molrecon.evaluation.metrics import Score, scores, ssim
from molrecon.operators.base import per_sample

Scores = dict[str, Score]

PUBLISHED_SSIM_RANGE = 2.0
"""What scikit-image took for floating-point images without a range: from −1 to 1."""

_PUBLISHED_RULE = (
    "2, the default of scikit-image for floating-point images (−1 to 1) whatever their values"
)


@dataclass(frozen=True)
class Convention:
    """How images are scored."""

    summary: str  # range and averaging in one sentence, to stand beside the numbers
    scores: Callable[[Tensor, Tensor], Scores]  # from image and reference ``(batch, 1, *spatial)``


def standard_scores(image: Tensor, reference: Tensor) -> Scores:
    """Score magnitudes: every slice, or every volume of three spatial axes, on its own range."""
    return scores(image, reference, over="volume" if reference.ndim == 5 else "slice")


def published_scores(image: Tensor, reference: Tensor) -> Scores:
    """Score magnitudes slice by slice as the published code did, images of a maximum of about 1.

    PSNR takes the range from the maximum of each slice of the reference. SSIM was computed without
    a range; scikit-image then took 2, which is at least twice what images of peak 1 span and makes
    the index larger. The values are taken as they are: the result depends on their unit.
    """
    found = scores(image, reference)
    similarity = ssim(image, reference, data_range=PUBLISHED_SSIM_RANGE)
    return {**found, "ssim": replace(similarity, range_rule=_PUBLISHED_RULE)}


def _published_at_unit_peak(image: Tensor, reference: Tensor) -> Scores:
    peak = per_sample(reference.abs().flatten(1).amax(1), reference)
    return published_scores(image / peak, reference / peak)


CONVENTIONS: dict[str, Convention] = {
    "molrecon": Convention(
        "Magnitudes; range of values, where a metric needs one: the maximum of the reference in "
        "each slice (volumes: in each volume); SSIM with a uniform 7-pixel window.",
        standard_scores,
    ),
    "published": Convention(
        "As published, for comparison with published tables only: magnitudes, slice by slice, then "
        "the mean; range of values: the maximum of the reference in each slice; SSIM of images "
        "divided by the reference's maximum, with range 2, the default of scikit-image for "
        "floating-point images, which makes it larger than SSIM with the true range.",
        _published_at_unit_peak,
    ),
}
"""Conventions of a comparison by name."""
