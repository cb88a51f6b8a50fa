import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.networks.layers import NOISE_RANGE, Convolution, as_channels, as_image, noise_code

from ..support import normal


@pytest.mark.parametrize("spatial", [(4, 5), (2, 3, 4)])
@pytest.mark.parametrize("channels", [1, 2])
def test_channels_and_back(spatial, channels):
    x = normal(2, channels, *spatial, dtype=torch.complex64)
    split = as_channels(x)
    assert split.shape == (2, 2 * channels, *spatial)
    assert not split.is_complex()
    assert torch.equal(split[:, :channels], x.real)
    assert torch.equal(as_image(split, like=x), x)
    assert torch.allclose(split.square().sum(), x.abs().square().sum())


def test_real_images_pass_unchanged():
    x = normal(2, 3, 4, 5, dtype=torch.float32)
    assert torch.equal(as_channels(x), x)
    assert torch.equal(as_image(as_channels(x), like=x), x)


def test_noise_code_is_logarithmic_and_clamped():
    low, high = NOISE_RANGE
    sigma = torch.tensor([low / 9, low, math.sqrt(low * high), high, 9 * high], dtype=torch.float64)
    expected = torch.tensor([-1.0, -1.0, 0.0, 1.0, 1.0]).double()
    assert torch.allclose(noise_code(sigma), expected, atol=1e-12)


@pytest.mark.parametrize("spatial", [(5, 6), (3, 4, 5)])
def test_convolution_is_a_correlation_with_zero_padding(spatial):
    torch.manual_seed(0)
    ndim = len(spatial)
    layer = Convolution(1, 1, ndim=ndim).double()
    x = torch.zeros(1, 1, *spatial, dtype=torch.float64)
    centre = tuple(n // 2 for n in spatial)
    x[(0, 0, *centre)] = 1
    out = layer(x)[0, 0]
    window = tuple(slice(c - 1, c + 2) for c in centre)
    assert torch.allclose(out[window], layer.weight[0, 0].flip(tuple(range(ndim))))
    assert out.shape == spatial


def test_noise_biases_move_every_sample_by_its_own_code():
    layer = Convolution(2, 3, noise_conditioned=True)
    torch.nn.init.normal_(layer.noise_bias)
    x = normal(2, 2, 4, 5, dtype=torch.float32)
    code = torch.tensor([0.0, -0.5])
    moved = layer(x, code) - layer(x, torch.zeros(2))
    assert moved[0].abs().max() == 0
    expected = (-0.5 * layer.noise_bias)[:, None, None].expand(3, 4, 5)
    assert torch.allclose(moved[1], expected, atol=1e-6)


def test_a_weight_can_be_put_in_place_of_the_own_one():
    layer = Convolution(2, 2)
    x = normal(1, 2, 4, 5, dtype=torch.float32)
    assert torch.allclose(layer(x, weight=2 * layer.weight), 2 * layer(x), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"ndim": 4}, "ndim is 4, expected 2 or 3"),
        ({"kernel_size": 2}, "kernel_size is 2, expected an odd width"),
        ({"kernel_size": -1}, "kernel_size is -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        Convolution(1, 1, **arguments)
