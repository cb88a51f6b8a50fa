"""The noise of samples along lines through k-space: spokes, spiral arms, any readouts.

An object fills a part of what a readout can show: neighbouring samples are related, and what no
object explains is noise. All windows of consecutive samples, of all coils, make a matrix whose
small singular values are those of noise alone (as for calibration regions: Peng et al., Magn.
Reson. Med. 76 (2016) 461). Which value noise of a given level has follows from white noise that is
treated in the same way. The outermost samples as they are give one level more. Signal makes each
level too large and none too small, so the smallest counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.noise import NoiseEstimate

WINDOW, COLUMNS = 32, 64
"""Consecutive samples of a window, and windows of all coils together, at most."""
SHARES = (1 / 4, 1 / 8)
"""Of the singular values, the smallest ones that noise is read from."""
FAR = 1 / 2
"""Share of the windows that lie too near to the centre."""
OUTER = 0.1
"""Of the samples, the outermost ones that give a level of their own."""
ALONE = 0.35
"""Relative error where the outermost samples alone show the noise."""
LEAK = 0.05
"""Relative error by what leaks of the signal into all levels alike, where lines are bent."""
FEWEST = 64
"""Samples of a line, times lines, from which noise can be told."""
MOST_WINDOWS = 2**15


@torch.no_grad()
def estimate_lines_noise(y: Tensor, radius: Tensor) -> NoiseEstimate:
    """Return the noise level per complex sample, averaged over coils, and its uncertainty.

    Parameters
    ----------
    y
        Complex ``(batch, coil, *samples)``; the last axis runs along the readout.
    radius
        Distance of the samples from the centre of k-space, real ``(*samples)``, in any unit.

    Raises
    ------
    InputError
        If there are fewer than 64 samples, or all are zero.

    Examples
    --------
    >>> noise = 0.5 * torch.randn(1, 4, 20, 64, generator=torch.manual_seed(0)) * (1 + 1j) / 2**0.5
    >>> found = estimate_lines_noise(noise.to(torch.complex64), torch.rand(20, 64))
    >>> bool(abs(found.sigma[0] - 0.5) < 0.05)
    True
    """
    if radius.numel() < FEWEST:
        raise InputError(
            f"a scan has {radius.numel()} samples, expected at least {FEWEST} to tell its noise; "
            "give sigma, the standard deviation of the noise per measured sample"
        )
    found = [_of_item(one, radius) for one in y]
    return NoiseEstimate(
        torch.tensor([sigma for sigma, _, _ in found], dtype=y.real.dtype, device=y.device),
        torch.tensor([error for _, error, _ in found], dtype=y.real.dtype, device=y.device),
        ", ".join(dict.fromkeys(source for _, _, source in found)),
    )


def _of_item(y: Tensor, radius: Tensor) -> tuple[float, float, str]:
    """Return the level of ``(coil, *samples)``, its relative error and where it was read."""
    lines = y.reshape(len(y), -1, y.shape[-1]).to("cpu", torch.complex128)
    largest = float(lines.abs().max())
    if not largest > 0:
        raise InputError("the samples of a scan are all zero; there is no noise to be told")
    lines = lines / largest
    away = radius.reshape(-1, y.shape[-1]).cpu()
    outer = _outer(lines, away)
    levels = _by_windows(lines, away)
    if not levels:
        return largest * outer, ALONE, "outermost samples"
    smallest, second = sorted([*levels, outer])[:2]
    chance = 2 / math.sqrt(lines.shape[1] * lines.shape[2])
    error = math.hypot(math.log(second / smallest), chance, LEAK)
    source = "outermost samples" if smallest == outer else "linear relations along the readout"
    return largest * smallest, error, source


def _outer(lines: Tensor, radius: Tensor) -> float:
    """Return the root mean square of the samples that lie farthest out."""
    count = max(FEWEST // 4, int(OUTER * radius.numel()))
    places = radius.flatten().topk(count).indices
    return float(lines.flatten(1)[:, places].abs().square().mean().sqrt())


def _by_windows(lines: Tensor, radius: Tensor) -> list[float]:
    """Return a level for each share of the smallest singular values; none if lines are short.

    Windows of the outer half of the samples: near the centre the signal is strongest and arms of
    spirals are bent most, so that their samples are related least.
    """
    coils, _, samples = lines.shape
    width = min(WINDOW, max(4, COLUMNS // coils), samples // 2)
    if width < 4:
        return []
    middles = radius.unfold(-1, width, 1)[..., width // 2].flatten()
    places = (middles >= middles.double().quantile(FAR)).nonzero().flatten()
    if len(places) < 4 * coils * width:
        return []
    places = places[:: max(1, len(places) // MOST_WINDOWS)]
    white = torch.randn(lines.shape, dtype=lines.dtype, generator=torch.Generator().manual_seed(0))
    found, noise = (_powers(one, width, places) for one in (lines, white))
    return [
        float((found[:count].mean() / noise[:count].mean()).clamp_min(1e-30).sqrt())
        for count in _counts(len(found))
    ]


def _counts(values: int) -> Sequence[int]:
    return [max(1, round(share * values)) for share in SHARES]


def _powers(lines: Tensor, width: int, places: Tensor) -> Tensor:
    """Return the squares of the singular values of windows, from the smallest."""
    coils = len(lines)
    windows = lines.unfold(-1, width, 1).movedim(-1, 1).reshape(coils * width, -1)[:, places]
    values: Tensor = torch.linalg.eigvalsh(windows @ windows.mH)
    return values.clamp_min(0)
