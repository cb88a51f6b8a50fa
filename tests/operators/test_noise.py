"""The combined noise estimate: right where signal reaches all of k-space, continuous, modest."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from tests.support import outer_sigma
from torch import Tensor

from molrecon import NoiseEstimate, estimate_noise, estimate_sigma
from molrecon.data.simulation import simulate_coil_maps
from molrecon.operators.fourier import fft_centred
from molrecon.operators.noise import UNCERTAIN, estimate_frames_noise
from molrecon.operators.null_space_noise import (
    RingNoise,
    calibration_cube,
    coil_powers,
    least_powers,
    ring_noise,
    shared_samples,
)

SHAPE = (64, 56)


def scan(
    coils: int, sigma: float | Tensor, *, seed: int = 0, width: int = 24, lines: bool = False
) -> tuple[Tensor, Tensor]:
    """A disc with sharp details, which reach all of k-space, half sampled, with noise.

    Of points or, which is quicker, of whole lines.
    """
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    body = (x**2 + y**2 < 0.5) * (1 + 0.5 * torch.rand(SHAPE, generator=generator)) / 1.5
    maps = simulate_coil_maps(SHAPE, coils, generator=generator)
    kspace = fft_centred((maps * body).to(torch.complex128), 2)
    noise = torch.randn(coils, *SHAPE, dtype=torch.complex128, generator=generator)
    chosen = torch.rand(SHAPE, generator=generator) < 0.5
    mask = chosen[:, :1].expand(SHAPE).clone() if lines else chosen
    h, w = (n // 2 - width // 2 for n in SHAPE)
    mask[h : h + width, w : w + width] = True
    return ((kspace + sigma * noise) * mask)[None], mask[None, None]


@pytest.mark.parametrize("coils", [8, 16])
@pytest.mark.parametrize("sigma", [1e-4, 1e-3, 1e-2])
def test_signal_that_reaches_the_ends_does_not_count_with_many_coils(coils, sigma):
    kspace, mask = scan(coils, sigma)
    found = estimate_noise(kspace, mask)
    assert float(found.sigma) == pytest.approx(sigma, rel=0.15)
    assert found.source == "linear relations of samples"
    assert float(found.uncertainty) < UNCERTAIN
    if sigma < 1e-3:
        assert float(outer_sigma(kspace, mask)) > 10 * sigma


def test_coils_of_unequal_noise_are_averaged():
    levels = torch.tensor([1.0, 1, 1, 3, 1, 0.5, 1, 2])
    sigma = 1e-3 * levels.reshape(-1, 1, 1)
    kspace, mask = scan(8, sigma)
    expected = 1e-3 * float(levels.square().mean().sqrt())
    assert float(estimate_sigma(kspace, mask)) == pytest.approx(expected, rel=0.15)


def test_one_coil_is_right_or_uncertain():
    for seed, sigma in enumerate([1e-4, 1e-3, 1e-2, 5e-2]):
        found = estimate_noise(*scan(1, sigma, seed=seed))
        off = abs(float(found.sigma) / sigma - 1)
        assert off < 0.3 or float(found.uncertainty) > UNCERTAIN
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 1, *SHAPE, dtype=torch.complex64, generator=generator)
    found = estimate_noise(noise, torch.ones(1, 1, *SHAPE, dtype=torch.bool))
    assert float(found.sigma) == pytest.approx(1, rel=0.15)
    assert float(found.uncertainty) < UNCERTAIN


def test_without_a_calibration_region_the_outer_kspace_stands():
    kspace, mask = scan(4, 1e-2, width=2)
    found = estimate_noise(kspace, mask)
    assert found.source == "outer k-space"
    assert torch.equal(found.sigma, outer_sigma(kspace, mask))


@pytest.mark.parametrize("exponent", [-60, 40])
def test_units_do_not_matter(exponent):
    kspace, mask = scan(4, 1e-2)
    unit = 2.0**exponent
    base, other = estimate_noise(kspace, mask), estimate_noise(kspace * unit, mask)
    assert float(other.sigma) == pytest.approx(unit * float(base.sigma), rel=1e-6)
    assert float(other.uncertainty) == pytest.approx(float(base.uncertainty), rel=1e-4)


def test_an_item_does_not_depend_on_the_others_and_frames_are_items():
    parts = [scan(4, 1e-2, seed=seed) for seed in range(3)]
    kspace, mask = torch.cat([k for k, _ in parts]), torch.cat([m for _, m in parts])
    found = estimate_noise(kspace, mask)
    assert torch.equal(found.sigma[1:2], estimate_sigma(*parts[1]))
    frames = estimate_frames_noise(kspace.transpose(0, 1)[None], mask.transpose(0, 1)[None])
    assert float(frames.sigma) == pytest.approx(float(found.sigma.square().mean().sqrt()), rel=1e-6)


def steepest(path: Callable[[float], Tensor], mask: Tensor) -> float:
    """Return the largest |Δσ| / ‖Δy‖ on a path, bisected towards where it changes most."""
    low, high, worst = 0.0, 1.0, 0.0
    while high - low > 1e-3:
        places = [low + (high - low) * i / 8 for i in range(9)]
        points = [path(t) for t in places]
        sigmas = [float(estimate_sigma(y, mask)) for y in points]
        changes = [abs(b - a) for a, b in itertools.pairwise(sigmas)]
        moved = [float((b - a).norm()) for a, b in itertools.pairwise(points)]
        worst = max(worst, *(c / m for c, m in zip(changes, moved, strict=True)))
        index = changes.index(max(changes))
        low, high = places[index], places[index + 1]
    return worst


@pytest.mark.parametrize("coils", [1, 4])
def test_the_estimate_never_jumps(coils):
    """Signal that comes up, and noise: the number of dimensions with signal passes many edges."""
    clean, mask = scan(coils, 0.0, lines=True)
    noise = (scan(coils, 1e-2, lines=True)[0] - clean) / 1e-2
    for path in (
        lambda t: 0.02 * noise + t * clean,
        lambda t: clean + (0.001 + 0.1 * t) * noise,
    ):
        assert steepest(path, mask) < 0.1


@pytest.mark.parametrize("coils", [1, 4])
def test_derivatives_with_respect_to_the_kspace(coils):
    kspace, mask = scan(coils, 1e-2, lines=True)
    leaf = kspace.clone().requires_grad_()
    estimate_sigma(leaf, mask).backward()
    generator = torch.Generator().manual_seed(5)
    for _ in range(2):
        direction = torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator) * mask
        step = 1e-6 * direction
        change = estimate_sigma(kspace + step, mask) - estimate_sigma(kspace - step, mask)
        expected = float((leaf.grad.conj() * direction).real.sum())
        assert float(change) / 2e-6 == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_relations_are_learned_from_a_part_of_kspace_that_was_sampled_throughout():
    mask = torch.zeros(64, 48, dtype=torch.bool)
    mask[24:41, 16:33] = True
    assert calibration_cube(mask) == (slice(24, 41), slice(16, 33))
    assert calibration_cube(torch.ones_like(mask)) == (slice(18, 46), slice(10, 38))
    mask[32, 24] = False
    assert calibration_cube(mask) is None


def test_powers_of_coils_are_found_from_their_mixtures():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.eye(5) + 0.02 * torch.rand(3, 5, 5, generator=generator)
    powers = torch.tensor([1.0, 4, 0.5, 2, 1])
    assert torch.allclose(coil_powers(mixing, mixing @ powers), powers.expand(3, 5), rtol=0.02)


def test_signal_in_a_coil_of_some_rings_is_not_taken_for_its_noise():
    mixing, powers = torch.eye(4).expand(3, 4, 4), torch.tensor([1.0, 2, 1, 0.5])
    held = powers * torch.tensor([[30.0, 1, 1, 9], [1, 1, 1, 1], [1, 1, 50, 1]])
    rings = RingNoise(held.mean(1), torch.full((3,), 0.01), *torch.zeros(2, 3), mixing, held)
    found = least_powers(rings, torch.tensor([3.0, 1, 2]), 0.15)
    assert torch.allclose(found, powers, rtol=1e-4)


def test_relations_learned_from_less_leave_as_much_of_noise_and_more_of_signal():
    """Signal that rings cannot tell from noise shows where relations are learned from less."""
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(8, *SHAPE, dtype=torch.complex128, generator=generator)
    mask = torch.ones(SHAPE, dtype=torch.bool)
    rings = ring_noise(noise, mask)
    assert rings is not None
    assert float(rings.slope.abs().max()) < 0.08
    assert torch.allclose(rings.variance, torch.ones(()).double(), rtol=0.15)
    # Maps that are rough in every pixel spread signal evenly over k-space.
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    maps = simulate_coil_maps(SHAPE, 8, generator=generator)
    rough = maps * (1 + 0.01 * torch.randn(maps.shape, generator=generator))
    kspace = fft_centred((rough * torch.exp(-3 * (x**2 + y**2))).to(torch.complex128), 2)
    found = estimate_noise((kspace + 1e-5 * noise)[None], mask[None, None])
    assert float(found.sigma) > 1.3e-5
    assert float(found.uncertainty) > UNCERTAIN


def test_windows_that_share_samples_do_not_count_as_many():
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[10, 10] = mask[30, 30] = True
    places = torch.tensor([[8, 8], [9, 9], [10, 10], [29, 29]])
    expected = torch.block_diag(torch.ones(3, 3), torch.ones(1, 1)).double()
    assert torch.equal(shared_samples(mask, 3, places), expected)
    full = shared_samples(torch.ones_like(mask), 4, torch.tensor([[0, 0], [2, 1], [8, 8]]))
    assert torch.allclose(full[0], torch.tensor([1, 2 * 3 / 16, 0]).double())


def test_facts_are_those_of_the_worst_of_a_batch():
    found = NoiseEstimate(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25]), "given")
    assert found.facts() == {"sigma": 2.0, "uncertainty": 0.5, "source": "given"}
    assert not found.estimated
