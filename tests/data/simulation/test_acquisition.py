from dataclasses import asdict

import pytest
import torch

from molrecon.data.coil_maps import combine_coils
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.acquisition import acquire, simulate_acquisition
from molrecon.data.simulation.coil_maps import simulate_coil_maps
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred

OPTIONS = {
    "coils": 5,
    "acceleration": 3,
    "mask_kind": "variable-density",
    "calibration": 6,
    "sigma": 0.02,
}


@pytest.mark.parametrize("shape", [(24, 31), (3, 1, 24, 31), (6, 12, 14), (2, 1, 6, 12, 14)])
def test_kspace_is_the_masked_transform_plus_noise(shape):
    image = torch.rand(shape, generator=make_generator(5))
    quiet = simulate_acquisition(image, **{**OPTIONS, "sigma": 0.0}, seed=4)
    ndim = quiet.image.ndim - 2
    expected = quiet.mask * fft_centred(quiet.coil_maps * quiet.image, ndim)
    torch.testing.assert_close(quiet.kspace, expected)

    noisy = simulate_acquisition(image, **OPTIONS, seed=4)
    assert torch.equal(noisy.image, quiet.image)
    assert torch.equal(noisy.mask, quiet.mask)
    noise = noisy.kspace - quiet.kspace
    sampled = noise[noisy.mask.expand_as(noise)]
    assert sampled.abs().square().mean().sqrt().item() == pytest.approx(0.02, rel=0.1)
    assert noise.abs().sum() == pytest.approx(sampled.abs().sum().item())


def test_shapes_types_and_acceleration():
    image = torch.rand(2, 1, 24, 30, generator=make_generator(0))
    scan = simulate_acquisition(image, **OPTIONS, seed=0)
    assert scan.image.shape == (2, 1, 24, 30)
    assert scan.kspace.shape == scan.coil_maps.shape == (2, 5, 24, 30)
    assert scan.mask.shape == (2, 1, 24, 30)
    assert scan.sigma.tolist() == pytest.approx([0.02, 0.02])
    assert scan.image.dtype == scan.kspace.dtype == scan.coil_maps.dtype == torch.complex64
    assert scan.mask.dtype == torch.bool
    assert scan.mask.sum((1, 2, 3)).tolist() == [240, 240]
    torch.testing.assert_close(scan.image.abs(), image)
    assert (scan.mask[0] != scan.mask[1]).any()


def test_phase_can_be_left_out_and_complex_images_keep_theirs():
    image = torch.randn(12, 10, dtype=torch.complex64, generator=make_generator(0))
    plain = simulate_acquisition(image, **OPTIONS, seed=0, phase=False)
    assert torch.equal(plain.image[0, 0], image)
    turned = simulate_acquisition(image, **OPTIONS, seed=0)
    torch.testing.assert_close(turned.image[0, 0].abs(), image.abs())


def test_the_seed_alone_decides():
    image = torch.rand(16, 16, generator=make_generator(0))
    first = asdict(simulate_acquisition(image, **OPTIONS, seed=7))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = asdict(simulate_acquisition(image, **OPTIONS, seed=7))
    other = asdict(simulate_acquisition(image, **OPTIONS, seed=8))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first if name != "sigma")


def energy(values):
    return values.abs().square().sum((1, 2, 3))


def test_energy_never_grows():
    image = torch.rand(4, 1, 16, 16, generator=make_generator(0))
    scan = simulate_acquisition(image, **{**OPTIONS, "sigma": 0.0}, seed=1)
    assert (energy(scan.kspace) < energy(image)).all()


def test_acquire_leaves_its_inputs_alone():
    image = torch.ones(1, 1, 8, 8, dtype=torch.complex64)
    maps = torch.ones(1, 2, 8, 8, dtype=torch.complex64) / 2**0.5
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    acquire(image, maps, mask, torch.tensor([1.0]), generator=make_generator(0))
    assert (image == 1).all()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.ones(8), r"\(8,\)"),
        (torch.ones(2, 3, 8, 8), "batch, 1"),
        (torch.full((8, 8), float("nan")), "NaN"),
    ],
)
def test_unusable_images_are_refused(image, words):
    with pytest.raises(InputError, match=words):
        simulate_acquisition(image, **OPTIONS, seed=0)


def test_the_full_scan_holds_the_noise_of_the_samples_and_of_those_left_out():
    image = torch.rand(24, 30, generator=make_generator(0))
    scan = simulate_acquisition(image, **OPTIONS, seed=0)
    complete = simulate_acquisition(image, **{**OPTIONS, "acceleration": 1}, seed=0)
    assert complete.mask.all()
    everything = combine_coils(complete.kspace, complete.coil_maps)
    torch.testing.assert_close(complete.full_scan, everything)
    noise = scan.full_scan - scan.image
    # Maps of unit root sum of squares keep the noise of one sample in one pixel.
    assert noise.abs().square().mean().sqrt().item() == pytest.approx(0.02, rel=0.1)


def test_outside_the_support_maps_are_unknown_but_measured():
    generator = make_generator(1)
    image = torch.rand(1, 1, 12, 10, generator=generator) + 0j
    maps = simulate_coil_maps((12, 10), 4, generator=generator)[None]
    mask, sigma = torch.ones(1, 1, 12, 10, dtype=torch.bool), torch.zeros(1)
    support = torch.zeros_like(mask)
    support[..., 3:9, 2:8] = True
    whole = acquire(image, maps, mask, sigma, generator=generator)
    part = acquire(image, maps, mask, sigma, generator=generator, support=support)
    assert torch.equal(part.kspace, whole.kspace)
    for name in ("image", "full_scan", "coil_maps"):
        torch.testing.assert_close(getattr(part, name), getattr(whole, name) * support)


def test_targets_are_the_scan_with_its_noise_or_the_image_without():
    batch = simulate_acquisition(torch.rand(12, 10), **OPTIONS, seed=0)
    assert batch.target("full-scan") is batch.full_scan
    assert batch.target("noise-free") is batch.image
    assert torch.allclose(batch.A.H(batch.y), combine_coils(batch.kspace, batch.coil_maps))
