"""The two ways of counting: ours, and that of the published tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from molrecon.evaluation.metrics import Score, Unit, nmse, psnr, ssim
from molrecon.operators.base import per_sample

Scores = dict[str, Score]

PUBLISHED_SSIM_RANGE = 2.0
"""What scikit-image took for floating-point images without a range: from −1 to 1."""

_PUBLISHED_RULE = (
    "2, the default of scikit-image for floating-point images (−1 to 1) whatever their values"
)


@dataclass(frozen=True)
class Convention:
    """How images are scored.

    Attributes
    ----------
    summary
        Range and averaging in one sentence, to stand beside the numbers.
    scores
        Takes image and reference, ``(batch, 1, *spatial)``; returns PSNR, SSIM and NMSE.
    """

    summary: str
    scores: Callable[[Tensor, Tensor], Scores]


def house_scores(image: Tensor, reference: Tensor) -> Scores:
    """Score magnitudes, every slice or volume on its own range."""
    over: Unit = "volume" if reference.ndim == 5 else "slice"
    return {
        "psnr": psnr(image, reference, over=over),
        "ssim": ssim(image, reference, over=over),
        "nmse": nmse(image, reference, over=over),
    }


def published_scores(image: Tensor, reference: Tensor) -> Scores:
    """Score magnitudes slice by slice as the published code did.

    PSNR takes the range from the maximum of each slice of the reference. SSIM was computed without
    a range; scikit-image then took 2, which is at least twice what images of peak 1 span and makes
    the index larger. The values are taken as they are: the result depends on their unit.
    """
    similarity = ssim(image, reference, data_range=PUBLISHED_SSIM_RANGE)
    return {
        "psnr": psnr(image, reference, over="slice", data_range="slice"),
        "ssim": replace(similarity, range_rule=_PUBLISHED_RULE),
        "nmse": nmse(image, reference),
    }


def _published_at_unit_peak(image: Tensor, reference: Tensor) -> Scores:
    peak = per_sample(reference.abs().flatten(1).amax(1), reference)
    return published_scores(image / peak, reference / peak)


CONVENTIONS: dict[str, Convention] = {
    "molrecon": Convention(
        "Magnitudes; range of PSNR and SSIM: the maximum of the reference in each slice (volumes: "
        "in each volume); SSIM with a uniform 7-pixel window; NMSE needs no range.",
        house_scores,
    ),
    "published": Convention(
        "As published, for comparison with published tables only: magnitudes, slice by slice, then "
        "the mean; range of PSNR: the maximum of the reference in each slice; SSIM of images "
        "divided by the reference's maximum, with range 2, the default of scikit-image for "
        "floating-point images, which makes it larger than SSIM with the true range.",
        _published_at_unit_peak,
    ),
}
"""Conventions of a comparison by name."""
