import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.lipschitz import certified_bound
from molrecon.networks import CNN, MultiscaleStrictCNN, ResidualStrictCNN, Tiled, build_network
from molrecon.networks.blocks import shuffle, unshuffle
from molrecon.networks.bounds import kernel_bound
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.layers import CONVOLUTIONS
from molrecon.networks.multiscale import start_with_block_means

from ..support import normal

ROUNDING = 1 + 1e-12
SMALL = {"features": 4, "coarse_channels": 3, "coarse_features": 5}
SIZES = st.one_of(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
)


def multiscale(*, seed=0, scales=(1, 2, 3), blow_up=1.0, **arguments):
    """A small network in double precision, every parameter random, its kernels large."""
    torch.manual_seed(seed)
    network = MultiscaleStrictCNN(scales=scales, **SMALL | arguments).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(blow_up)
            else:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network.requires_grad_(False)


def dense_jacobian(function, x):
    real = torch.view_as_real(x)
    jacobian = torch.autograd.functional.jacobian(
        lambda u: torch.view_as_real(function(torch.view_as_complex(u))), real
    )
    return jacobian.reshape(real.numel(), real.numel())


@given(SIZES, st.integers(1, 4), st.integers(1, 3))
def test_sorting_blocks_is_an_isometry_and_shuffle_its_adjoint(spatial, scale, channels):
    x = normal(2, channels, *spatial, dtype=torch.float64)
    coarse = unshuffle(x, scale)
    assert coarse.shape[1] == channels * scale ** len(spatial)
    assert coarse.shape[2:] == tuple(math.ceil(n / scale) for n in spatial)
    assert coarse.norm().item() == pytest.approx(x.norm().item())
    assert torch.equal(shuffle(coarse, scale, spatial), x)
    y = normal(*coarse.shape, seed=1, dtype=torch.float64)
    left, right = (coarse * y).sum(), (x * shuffle(y, scale, spatial)).sum()
    assert left.item() == pytest.approx(right.item())


def test_a_block_becomes_the_channels_of_one_pixel():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert unshuffle(x, 2)[0, :, 1, 0].tolist() == [8, 9, 12, 13]


@pytest.mark.parametrize("spatial", [(5, 7), (6, 4), (3, 4, 5)])
def test_the_linear_part_of_a_step_is_bounded_by_its_kernel(spatial):
    """Dense W = K U S of images that are no whole number of blocks."""
    kernel = normal(5, 3 * 2 ** len(spatial), *[3] * len(spatial), dtype=torch.float64)
    zero = torch.zeros(1, 4, *spatial, dtype=torch.float64)

    def linear(z):
        return CONVOLUTIONS[len(spatial)](unshuffle(z[:, :3], 2), kernel, padding=1)

    W = torch.autograd.functional.jacobian(linear, zero).reshape(-1, zero.numel())
    true = torch.linalg.matrix_norm(W, 2).item()
    assert 0.4 * certified_norm(kernel) <= true <= certified_norm(kernel)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    blow_up=st.sampled_from([0.5, 30.0]),
    spatial=st.sampled_from([(4, 5), (5, 3), (1, 6)]),
    sigma=st.sampled_from([1e-3, 0.05, 0.5]),
)
def test_its_dense_jacobian_is_below_the_bound(seed, blow_up, spatial, sigma):
    network = multiscale(seed=seed, blow_up=blow_up, lipschitz=0.9)
    level = torch.tensor([sigma]).double()
    J = dense_jacobian(lambda u: network(u, level), normal(1, 1, *spatial, seed=seed))
    assert torch.linalg.matrix_norm(J, 2).item() <= 0.9 * ROUNDING


def test_the_bound_is_not_empty():
    """Nothing thresholded: the network is its gain times the identity."""
    network = multiscale(lipschitz=0.9)
    for clip in network.clips:
        clip.log_threshold.fill_(-100.0)
        clip.slope.zero_()
    x = normal(1, 1, 5, 7)
    assert torch.allclose(network(x, torch.tensor([0.1]).double()), 0.9 * x)


def test_works_in_three_dimensions():
    network = multiscale(ndim=3, scales=(1, 2), blow_up=9.0)
    level = torch.tensor([0.1]).double()
    x = normal(1, 1, 2, 3, 3)
    J = dense_jacobian(lambda u: network(u, level), x)
    assert torch.linalg.matrix_norm(J, 2).item() <= network.lipschitz_bound() * ROUNDING


def test_a_shift_by_whole_blocks_shifts_the_result():
    network = multiscale(scales=(1, 2, 4))
    level = torch.tensor([0.1]).double()
    x = torch.zeros(1, 1, 72, 72, dtype=torch.complex128)
    x[..., 34:37, 33:38] = normal(3, 5)
    moved = network(x.roll((4, -4), (-2, -1)), level)
    assert torch.allclose(moved, network(x, level).roll((4, -4), (-2, -1)), atol=1e-12)
    assert not torch.allclose(network(x.roll(1, -1), level), network(x, level).roll(1, -1))


def test_block_means_are_all_that_a_new_coarse_step_sees():
    weight = torch.empty(5, 3 * 4, 3, 3, dtype=torch.float64)
    start_with_block_means(weight, 4)
    assert certified_norm(weight) == pytest.approx(1)
    x = normal(1, 3, 8, 8, dtype=torch.float64)
    means = torch.nn.functional.avg_pool2d(x, 2).repeat_interleave(2, -1).repeat_interleave(2, -2)
    response = torch.nn.functional.conv2d(unshuffle(x - means, 2), weight)
    assert response.abs().max().item() < 1e-12 < weight.abs().max().item()


@pytest.mark.parametrize("double", [False, True])
def test_the_certificate_holds_after_the_rounding_of_the_kernels(double):
    torch.manual_seed(1)
    network = MultiscaleStrictCNN(**SMALL, lipschitz=0.95).eval()
    network = network.double() if double else network
    with torch.no_grad():
        for layer in network.convolutions:
            layer.weight.mul_(17.3)
    assert certified_bound(network) <= 0.95 == network.lipschitz_bound()
    # The bound is that of kernels in full use, of norm 1 but for the correction of the grid.
    assert all(kernel_bound(layer) > 0.98 for layer in network.convolutions)


def test_states_no_bound_while_it_trains():
    assert multiscale().train().lipschitz_bound() is None


@given(st.integers(0, 10**6))
def test_is_odd(seed):
    network, level = multiscale(seed=seed), torch.tensor([0.05]).double()
    x = normal(1, 1, 5, 7, seed=seed)
    assert torch.allclose(network(-x, level), -network(x, level))


def test_tiles_of_one_scale_are_exact_and_blocks_have_none():
    network, level = multiscale(scales=(1, 1)), torch.tensor([0.05]).double()
    x = normal(1, 1, 21, 17)
    whole = network(x, level)
    assert torch.allclose(Tiled(network, (6, 5))(x, level), whole, rtol=1e-12, atol=1e-12)
    assert multiscale(scales=(1, 2)).halo is None


def source(layers=2, features=4):
    torch.manual_seed(5)
    return ResidualStrictCNN(features=features, layers=layers, lipschitz=0.9).double().eval()


def test_takes_over_a_trained_network_of_one_scale():
    """Exactly where that has no biases, which are left behind, and new steps are silent."""
    old, network = source(), multiscale(scales=(2, 1, 1, 4, 1), lipschitz=0.9)
    for clip in network.clips:
        clip.log_threshold.fill_(-100.0)
        clip.slope.zero_()
    network.start_from(old)
    x, level = normal(2, 1, 6, 7), torch.tensor([0.01, 0.1]).double()
    with torch.no_grad():
        assert torch.allclose(network(x, level), old(x, level))


def test_takes_over_a_network_of_its_own_kind():
    old, network = multiscale(seed=1), multiscale(seed=2)
    network.start_from(old)
    x, level = normal(1, 1, 6, 7), torch.tensor([0.05]).double()
    assert torch.equal(network(x, level), old(x, level))


@pytest.mark.parametrize("other", [source(layers=3), source(features=6), CNN(features=4)])
def test_a_start_that_does_not_fit_is_refused(other):
    with pytest.raises(InputError, match="initial network"):
        multiscale(scales=(1, 2, 1)).start_from(other)


@pytest.mark.parametrize(
    ("settings_", "sentence"),
    [
        ({"scales": []}, "scales"),
        ({"scales": [1, 0]}, "scales"),
        ({"scales": [1.5]}, "scales"),
        ({"coarse_channels": 1}, "coarse_channels is 1"),
        ({"features": 4, "coarse_channels": 5}, "coarse_channels is 5"),
        ({"lipschitz": 1.2}, "lipschitz"),
        ({"width": 3}, "width"),
    ],
)
def test_settings_out_of_range_are_refused(settings_, sentence):
    with pytest.raises(InputError, match=sentence):
        build_network({"kind": "multiscale-strict", **settings_})


@pytest.mark.parametrize("scales", [(2, 1), (2, 3, 1), (2,)])
@pytest.mark.parametrize("channels", [1, 4])
def test_overwrites_nothing_but_its_own_where_no_gradient_is_recorded(scales, channels):
    """Images as wide as the lift, of which the first step could overwrite the caller's."""
    network = multiscale(scales=scales, channels=channels, coarse_channels=4, blow_up=3.0)
    x = normal(2, channels, 5, 6, dtype=torch.float64)
    for image in (x, x.contiguous(memory_format=torch.channels_last)):
        before = image.clone()
        with torch.no_grad():
            found = network(image, torch.tensor([0.05]))
        assert torch.equal(image, before)
        expected = network(image.clone().requires_grad_(), torch.tensor([0.05]))
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)
