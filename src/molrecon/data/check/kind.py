"""Arrays that are no k-space: images, maps of parameters, coil maps and masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from molrecon.data.check.findings import Finding
from molrecon.operators.fourier import fft_centred

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

CERTAIN = 1.5
"""Peak of the transform over the peak of the array from which on it is an image. Of k-space it is
about 0.1, of noise about 1, and of images 3 to 100."""
FEWEST = 64
CHANCE = 10.0
"""Of N samples of noise the largest power is ln N times the mean, and above that plus this number
with a probability of exp(−10)."""
_OTHER = "give a scan"


def transform_gain(array: Tensor) -> float:
    """Return the peak of the transform of complex ``(…, y, x)`` over its own.

    A smooth image has its energy in few frequencies: of an array and its transform, k-space is the
    one with the higher peak. They are compared in the strongest plane of the last two axes.
    """
    planes = array.reshape(-1, *array.shape[-2:])
    plane = planes[int(planes.abs().square().sum((1, 2)).argmax())]
    peak = float(plane.abs().max())
    return float(fft_centred(plane, 2).abs().max()) / peak if peak > 0 else 0.0


def check_kind(evidence: Evidence) -> Iterator[Finding]:
    """Find arrays that look like something else than k-space."""
    kspace = evidence.scan.kspace
    if kspace[0, 0].numel() < FEWEST:
        return
    constant = constant_values(evidence.strongest_item)
    if constant is not None:
        seen, name = constant
        means = "it is a mask" if name == "mask" else f"they are {name}"
        yield Finding("kind", "refused", seen, means, _OTHER)
        return
    gain = transform_gain(evidence.quiet_kspace)
    if gain <= CERTAIN and _is_noise(evidence):
        yield Finding(
            "kind",
            "warning",
            "no sample is larger than the largest of as many of white noise",
            "it may hold noise alone, and then the image is what the method makes of noise",
            "give a scan of an object",
        )
        return
    if gain > 1:
        real = ", and all its values are real" if only_part(kspace) == "real" else ""
        yield Finding(
            "kind",
            "refused" if gain > CERTAIN else "warning",
            f"the transform has a peak {gain:.1f} times as high as the array{real}",
            "it looks like an image or a map of a parameter, and not like k-space",
            "simulate a scan of it, or give a scan",
        )
    else:
        yield from check_parts(kspace)


def check_parts(kspace: Tensor) -> Iterator[Finding]:
    """Find k-space of which one part is all there is, on a grid or along lines.

    Parameters
    ----------
    kspace
        Complex, of any shape.
    """
    part = only_part(kspace)
    if part is not None:
        yield Finding(
            "kind",
            "refused",
            f"all values of k-space are {part}",
            "it is a magnitude, one of the two parts, or both stored as coils of their own, and an "
            "image of it would be overlaid with its mirror image",
            "give real and imaginary part as complex numbers, or along the last axis",
        )


def _is_noise(evidence: Evidence) -> bool:
    """Whether no sample of the strongest item stands out of white noise."""
    power = evidence.quiet[evidence.strongest].double().square()
    power = power[power > 0]
    largest = math.log(max(len(power), 1)) + CHANCE
    return len(power) >= FEWEST and bool(power.max() < largest * power.mean())


def only_part(values: Tensor) -> Literal["real", "imaginary"] | None:
    """Return which part of complex numbers is all there is; None where both are there."""
    if not values.real.any():
        return "imaginary"
    return None if values.imag.any() else "real"


def constant_values(item: Tensor) -> tuple[str, Literal["mask", "coil maps"]] | None:
    """Say what is alike in ``(coil, *spatial)`` and what has it so; None where nothing is alike."""
    values = item[item != 0]
    if values.numel() < FEWEST:
        return None
    if bool((values == values[0]).all()):
        return f"all values but zeros are {complex(values[0]).real:g}", "mask"
    size = torch.linalg.vector_norm(item, dim=0)
    size = size[size > 0]
    if len(item) > 1 and bool((size - size.mean()).abs().max() < 0.05 * size.mean()):
        return "the root sum of squares over the coils is the same everywhere", "coil maps"
    return None
