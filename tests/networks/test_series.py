import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.lipschitz import certified_bound
from molrecon.networks import (
    CNN,
    MultiscaleStrictCNN,
    SeriesStrictCNN,
    Tiled,
    build_network,
)
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.guide import GuideSettings, SeriesGuide, ThresholdGuide
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.networks.series import along_time, as_frames, as_series, within_frames
from molrecon.networks.tiled import choose_tile
from molrecon.networks.wrapping import wrapped

from ..support import fresh, normal
from .test_multiscale import dense_jacobian

ROUNDING = 1 + 1e-12
LEVEL = torch.tensor([0.05]).double()
PERIODS = st.tuples(st.integers(1, 6), st.integers(0, 13))


def series(*, seed=0, blow_up=1.0, **arguments):
    """A small network in double precision, every parameter random."""
    torch.manual_seed(seed)
    small = {"features": 4, "coarse_channels": 3, "coarse_features": 5, "temporal_width": 5}
    small["scales"] = (1, 2)
    network = SeriesStrictCNN(**small | arguments).double().eval()
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


@pytest.mark.parametrize("seed", range(5))
def test_long_kernels_of_one_axis_lose_little_of_their_norm(seed):
    """In training, where the norm is estimated, and certified."""
    torch.manual_seed(seed)
    layer = fresh(NormalisedConvolution(4, 3, kernel_size=(9, 1), periodic=True))
    kernel = layer.weight.detach()
    spectrum = torch.fft.fft(kernel[..., 0].double(), n=4096)
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
    network = series(seed=seed, blow_up=blow_up, lipschitz=0.9)
    level = torch.tensor([sigma]).double()
    J = dense_jacobian(lambda u: network(u, level), normal(1, 1, *spatial, seed=seed))
    assert torch.linalg.matrix_norm(J, 2).item() <= 0.9 * ROUNDING


def test_certified_in_single_precision_and_silent_in_training():
    network = series(blow_up=17.3, lipschitz=0.95).float()
    assert certified_bound(network) <= 0.95 == network.lipschitz_bound()
    assert network.train().lipschitz_bound() is None


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_is_odd_and_knows_no_first_frame(seed, shift):
    network, x = series(seed=seed), normal(1, 1, 5, 4, 3, seed=seed)
    result = network(x, LEVEL)
    assert torch.allclose(network(-x, LEVEL), -result)
    assert torch.allclose(network(x.roll(shift, 2), LEVEL), result.roll(shift, 2))


@pytest.mark.parametrize("tile", [(6, 3, 4), (9, 5, 2)])
def test_tiles_of_whole_periods_are_exact(tile):
    network, x = series(scales=(1, 1)), normal(1, 1, 6, 11, 9)
    assert torch.allclose(Tiled(network, tile)(x, LEVEL), network(x, LEVEL), rtol=1e-12)


def test_a_period_is_not_cut():
    x = normal(1, 1, 6, 7, 8)
    with pytest.raises(InputError, match="axis 0"):
        Tiled(series(scales=(1, 1)), (3, 7, 8))(x, LEVEL)
    assert choose_tile((100, 20, 20), 2, 12_000) != choose_tile((100, 20, 20), 2, 12_000, (0,))
    for pixels in (30_000, 12_000, 3_000):
        chosen = choose_tile((100, 20, 20), 2, pixels, (0,))
        assert chosen is not None
        assert chosen[0] == 100
    assert choose_tile((100, 20, 20), 2, 99, (0,)) is None


def trained(**arguments):
    torch.manual_seed(5)
    small = {"features": 4, "coarse_channels": 3, "coarse_features": 5, "scales": (1, 2)}
    return MultiscaleStrictCNN(**small | arguments).double().eval()


def silent(network):
    """The same with steps along time that change nothing."""
    with torch.no_grad():
        for clip in network.clips[1::2]:
            clip.log_threshold.fill_(-100.0)
            clip.slope.zero_()
    return network


def test_takes_over_a_trained_network_of_slices():
    """It is that of every frame, where the steps along time are silent."""
    old, network = trained(lipschitz=0.9), series(lipschitz=0.9)
    network.start_from(old)
    x, level = normal(2, 1, 5, 6, 7), torch.tensor([0.01, 0.1]).double()
    with torch.no_grad():
        frames = torch.stack([old(one, level) for one in x.unbind(2)], dim=2)
        assert not torch.allclose(network(x, level), frames)
        assert torch.allclose(silent(network)(x, level), frames)


def test_frames_are_sorted_and_back():
    x = normal(2, 3, 4, 5, 6, dtype=torch.float64)
    frames = as_frames(x)
    assert torch.equal(frames[5], x[1, :, 1])
    assert torch.equal(as_series(frames, 4), x)
    times = along_time(frames, 4)
    assert torch.equal(times[1, :, :, 8], x[1, :, :, 1, 2])
    assert torch.equal(within_frames(times, frames), frames)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 4))
def test_no_thresholds_raise_the_lipschitz_constant(seed, spread):
    plain, spatial = series(seed=seed, lipschitz=0.9), (3, 3, 2)
    x = normal(1, 1, *spatial, seed=seed)
    with torch.no_grad():
        factors = [
            (spread * normal(*one.shape, seed=seed, dtype=torch.float64)).exp()
            for one in SeriesGuide(plain, features=4, coarse_features=8).double()(x, LEVEL)
        ]
    guided = plain.at_thresholds(factors)
    J = dense_jacobian(lambda u: guided(u, LEVEL), x)
    assert torch.linalg.matrix_norm(J, 2).item() <= 0.9 * ROUNDING
    assert certified_bound(guided) == pytest.approx(0.9)


def speaking(guide):
    """The same with factors that are not 1."""
    torch.manual_seed(3)
    with torch.no_grad():
        for layer in (guide.fine_factors, guide.coarse_factors):
            layer.weight.normal_()
    return guide.double()


@torch.no_grad()
def test_a_guide_of_slices_becomes_one_of_every_frame():
    """The steps along time keep their thresholds."""
    of_slices, network = trained(lipschitz=0.9), series(lipschitz=0.9)
    old = speaking(ThresholdGuide(of_slices, features=4, coarse_features=8))
    made = SeriesGuide(network, features=4, coarse_features=8).double()
    made.start_from(old)
    x, level = normal(2, 1, 5, 6, 7), torch.tensor([0.01, 0.1]).double()
    found = made(x, level)
    for number, expected in enumerate(old(x[1].transpose(0, 1), level[1:].expand(5))):
        assert torch.allclose(found[2 * number][5:], expected)
        assert (found[2 * number + 1] == 1).all()
    assert max(float(one.log().abs().max()) for one in found) > 0.1
    again = SeriesGuide(network, features=4, coarse_features=8).double()
    again.start_from(made)
    assert all(map(torch.equal, found, again(x, level)))


@torch.no_grad()
def test_the_guide_of_series_knows_neither_unit_nor_sign_nor_first_frame():
    made = speaking(SeriesGuide(series(), features=4, coarse_features=8))
    made.times.weight.normal_()
    x = normal(1, 1, 5, 6, 7)
    base = made(x, LEVEL)
    for other, level in ((-x, LEVEL), (8 * x, 8 * LEVEL)):
        assert all(map(torch.allclose, made(other, level), base))
    for number, (moved, factors) in enumerate(zip(made(x.roll(2, 2), LEVEL), base, strict=True)):
        axis = 2 if number % 2 else 0
        assert torch.allclose(moved, factors.roll(2, axis))
    still = x[:, :, :1].expand_as(x)
    changed = zip(made(still, LEVEL), base, strict=True)
    assert any(not torch.allclose(one, other) for one, other in changed)


def test_a_guide_of_series_asks_for_a_network_of_series():
    with pytest.raises(InputError, match="expected a SeriesStrictCNN"):
        SeriesGuide(trained())
    assert type(GuideSettings(features=4).guide(series())) is SeriesGuide
    assert type(GuideSettings(features=4).guide(trained())) is ThresholdGuide


def test_takes_over_a_network_of_its_own_kind():
    old, network = series(seed=1), series(seed=2)
    network.start_from(old)
    x = normal(1, 1, 3, 6, 7)
    assert torch.equal(network(x, LEVEL), old(x, LEVEL))


@pytest.mark.parametrize(
    "other",
    [trained(scales=(1, 2, 1)), trained(features=6), trained(scales=(2, 1)), CNN()],
)
def test_a_start_that_does_not_fit_is_refused(other):
    with pytest.raises(InputError, match="initial network"):
        series().start_from(other)


@pytest.mark.parametrize(
    ("settings_", "sentence"),
    [
        ({"ndim": 2}, "ndim: found 2, expected 3"),
        ({"scales": []}, "scales"),
        ({"features": 1, "coarse_channels": 1}, "features is 1"),
        ({"temporal_width": 4}, "odd width"),
        ({"lipschitz": 1.2}, "lipschitz"),
        ({"width": 3}, "width"),
    ],
)
def test_settings_out_of_range_are_refused(settings_, sentence):
    with pytest.raises(InputError, match=sentence):
        build_network({"kind": "series-strict", **settings_})
