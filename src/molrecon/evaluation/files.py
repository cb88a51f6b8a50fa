"""The image of one file scored against that of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from molrecon.data.formats import ImageData, is_picture, read_image
from molrecon.errors import InputError
from molrecon.evaluation.conventions import Scores, published_scores
from molrecon.evaluation.metrics import DataRange, Unit, scores

UNLIKE = 2.0
"""Scale between an image and its reference from which on, either way, their units are doubted."""


@dataclass(frozen=True)
class ScoredFiles:
    """The scores of an image, and what a reader should know of them."""

    scores: Scores
    as_published: bool  # whether they were computed as in the published tables
    remarks: tuple[str, ...]  # what limits the meaning of the figures, one sentence each
    notes: dict[str, tuple[str, ...]]  # by path, what the reader of the file decided

    def facts(self) -> dict[str, Any]:
        """Return the scores, what they rest on and the notes as plain values."""
        basis = {
            name: {
                "range": score.range_rule,
                "data_range": score.span,
                "averaging": score.averaging,
                "values": score.values,
            }
            for name, score in self.scores.items()
        }
        return {
            **{name: score.value for name, score in self.scores.items()},
            "convention": "as published" if self.as_published else "molrecon",
            **basis["psnr"],
            "basis": basis,
            "each": {name: score.each for name, score in self.scores.items()},
            "notes": self.notes,
        }


def score_files(
    image: str,
    reference: str,
    *,
    over: Unit = "slice",
    data_range: DataRange | None = None,
    complex_values: bool = False,
    as_published: bool = False,
    fit_scale: bool = False,
    max_memory: float | None = None,
) -> ScoredFiles:
    """Score the image of a file against its reference, in every metric.

    Parameters
    ----------
    image, reference
        Two files of the same shape and units, ``FILE`` or ``FILE::KEY``.
    over, data_range, complex_values
        As `Metric` takes them.
    as_published
        Score as the published tables do; nothing else can then be chosen.
    fit_scale
        Multiply the image by the number that brings it closest to the reference, for images in
        other units; complex values by a complex number.
    max_memory
        Memory in GiB that an image may take, beyond 200 MB and four times the size of its file.
    """
    if as_published and fit_scale:
        raise InputError(
            "fit_scale is given beside as_published, expected one: published scores are of values "
            "as they are; leave one out."
        )
    if as_published and (data_range is not None or over != "slice" or complex_values):
        raise InputError(
            "Scores as published (as_published) fix range, averaging and values, so that the range "
            "(data_range), the averaging (over) and complex values (complex_values) cannot be "
            "chosen too; leave one or the other out."
        )
    read = {path: read_image(path, max_memory=max_memory) for path in (image, reference)}
    pixels, truth = _arranged(read[image]), _arranged(read[reference])
    if pixels.shape != truth.shape:
        raise InputError(
            f"{image} has the shape {tuple(pixels.shape)}, but its reference {reference} has "
            f"{tuple(truth.shape)}; compare images of the same shape."
        )
    remarks = []
    scale = closest_scale(pixels, truth, complex_values)
    if fit_scale:
        pixels = pixels * (scale if scale.imag else scale.real)
        remarks.append(f"{image} is multiplied by {_number(scale)}, which fits it to {reference}.")
    elif not 1 / UNLIKE < abs(scale) < UNLIKE:
        remarks.append(
            f"{image} is closest to {reference} when it is multiplied by {_number(scale)}: they "
            "seem to be in different units. Fit the scale (fit_scale) to compare them."
        )
    if as_published:
        found = published_scores(pixels, truth)
    else:
        found = scores(
            pixels, truth, over=over, data_range=data_range, complex_values=complex_values
        )
    pictures = [path for path in (image, reference) if is_picture(path)]
    if len(pictures) == 1:
        remarks.append(
            f"{pictures[0]} is a picture, whose grey values are not in the units of the other "
            "image: the figures compare different units. Write the image as .npy, .h5 or .nii.gz "
            "instead."
        )
    if as_published:
        remarks.append(
            "SSIM with a range of 2 is larger than with the true range, and changes with the unit "
            f"of the images; the maximum of this reference is {float(truth.abs().max()):.4g}, "
            "where the published images had about 1."
        )
    notes = {path: one.notes for path, one in read.items()}
    return ScoredFiles(found, as_published, tuple(remarks), notes)


def closest_scale(image: Tensor, reference: Tensor, complex_values: bool) -> complex:
    """Return the number that brings an image closest to its reference, in magnitude by default."""
    one, other = image.to(torch.complex128), reference.to(torch.complex128)
    if not complex_values:
        one, other = one.abs() + 0j, other.abs() + 0j
    power = float(one.abs().square().sum())
    return complex((one.conj() * other).sum()) / power if power > 0 else 1.0


def _number(scale: complex) -> str:
    return f"{scale.real:.4g}" if not scale.imag else f"{scale:.4g}"


def _arranged(image: ImageData) -> Tensor:
    """Return ``(batch, 1, *spatial)``; a stack of slices counts as a volume, one slice as a slice.

    Not every format tells them apart.
    """
    array = image.array[0] if len(image.array) == 1 and image.array.ndim == 3 else image.array
    return torch.from_numpy(array).reshape(-1, 1, *array.shape[-3:])
