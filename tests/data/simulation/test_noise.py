import math

import pytest
import torch

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.noise import add_noise
from molrecon.errors import InputError


def test_sigma_is_the_deviation_per_complex_sample():
    clean = torch.full((4, 100, 100), 3 - 2j, dtype=torch.complex64)
    noise = add_noise(clean, 0.5, generator=make_generator(0)) - clean
    assert noise.abs().square().mean().sqrt().item() == pytest.approx(0.5, rel=0.02)
    assert noise.real.std().item() == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    assert noise.imag.std().item() == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    neighbours = (noise[..., 1:] * noise[..., :-1].conj()).mean().abs().item()
    assert neighbours < 0.02 * 0.25 * 3


def test_noise_falls_on_sampled_points_only():
    clean = torch.ones(3, 20, 20, dtype=torch.complex64)
    mask = torch.rand(1, 20, 20, generator=make_generator(1)) < 0.3
    changed = add_noise(clean, 1.0, mask=mask, generator=make_generator(0)) != clean
    assert torch.equal(changed, mask.expand(3, 20, 20))


def test_each_sample_of_a_batch_has_its_own_sigma():
    clean = torch.zeros(2, 4, 50, 50, dtype=torch.complex64)
    sigma = torch.tensor([0.1, 2.0]).reshape(2, 1, 1, 1)
    noisy = add_noise(clean, sigma, generator=make_generator(0))
    measured = noisy.abs().square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(measured, sigma.flatten(), rtol=0.05, atol=0)


def test_precision_is_kept():
    clean = torch.zeros(5, 5, dtype=torch.complex128)
    assert add_noise(clean, 1.0, generator=make_generator(0)).dtype == torch.complex128


@pytest.mark.parametrize("sigma", [-1.0, math.nan, math.inf])
def test_impossible_sigma_is_refused(sigma):
    with pytest.raises(InputError, match="sigma"):
        add_noise(torch.zeros(2, dtype=torch.complex64), sigma, generator=make_generator(0))
