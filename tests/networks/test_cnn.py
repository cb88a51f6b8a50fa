import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.networks import CNN, NETWORKS, build_network
from molrecon.networks.convolution_norm import certified_norm

from ..support import normal, random_cnn


def weights(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_has_the_weights_of_the_published_network():
    assert weights(CNN(noise_conditioned=False)) == 113_154
    # Noise conditioning adds one number for every bias.
    assert weights(CNN()) == 113_154 + 4 * 64 + 2


@pytest.mark.parametrize("spatial", [(7, 6), (4, 3, 5)])
def test_the_same_code_in_two_and_three_dimensions(spatial):
    network = random_cnn(ndim=len(spatial))
    x = normal(2, 1, *spatial)
    out = network(x, torch.tensor([0.01, 0.1]).double())
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert out.is_contiguous()


def test_is_the_chain_of_its_layers():
    network = random_cnn(noise_conditioned=False)
    x = normal(1, 1, 5, 6)
    z = torch.cat([x.real, x.imag], dim=1)
    for number, layer in enumerate(network.convolutions):
        z = torch.nn.functional.conv2d(z, layer.weight, layer.bias, padding=1)
        z = z.clamp_min(0) if number < 2 else z
    assert torch.allclose(network(x), torch.complex(z[:, :1], z[:, 1:]))


@pytest.mark.parametrize("spatial", [(12, 14), (9, 10, 11)])
def test_translation_moves_the_interior_along(spatial):
    network = random_cnn(ndim=len(spatial), noise_conditioned=False)
    x = normal(1, 1, *spatial)
    dims = tuple(range(2, x.ndim))
    moved = network(x.roll((1,) * len(spatial), dims))
    expected = network(x).roll((1,) * len(spatial), dims)
    # Three layers reach three pixels; one more for the roll.
    interior = (..., *[slice(4, -3)] * len(spatial))
    assert torch.allclose(moved[interior], expected[interior])
    assert not torch.allclose(moved, expected)


def test_samples_do_not_interact():
    network = random_cnn()
    x, sigma = normal(2, 1, 6, 6), torch.tensor([0.01, 0.1]).double()
    assert torch.allclose(network(x, sigma)[1:], network(x[1:], sigma[1:]))


def test_noise_level_moves_the_output_and_not_the_bound():
    network = random_cnn()
    bound = math.prod(certified_norm(layer.weight) for layer in network.convolutions)
    x = normal(1, 1, 6, 6)
    outputs = []
    for level in (1e-3, 2e-2, 0.3):
        sigma = torch.tensor([level]).double()
        measured = jacobian_norm(lambda z, s=sigma: network(z, s), x)
        assert 0 < measured.value.item() <= bound
        outputs.append(network(x, sigma))
    assert (outputs[0] - outputs[1]).norm() > 0.1 * outputs[0].norm()
    assert (outputs[1] - outputs[2]).norm() > 0.1 * outputs[0].norm()


def test_one_noise_level_serves_a_whole_batch():
    network = random_cnn()
    x = normal(2, 1, 5, 5)
    one, each = (torch.full((n,), 0.02).double() for n in (1, 2))
    assert torch.equal(network(x, one), network(x, each))


def test_real_images_with_channels():
    network = random_cnn(channels=3, noise_conditioned=False)
    x = normal(2, 3, 5, 6, dtype=torch.float64)
    assert network(x).shape == x.shape
    assert not network(x).is_complex()


def test_a_plain_network_has_no_proved_bound():
    assert CNN().lipschitz_bound() is None


def test_missing_noise_level_is_refused():
    with pytest.raises(InputError, match="give sigma"):
        random_cnn()(normal(1, 1, 5, 5))


@pytest.mark.parametrize("shape", [(1, 1, 4, 5, 6), (1, 1, 5)])
def test_images_of_another_kind_are_refused(shape):
    with pytest.raises(InputError, match="2 spatial axes and 2 real channels, found"):
        random_cnn(noise_conditioned=False)(normal(*shape))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"kind": "cnn", "layers": 1}, "layers: found 1, expected at least 2"),
        ({"kind": "cnn", "features": 0}, "features: found 0, expected at least 1"),
        ({"kind": "cnn", "width": 3}, "width: there is no such setting"),
        ({"kind": "cnn", "features": "32"}, "features: found '32', expected a whole number"),
        ({"kind": "cnn", "features": True}, "features: found True, expected a whole number"),
        ({"kind": "cnn", "kernel_size": 4}, "kernel_size: found 4, expected an odd width"),
        ({"kind": "cnn", "ndim": 4}, "ndim: found 4, expected 2 or 3"),
        ({"kind": "residual", "layers": -1}, "layers: found -1, expected at least 1"),
        ({"kind": "residual", "features": 1}, "features is 1, expected at least channels = 2"),
        ({"kind": "residual", "gain": 0}, "gain: found 0, expected more than 0"),
        ({"kind": "spectral", "features": 1}, "features is 1, expected at least channels = 2"),
        ({"kind": "unet", "poolings": 0}, "poolings: found 0, expected at least 1"),
        ({"kind": "transformer"}, "the kind is 'transformer', expected one of"),
        ({}, "the kind is None"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(config, sentence):
    with pytest.raises(InputError, match=sentence):
        build_network(config)


def test_built_from_a_configuration():
    config = {"kind": "cnn", "features": 5, "layers": 2, "ndim": 3}
    network = build_network(config)
    assert isinstance(network, NETWORKS["cnn"])
    assert [tuple(layer.weight.shape) for layer in network.convolutions] == [
        (5, 2, 3, 3, 3),
        (2, 5, 3, 3, 3),
    ]
    assert config["kind"] == "cnn"


@torch.no_grad()
def test_a_residual_one_adds_the_image_and_starts_as_the_identity():
    x = normal(2, 1, 7, 6)
    chain, residual = random_cnn(), random_cnn(residual=True)
    residual.load_state_dict(chain.state_dict())
    sigma = torch.tensor([0.03]).double()
    assert torch.allclose(residual(x, sigma), x + chain(x, sigma))
    new = CNN(features=4, layers=3, residual=True).double()
    assert torch.equal(new(x, sigma), x)
