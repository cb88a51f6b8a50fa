"""The structural similarity index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from molrecon.errors import InputError, shape_text

WindowName = Literal["uniform", "gaussian"]

LUMINANCE, CONTRAST = 0.01, 0.03
"""The constants K1 and K2 of the paper."""


@dataclass(frozen=True)
class Window:
    """A separable averaging window."""

    weights: tuple[float, ...]  # along one axis, of sum 1
    unbiased: bool  # whether variances are divided by the number of pixels less one


def _gaussian(deviation: float, radius: int) -> tuple[float, ...]:
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / deviation).square())
    return tuple((weights / weights.sum()).tolist())


WINDOWS: dict[WindowName, Window] = {
    "uniform": Window((1 / 7,) * 7, unbiased=True),
    "gaussian": Window(_gaussian(1.5, 5), unbiased=False),
}
"""``"uniform"`` is the default of scikit-image and fastMRI, ``"gaussian"`` that of the paper."""


def structural_similarity(
    image: Tensor, reference: Tensor, data_range: Tensor, *, window: WindowName = "uniform"
) -> Tensor:
    """Return the mean structural similarity of every item, float64 ``(n,)``, at most 1.

    The mean is over all windows that lie inside the image, as in scikit-image. (Wang et al., IEEE
    Trans. Image Process. 13, 2004, 600.)

    Parameters
    ----------
    image, reference
        Real ``(n, *spatial)``, any number of spatial axes; the window has as many.
    data_range
        Range of the values of every item, ``(n,)``.
    window
        ``"uniform"``, 7 pixels wide with sample covariances, or ``"gaussian"``, of standard
        deviation 1.5 pixels and 11 pixels wide.
    """
    if window not in WINDOWS:
        raise InputError(f"window: found {window!r}, expected one of {', '.join(WINDOWS)}.")
    chosen = WINDOWS[window]
    width = len(chosen.weights)
    if min(reference.shape[1:]) < width:
        raise InputError(
            f"SSIM: the image has {shape_text(reference.shape[1:])} pixels, but its "
            f"window needs at least {width} along each axis; compare larger images."
        )
    x, y = image.double(), reference.double()
    mean_x, mean_y = _average(x, chosen), _average(y, chosen)
    pixels = width ** (x.ndim - 1)
    correction = pixels / (pixels - 1) if chosen.unbiased else 1.0
    variance_x = correction * (_average(x * x, chosen) - mean_x * mean_x)
    variance_y = correction * (_average(y * y, chosen) - mean_y * mean_y)
    covariance = correction * (_average(x * y, chosen) - mean_x * mean_y)
    scale = data_range.double().reshape(-1, *[1] * (x.ndim - 1))
    c1, c2 = (LUMINANCE * scale).square(), (CONTRAST * scale).square()
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    )
    return similarity.flatten(1).mean(1)


def _average(x: Tensor, window: Window) -> Tensor:
    """Average over the windows that lie inside, one axis after the other."""
    for axis in range(1, x.ndim):
        length = x.shape[axis] - len(window.weights) + 1
        total = window.weights[0] * x.narrow(axis, 0, length)
        for start, weight in enumerate(window.weights[1:], start=1):
            total = total.add_(x.narrow(axis, start, length), alpha=weight)
        x = total
    return x
