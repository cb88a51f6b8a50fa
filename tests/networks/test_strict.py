import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.networks import ResidualCNN, ResidualStrictCNN, SpectralCNN
from molrecon.networks.convolution_norm import (
    certified_norm,
    frequency_grid,
    transfer_function,
    transfer_matrix,
)
from molrecon.networks.normalised import NormalisedConvolution
from molrecon.operators.base import norm

from ..support import fresh, normal

ROUNDING = 1 + 1e-12
STRICT = [ResidualStrictCNN, SpectralCNN]


def strict(kind, *, ndim=2, seed=0, blow_up=1.0, **arguments):
    """A small strict network in double precision; ``blow_up`` multiplies its raw weights."""
    torch.manual_seed(seed)
    network = kind(ndim=ndim, features=4, layers=3, **arguments).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(blow_up)
    return network.eval()


@pytest.mark.parametrize("points", [8, 9])
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_transfer_matrix_is_the_transfer_function_at_one_frequency(ndim, points):
    weight = normal(3, 2, *[3] * ndim, dtype=torch.float64)
    grid = frequency_grid(points, ndim).double()
    every = transfer_function(weight, points)
    for index in (0, 1, len(grid) // 2, len(grid) - 1):
        assert torch.allclose(transfer_matrix(weight, grid[index]), every[index])


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_a_normalised_convolution_has_norm_at_most_one_and_keeps_small_kernels(scale):
    layer = fresh(NormalisedConvolution(3, 5))
    with torch.no_grad():
        layer.weight.mul_(scale / certified_norm(layer.weight))
    layer.eval()
    assert certified_norm(layer.normalised_weight()) == pytest.approx(min(scale, 1), abs=2e-4)


def test_the_persistent_estimate_reaches_the_norm_on_the_grid():
    layer = fresh(NormalisedConvolution(4, 6))
    with torch.no_grad():
        layer.weight.mul_(7)
    for _ in range(40):
        with torch.no_grad():
            layer.weight.mul_(1.0)  # an optimiser step, as far as the layer can tell
            estimate = (layer.weight / layer.normalised_weight()).flatten()[0]
    assert estimate.item() == pytest.approx(certified_norm(layer.weight), rel=1e-3)


@pytest.mark.parametrize("width", [7, 15, 31, 41])
def test_wide_kernels_are_normalised_in_training_as_in_evaluation(width):
    torch.manual_seed(width)
    layer = fresh(NormalisedConvolution(2, 3, kernel_size=width))
    for step in range(40):
        with torch.no_grad():
            layer.weight.mul_(1.0 if step else 9.0)
            estimate = (layer.weight / layer.normalised_weight()).flatten()[0]
    assert estimate.item() == pytest.approx(certified_norm(layer.weight), rel=2e-2)


def test_the_estimate_advances_only_with_the_weights():
    layer = fresh(NormalisedConvolution(4, 6))
    with torch.no_grad():
        layer.weight.mul_(7)
    first = layer.normalised_weight()
    assert torch.equal(layer.normalised_weight(), first)
    with torch.no_grad():
        layer.weight.mul_(1.0)
    assert not torch.equal(layer.normalised_weight(), first)


def test_the_normalised_kernel_does_not_feel_its_own_scale():
    layer = fresh(NormalisedConvolution(3, 3)).double()
    with torch.no_grad():
        layer.weight.mul_(9)
    for _ in range(60):
        with torch.no_grad():
            layer.weight.mul_(1.0)
        kernel = layer.normalised_weight()
    direction = normal(*kernel.shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((kernel * direction).sum(), layer.weight)
    # w / ‖w‖ is constant along w.
    assert (gradient * layer.weight).sum().item() == pytest.approx(0, abs=1e-6)


def test_transposed_is_the_adjoint():
    layer = fresh(NormalisedConvolution(3, 5)).double()
    x, y = normal(1, 3, 6, 7, dtype=torch.float64), normal(1, 5, 6, 7, dtype=torch.float64)
    with torch.no_grad():
        layer.bias.zero_()
        forward, backward = layer(x, weight=layer.weight), layer.transposed(y, layer.weight)
    assert (forward * y).sum().item() == pytest.approx((x * backward).sum().item())


@pytest.mark.parametrize("kind", STRICT)
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    blow_up=st.sampled_from([0.5, 3.0, 30.0]),
    size=st.sampled_from([1e-3, 1.0, 10.0]),
    sigma=st.floats(1e-4, 1.0),
)
def test_never_exceeds_its_bound(kind, seed, blow_up, size, sigma):
    network = strict(kind, seed=seed, blow_up=blow_up, lipschitz=0.9)
    level = torch.tensor([sigma]).double()
    x, z = normal(1, 1, 7, 6, seed=seed), normal(1, 1, 7, 6, seed=seed + 1)
    z = x + size * z
    with torch.no_grad():
        gain = norm(network(x, level) - network(z, level)) / norm(x - z)
    assert gain.item() <= 0.9 * ROUNDING
    local = jacobian_norm(lambda u: network(u, level), x, max_iterations=20)
    assert local.value.item() <= 0.9 * ROUNDING


@pytest.mark.parametrize("kind", STRICT)
def test_the_bound_survives_weights_changed_behind_its_back(kind):
    network = strict(kind)
    level, x = torch.tensor([0.1]).double(), normal(1, 1, 7, 6)
    network(x, level)
    for layer in network.convolutions:
        layer.weight.data.mul_(50)
    assert jacobian_norm(lambda u: network(u, level), x).value.item() <= network.lipschitz
    assert all(certified_norm(c.normalised_weight()) <= 1 + 2e-5 for c in network.convolutions)


@pytest.mark.parametrize("kind", STRICT)
def test_works_in_three_dimensions(kind):
    network = strict(kind, ndim=3, blow_up=5.0)
    level = torch.tensor([0.1]).double()
    x = normal(1, 1, 4, 5, 3)
    assert network(x, level).shape == x.shape
    assert jacobian_norm(lambda u: network(u, level), x).value.item() <= network.lipschitz


@pytest.mark.parametrize("kind", STRICT)
def test_states_its_bound_in_evaluation_mode_only(kind):
    network = strict(kind, lipschitz=0.95)
    assert network.lipschitz_bound() == 0.95
    assert network.train().lipschitz_bound() is None
    with pytest.raises(InputError, match="lipschitz"):
        kind(lipschitz=1.5)


def test_residual_layers_can_pass_the_image_unchanged():
    network = strict(ResidualStrictCNN, lipschitz=1.0)
    with torch.no_grad():
        for clip in network.clips:
            clip.log_threshold.fill_(-100.0)  # nothing passes
    x = normal(1, 1, 6, 6)
    assert torch.allclose(network(x, torch.tensor([0.1]).double()), x)


def test_the_chain_starts_near_the_identity():
    torch.manual_seed(0)
    network = SpectralCNN(features=16, layers=5, lipschitz=1.0).eval()
    x = 0.5 * torch.polar(torch.rand(1, 1, 16, 16), 6.28 * torch.rand(1, 1, 16, 16))
    with torch.no_grad():
        inside = (network(x, torch.tensor([0.05])) - x)[..., 5:-5, 5:-5]
    assert norm(inside) < 0.5 * norm(x[..., 5:-5, 5:-5])


def test_grid_is_fine_enough_for_the_slack_it_leaves():
    weight = normal(2, 2, 3, 3, dtype=torch.float64)
    fine = torch.linalg.svdvals(transfer_function(weight, 256)).max().item()
    assert fine <= certified_norm(weight) <= 1.011 * fine


def test_a_residual_network_takes_over_a_strict_one_exactly():
    source = strict(ResidualStrictCNN, blow_up=4.0, lipschitz=0.9)
    network = ResidualCNN(features=4, layers=3).double()
    network.start_from(source)
    x, level = normal(2, 1, 6, 7), torch.tensor([0.01, 0.1]).double()
    with torch.no_grad():
        assert torch.allclose(network(x, level), source(x, level))


def test_a_new_residual_network_is_nonexpansive_and_says_nothing_about_it():
    torch.manual_seed(3)
    network = ResidualCNN(features=6, layers=3, gain=0.9).double()
    x, level = normal(1, 1, 8, 7), torch.tensor([0.1]).double()
    assert jacobian_norm(lambda u: network(u, level), x).value.item() <= 0.9
    assert network.lipschitz_bound() is None


@pytest.mark.parametrize(
    "other", [ResidualCNN(features=8, layers=3), ResidualStrictCNN(features=4, layers=2)]
)
def test_a_start_that_does_not_fit_is_refused(other):
    with pytest.raises(InputError, match="initial network"):
        ResidualCNN(features=4, layers=3).start_from(other)


@pytest.mark.parametrize("kind", [ResidualCNN, ResidualStrictCNN])
def test_fewer_features_than_channels_are_refused(kind):
    with pytest.raises(InputError, match="features"):
        kind(features=1)
