"""The noise estimate is right for known noise, whatever the mask and the signal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import outer_sigma
from torch import Tensor

from molrecon.errors import InputError
from molrecon.operators.noise import estimate_noise

SHAPE = (96, 80)


def white(coils: int, sigma: float, seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Return noise (1, coil, *shape) with sqrt(E|n|²) = sigma."""
    generator = torch.Generator().manual_seed(seed)
    return sigma * torch.randn(1, coils, *shape, dtype=torch.complex64, generator=generator)


def frequencies() -> tuple[Tensor, Tensor]:
    """Return the coordinates of k-space, -1 … 1."""
    y, x = ((torch.arange(n) - n // 2) / (n / 2) for n in SHAPE)
    return torch.meshgrid(y, x, indexing="ij")


def random_mask(fraction: float, seed: int) -> Tensor:
    """Return a mask of points whose density falls from 1 to half the fraction."""
    y, x = frequencies()
    density = torch.clamp(fraction * (0.5 + 2 * torch.exp(-6 * (x**2 + y**2))), max=1)
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(SHAPE, generator=generator) < density)[None, None]


def line_mask() -> Tensor:
    """Return a mask of every fourth line and the central eight."""
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    mask[..., ::4] = True
    mask[..., 36:44] = True
    return mask


MASKS = {
    "full": torch.ones(1, 1, *SHAPE, dtype=torch.bool),
    "points": random_mask(0.25, 0),
    "lines": line_mask(),
    "ellipse": random_mask(0.4, 1) & (sum(c**2 for c in frequencies()) < 1),
}


def signal() -> Tensor:
    """Return k-space of a smooth object: strong at the centre, negligible at the ends."""
    y, x = frequencies()
    return (1e4 * torch.exp(-30 * (x**2 + y**2)) * torch.polar(torch.ones(SHAPE), 9 * x))[
        None, None
    ]


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("coils", [1, 6])
def test_white_noise(name: str, coils: int) -> None:
    """Unbiased over many scans, and no single one far off."""
    estimates = torch.cat([outer_sigma(white(coils, 3.0, s), MASKS[name]) for s in range(30)])

    assert float(estimates.mean()) == pytest.approx(3.0, rel=0.025)
    assert float((estimates - 3).abs().max()) < 0.2 * 3
    assert float(estimates.std()) < 0.06 * 3


def test_white_noise_within_five_percent() -> None:
    estimates = [float(outer_sigma(white(4, 0.7, s), MASKS["full"])) for s in range(20)]

    assert estimates == pytest.approx([0.7] * 20, rel=0.05)


@pytest.mark.parametrize("name", MASKS)
def test_signal_at_low_frequencies_does_not_matter(name: str) -> None:
    kspace = (signal() + white(8, 2.0, 1)) * MASKS[name]

    assert float(outer_sigma(kspace, MASKS[name])) == pytest.approx(2.0, rel=0.1)


@settings(deadline=None, max_examples=25)
@given(exponent=st.integers(-30, 30), name=st.sampled_from(sorted(MASKS)))
def test_scaling_equivariance(exponent: int, name: str) -> None:
    """Exact for powers of two, which do not round."""
    kspace = signal() + white(3, 1.0, 2)
    base = outer_sigma(kspace, MASKS[name])

    assert torch.equal(outer_sigma(kspace * 2.0**exponent, MASKS[name]), base * 2.0**exponent)


def test_sigma_is_the_root_mean_square_over_coils() -> None:
    levels = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)

    sigma = outer_sigma(levels * white(3, 1.0, 3), MASKS["full"])

    assert float(sigma) == pytest.approx(math.sqrt((1 + 4 + 16) / 3), rel=0.05)


def test_a_batch_is_its_items() -> None:
    kspace = torch.cat([white(2, 1.0, 4), white(2, 5.0, 5)])
    masks = torch.cat([MASKS["points"], MASKS["lines"]])

    sigma = outer_sigma(kspace, masks)

    assert sigma.shape == (2,)
    assert sigma.dtype == torch.float32
    assert torch.equal(sigma[:1], outer_sigma(kspace[:1], masks[:1]))
    assert torch.equal(sigma[1:], outer_sigma(kspace[1:], masks[1:]))


def test_zero_filling_does_not_count_as_measurement() -> None:
    """Also where zeros are rounding errors of single precision, and with a quarter missing."""
    kspace = signal() + white(4, 2.0, 6)
    kspace[..., :24] *= 1e-12
    kspace[..., :10, :] = 0
    kspace[..., -10:, :] = 0

    assert float(outer_sigma(kspace, MASKS["full"])) == pytest.approx(2.0, rel=0.1)


def test_unsampled_positions_are_ignored() -> None:
    kspace = white(2, 1.0, 7)
    mask = MASKS["points"]

    assert torch.equal(outer_sigma(kspace, mask), outer_sigma(kspace * mask, mask))


@pytest.mark.parametrize("name", ["full", "points", "lines"])
@pytest.mark.parametrize("axis", [0, 1])
def test_noise_filtered_along_an_axis(name: str, axis: int) -> None:
    """The background of the image shows the mean power, far above that in the corners."""
    gain = torch.exp(-2 * (frequencies()[axis] + 0.3) ** 2)
    sigma = float(gain.square().mean().sqrt())
    estimates = [
        float(outer_sigma(gain * white(2, 1.0, s) + 1e-3 * signal(), MASKS[name])) for s in range(8)
    ]

    assert sum(estimates) / 8 == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("shape", [(400,), (24, 20, 28)])
def test_any_number_of_axes(shape: tuple[int, ...]) -> None:
    kspace = white(6, 2.0, 8, shape)

    assert float(outer_sigma(kspace, torch.ones(1, 1, *shape, dtype=torch.bool))) == (
        pytest.approx(2.0, rel=0.1)
    )


def test_refusals() -> None:
    kspace = white(2, 1.0, 9)
    few = torch.zeros_like(MASKS["full"])
    few[..., 0, :10] = True

    with pytest.raises(InputError, match="has 10 measured samples"):
        outer_sigma(kspace, few)
    with pytest.raises(InputError, match="0 measured samples"):
        outer_sigma(0 * kspace, MASKS["full"])
    with pytest.raises(InputError, match="mask has shape"):
        estimate_noise(kspace, MASKS["full"][..., 1:])


def steepest(path: Callable[[float], Tensor], mask: Tensor) -> float:
    """Return the largest |Δsigma| / ‖Δy‖ on a path, bisected towards where it changes most."""
    low, high = 0.0, 1.0
    steps = 16
    worst = 0.0
    while high - low > 1e-5:
        places = [low + (high - low) * i / steps for i in range(steps + 1)]
        points = [path(t) for t in places]
        sigmas = [float(outer_sigma(y, mask)) for y in points]
        changes = [abs(b - a) for a, b in itertools.pairwise(sigmas)]
        moved = [float((b - a).norm()) for a, b in itertools.pairwise(points)]
        worst = max(worst, *(c / m for c, m in zip(changes, moved, strict=True)))
        steepest = changes.index(max(changes))
        low, high = places[steepest], places[steepest + 1]
        steps = 8
    return worst


@pytest.mark.parametrize(("name", "coils"), [("full", 1), ("points", 4), ("lines", 1)])
def test_the_estimate_never_jumps(name: str, coils: int) -> None:
    """From white noise to noise filtered along one axis, then the other, or both, or spikes."""
    y, x = (c.double() for c in frequencies())
    noise = white(coils, 1.0, 11).to(torch.complex128)
    other = white(coils, 1.0, 12).to(torch.complex128)
    spike = torch.zeros_like(noise)
    spike[:, :, 2, 4] = 30
    for path in (
        lambda t: noise * (1 + t * (y > 0).double()),
        lambda t: noise * (1 + (1 - t) * (y > 0).double()) * (1 + t * (x > 0).double()),
        lambda t: noise * torch.exp(-3 * t * (x + y + 0.4) ** 2),
        lambda t: noise + t * spike,
        lambda t: noise + t * other,
    ):
        # An average of many samples: far less than the change of one, let alone a jump.
        assert steepest(path, MASKS[name]) < 0.1


def test_derivatives_with_respect_to_the_kspace() -> None:
    """Also where one value passes into another, with noise filtered along both axes."""
    y, x = (c.double() for c in frequencies())
    mask = MASKS["full"]
    for strength in (0.0, 0.22, 0.5):
        kspace = white(2, 1.0, 13).to(torch.complex128)
        kspace = kspace * (1 + strength * (y > 0)) * (1 + 0.9 * strength * (x > 0))
        leaf = kspace.clone().requires_grad_()
        outer_sigma(leaf, mask).backward()
        for seed in range(3):
            direction = white(2, 1.0, seed).to(torch.complex128)
            step = 1e-6 * direction
            change = outer_sigma(kspace + step, mask) - outer_sigma(kspace - step, mask)
            expected = float((leaf.grad.conj() * direction).real.sum())
            assert float(change) / 2e-6 == pytest.approx(expected, rel=1e-5, abs=1e-9)
