import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.lipschitz import certified_bound
from molrecon.networks import (
    CNN,
    MultiscaleStrictCNN,
    PeriodicStrictCNN,
    Tiled,
    build_network,
)
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.tiled import choose_tile
from molrecon.networks.wrapping import wrapped

from ..support import fresh, normal
from .test_multiscale import dense_jacobian

ROUNDING = 1 + 1e-12
LEVEL = torch.tensor([0.05]).double()
PERIODS = st.tuples(st.integers(1, 6), st.integers(0, 13))


def periodic(*, seed=0, blow_up=1.0, **arguments):
    """A small network in double precision, every parameter random."""
    torch.manual_seed(seed)
    small = {"features": 4, "steps": 2, "temporal_features": 3, "temporal_width": 5}
    network = PeriodicStrictCNN(**small | arguments).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(blow_up)
            else:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network.requires_grad_(False)


@given(PERIODS)
def test_a_period_goes_on_where_it_ends(period):
    length, radius = period
    x = normal(2, 3, length, 2, 1)
    frames = torch.arange(-radius, length + radius) % length
    assert torch.equal(wrapped(x, radius), x[:, :, frames])


@given(PERIODS)
def test_its_derivatives_are_right(period):
    length, radius = period
    x = normal(1, 2, length, 2, 1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda u: wrapped(u, radius), x)
    assert torch.autograd.gradgradcheck(lambda u: wrapped(u, radius).square(), x)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("size", [(3, 3, 3), (5, 1, 1), (5, 3, 1)])
def test_a_circular_convolution_has_its_adjoint_and_its_norm(frames, size):
    layer = fresh(
        NormalisedConvolution(2, 3, ndim=3, kernel_size=size, biased=False, periodic=True)
    ).double()
    weight = 5 * normal(*layer.weight.shape, dtype=torch.float64)
    zero = torch.zeros(1, 2, frames, 3, 4, dtype=torch.float64)
    W = torch.autograd.functional.jacobian(lambda z: layer(z, weight=weight), zero)
    W = W.reshape(-1, zero.numel())
    h = normal(1, 3, frames, 3, 4, dtype=torch.float64)
    assert torch.allclose(layer.transposed(h, weight).flatten(), W.mT @ h.flatten())
    true = torch.linalg.matrix_norm(W, 2).item()
    assert 0.4 * certified_norm(weight) <= true <= certified_norm(weight)


def test_long_kernels_of_one_axis_lose_little_of_their_norm():
    """In training, where the norm is estimated, and certified."""
    layer = fresh(NormalisedConvolution(4, 3, ndim=3, kernel_size=(9, 1, 1), periodic=True))
    kernel = layer.weight.detach()
    spectrum = torch.fft.fft(kernel[..., 0, 0].double(), n=4096)
    true = torch.linalg.svdvals(spectrum.permute(2, 0, 1)).max().item()
    assert true <= certified_norm(layer.weight) <= 1.006 * true
    for _ in range(20):
        layer._estimate = None
        estimate = layer._estimated_norm().item()
    assert 0.97 * true <= estimate <= 1.006 * true


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    blow_up=st.sampled_from([0.5, 30.0]),
    spatial=st.sampled_from([(4, 2, 3), (1, 3, 2), (7, 1, 2)]),
    sigma=st.sampled_from([1e-3, 0.05, 0.5]),
)
def test_its_dense_jacobian_is_below_the_bound(seed, blow_up, spatial, sigma):
    network = periodic(seed=seed, blow_up=blow_up, lipschitz=0.9)
    level = torch.tensor([sigma]).double()
    J = dense_jacobian(lambda u: network(u, level), normal(1, 1, *spatial, seed=seed))
    assert torch.linalg.matrix_norm(J, 2).item() <= 0.9 * ROUNDING


def test_certified_in_single_precision_and_silent_in_training():
    network = periodic(blow_up=17.3, lipschitz=0.95).float()
    assert certified_bound(network) <= 0.95 == network.lipschitz_bound()
    assert network.train().lipschitz_bound() is None


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_is_odd_and_knows_no_first_frame(seed, shift):
    network, x = periodic(seed=seed), normal(1, 1, 5, 4, 3, seed=seed)
    result = network(x, LEVEL)
    assert torch.allclose(network(-x, LEVEL), -result)
    assert torch.allclose(network(x.roll(shift, 2), LEVEL), result.roll(shift, 2))


@pytest.mark.parametrize("tile", [(6, 3, 4), (9, 5, 2)])
def test_tiles_of_whole_periods_are_exact(tile):
    network, x = periodic(), normal(1, 1, 6, 11, 9)
    assert torch.allclose(Tiled(network, tile)(x, LEVEL), network(x, LEVEL), rtol=1e-12)


def test_a_period_is_not_cut():
    x = normal(1, 1, 6, 7, 8)
    with pytest.raises(InputError, match="axis 0"):
        Tiled(periodic(), (3, 7, 8))(x, LEVEL)
    assert choose_tile((100, 20, 20), 2, 12_000) != choose_tile((100, 20, 20), 2, 12_000, (0,))
    for pixels in (30_000, 12_000, 3_000):
        chosen = choose_tile((100, 20, 20), 2, pixels, (0,))
        assert chosen is not None
        assert chosen[0] == 100
    assert choose_tile((100, 20, 20), 2, 99, (0,)) is None


def trained(**arguments):
    torch.manual_seed(5)
    small = {"ndim": 3, "features": 4, "coarse_channels": 2}
    return MultiscaleStrictCNN(**small | arguments).double().eval()


def test_takes_over_a_trained_network_of_one_scale():
    """Exactly where time is not seen, and the temporal steps are silent."""
    old, network = trained(scales=(1, 1), lipschitz=0.9), periodic(lipschitz=0.9)
    with torch.no_grad():
        for layer in old.convolutions:
            layer.weight[:, :, [0, 2]] = 0
        for clip in network.clips:
            clip.log_threshold.fill_(-100.0)
            clip.slope.zero_()
    network.start_from(old)
    x, level = normal(2, 1, 5, 6, 7), torch.tensor([0.01, 0.1]).double()
    with torch.no_grad():
        assert torch.allclose(network(x, level), old(x, level))


def test_takes_over_a_network_of_its_own_kind():
    old, network = periodic(seed=1), periodic(seed=2)
    network.start_from(old)
    x = normal(1, 1, 3, 6, 7)
    assert torch.equal(network(x, LEVEL), old(x, LEVEL))


@pytest.mark.parametrize(
    "other",
    [trained(scales=(1, 1, 1)), trained(scales=(1,), features=6), trained(scales=(1, 2)), CNN()],
)
def test_a_start_that_does_not_fit_is_refused(other):
    with pytest.raises(InputError, match="initial network"):
        periodic().start_from(other)


@pytest.mark.parametrize(
    ("settings_", "sentence"),
    [
        ({"ndim": 2}, "ndim: found 2, expected 3"),
        ({"steps": 0}, "steps: found 0"),
        ({"features": 1}, "features is 1"),
        ({"temporal_features": 0}, "temporal_features: found 0"),
        ({"temporal_width": 4}, "odd width"),
        ({"lipschitz": 1.2}, "lipschitz"),
        ({"width": 3}, "width"),
    ],
)
def test_settings_out_of_range_are_refused(settings_, sentence):
    with pytest.raises(InputError, match=sentence):
        build_network({"kind": "periodic-strict", **settings_})
