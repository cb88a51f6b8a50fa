"""Certified bounds of whole networks: above everything that is true, and refused where unknown."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from molrecon.errors import NoBoundError
from molrecon.lipschitz import certified_bound, measure
from molrecon.networks import CNN, NETWORKS, ResidualCNN, ResidualStrictCNN, SpectralCNN
from molrecon.networks.bounds import kernel_bound, proved_bound, step_bound
from molrecon.networks.convolution_norm import VERIFICATION_MARGIN, certified_norm
from molrecon.networks.normalised import NormalisedConvolution

from ..support import fresh, normal

LEVEL = torch.tensor([0.05]).double()
SMALL = {
    "cnn": {"features": 4, "layers": 3},
    "kernel-normalised": {"features": 4, "layers": 3},
    "multiscale-strict": {
        "features": 4,
        "scales": [1, 2],
        "coarse_features": 3,
        "coarse_channels": 3,
    },
    "planes": {"plane": {"kind": "residual-strict", "features": 4, "layers": 2}},
    "residual": {"features": 4, "layers": 2},
    "residual-strict": {"features": 4, "layers": 2},
    "series-strict": {"features": 4, "scales": [1, 2], "coarse_features": 3, "coarse_channels": 3},
    "spectral": {"features": 4, "layers": 3},
    "unet": {"features": 2, "poolings": 1},
}
VOLUMES = ("planes", "series-strict")


def random_network(kind, *, seed=0, spread=0.3, ndim=2, **arguments):
    """All weights and biases random, in double precision."""
    torch.manual_seed(seed)
    network = NETWORKS[kind](ndim=ndim, **SMALL[kind], **arguments).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return network.requires_grad_(False)


def test_every_network_has_one():
    assert set(SMALL) == set(NETWORKS)


@pytest.mark.parametrize("kind", SMALL)
@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.05, 0.3, 1.0]))
def test_is_never_below_attack_and_local_values(kind, seed, spread):
    spatial = (3, 4, 3) if kind in VOLUMES else (7, 5)
    network = random_network(kind, seed=seed, spread=spread, ndim=len(spatial))
    found = measure(
        lambda x: network(x, LEVEL), normal(1, 1, *spatial, seed=seed), starts=1, steps=6, tol=1e-3
    )
    bound = certified_bound(network)
    slack = 1 + 1e-9
    assert found.attack.value.item() <= (found.local.norm + found.local.norm_error).item() * slack
    assert found.local.symmetric.item() <= found.local.norm.item() * (1 + 1e-2)
    assert found.attack.value.item() <= bound * slack
    assert found.local.norm.item() <= bound * slack


@pytest.mark.parametrize("kind", SMALL)
def test_holds_in_three_dimensions(kind):
    network = random_network(kind, ndim=3, spread=0.1)
    x, z = normal(1, 1, 3, 4, 5), normal(1, 1, 3, 4, 5, seed=1)
    moved = (network(x, LEVEL) - network(z, LEVEL)).norm() / (x - z).norm()
    assert moved.item() <= certified_bound(network)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.1, 3.0))
def test_a_step_is_bounded_whatever_its_norm(seed, size):
    """Differences are multiplied by I − 2WᵀDW, densely here."""
    weight = normal(4, 3, seed=seed, dtype=torch.float64)
    weight = size * weight / torch.linalg.matrix_norm(weight, 2)
    D = torch.rand(4, generator=torch.Generator().manual_seed(seed)).double().round(decimals=1)
    matrix = torch.eye(3, dtype=torch.float64) - 2 * weight.T @ (D[:, None] * weight)
    assert torch.linalg.matrix_norm(matrix, 2).item() <= step_bound(size) + 1e-12


def test_chains_and_sums():
    network = random_network("cnn", residual=True)
    product = math.prod(certified_norm(c.weight) for c in network.convolutions)
    assert certified_bound(network) == pytest.approx(1 + product)


def test_a_residual_network_near_its_tied_start_is_hardly_above_it():
    torch.manual_seed(0)
    network = ResidualCNN(features=4, layers=3, gain=0.9)
    assert certified_bound(network) == pytest.approx(0.9, rel=1e-3)
    with torch.no_grad():
        network.outer[1].weight.mul_(1.01)
    assert certified_bound(network) == pytest.approx(0.9 * 1.02, rel=3e-2)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", [ResidualStrictCNN, SpectralCNN])
def test_strict_networks_keep_their_bound_after_the_rounding_of_their_kernels(kind, double):
    torch.manual_seed(1)
    network = kind(features=4, layers=3, lipschitz=0.95).eval()
    network = network.double() if double else network
    with torch.no_grad():
        for layer in network.convolutions:
            layer.weight.mul_(17.3)
    assert certified_bound(network) <= 0.95 == network.lipschitz_bound()


def test_a_strict_network_whose_kernels_are_not_normalised_loses_its_bound(monkeypatch):
    network = random_network("residual-strict", spread=1.0)
    monkeypatch.setattr(NormalisedConvolution, "normalised_weight", lambda self: self.weight)
    assert certified_bound(network) > 2
    assert proved_bound(network) > 2


def test_a_weight_that_is_not_a_number_has_no_finite_bound():
    network = random_network("residual-strict")
    network.clips[0].log_threshold[0] = math.nan
    assert certified_bound(network) == math.inf


class Attention(nn.Module):
    def forward(self, x):
        return x


class Changed(CNN):
    def apply_channels(self, x, code):
        return 2 * super().apply_channels(x, code)


def with_layer(layer):
    network = random_network("cnn")
    network.convolutions[1] = layer
    return network


def with_hook():
    network = random_network("cnn")
    network.convolutions[1].register_forward_hook(lambda module, x, y: 2 * y)
    return network


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (lambda: with_layer(Attention()), r"convolutions\.1 \(Attention\).*not known"),
        (lambda: with_layer(nn.BatchNorm2d(4)), r"convolutions\.1 \(BatchNorm2d\).*eval\(\)"),
        (lambda: with_layer(nn.Softmax(1)), r"convolutions\.1 \(Softmax\)"),
        (with_hook, r"convolutions\.1 \(Convolution\).*replaced"),
        (lambda: Changed(features=4), r"the network \(Changed\).*composed_bound"),
        (lambda: ResidualStrictCNN(features=4).train(), r"convolutions\.0 .*eval\(\)"),
        (lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "'reflect'"),
        (lambda: nn.Conv2d(1, 1, 3, padding=2, padding_mode="circular"), "circular"),
    ],
)
def test_what_is_not_known_is_refused_by_name(network, sentence):
    with pytest.raises(NoBoundError, match=sentence):
        certified_bound(network())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 5, padding=2), (2, 9)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 7, 6)),
        (nn.Conv2d(2, 3, 3, dilation=2, padding=2, padding_mode="circular"), (2, 7, 5)),
        (nn.Conv3d(2, 2, 3, padding="same"), (2, 3, 4, 3)),
        (nn.BatchNorm2d(3).eval(), (3, 2, 2)),
        (nn.Sequential(nn.Conv2d(2, 3, 2), nn.LeakyReLU(-1.5), nn.Conv2d(3, 1, 3)), (2, 6, 6)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_of_torch_against_their_jacobian(layer, shape):
    torch.manual_seed(0)
    layer = layer.double().requires_grad_(False)
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_var.uniform_(0.2, 3)
        layer.weight.normal_()
    x = normal(1, *shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(layer, x)
    matrix = jacobian.reshape(-1, x.numel())
    assert torch.linalg.matrix_norm(matrix, 2).item() <= certified_bound(layer)


STRICT = ["residual-strict", "spectral", "multiscale-strict", "planes", "series-strict"]


@pytest.mark.parametrize("kind", STRICT)
def test_the_proved_bound_of_a_network_is_what_its_construction_imposes(kind):
    network = random_network(kind, ndim=3 if kind in VOLUMES else 2, spread=1.0).float()
    assert proved_bound(network) == pytest.approx(network.lipschitz_bound(), rel=1e-4)
    assert proved_bound(network) <= network.lipschitz_bound()
    assert proved_bound(network.train()) is None


def test_nothing_is_proved_of_a_network_that_imposes_no_bound():
    assert proved_bound(random_network("residual")) is None


class Scaled(ResidualStrictCNN):
    def apply_channels(self, x, code):
        return 1.5 * super().apply_channels(x, code)


class Decreasing(nn.Module):
    def forward(self, h, code):
        return -0.5 * torch.tanh(h)


def tamper_clip(network):
    network.clips[0].forward = lambda h, code: 3 * h


def tamper_activation(network):
    network.clips[0] = Decreasing()


def tamper_slope(network):
    network.clips[0] = nn.LeakyReLU(-1.0)  # 1-Lipschitz, and no clip


def tamper_kernel(network):
    layer = network.convolutions[1]
    layer.normalised_weight = lambda: 3 * layer.weight


def tamper_parametrization(network):
    nn.utils.parametrize.register_parametrization(network.convolutions[1], "weight", Twice())


class Twice(nn.Module):
    def forward(self, weight):
        return 2 * weight


TAMPERED = {
    "hook": lambda network: network.register_forward_hook(lambda module, x, y: 1.015 * y),
    "hook of a layer": lambda network: network.clips[0].register_forward_pre_hook(
        lambda module, x: (3 * x[0], x[1])
    ),
    "hook of gradients": lambda network: network.convolutions[0].register_full_backward_hook(
        lambda module, inner, outer: None
    ),
    "clip": tamper_clip,
    "decreasing activation": tamper_activation,
    "slope below zero": tamper_slope,
    "kernel": tamper_kernel,
    "parametrization": tamper_parametrization,
    "a layer in training": lambda network: network.convolutions[1].train(),
    "not a number": lambda network: network.clips[0].log_threshold.fill_(math.nan),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_nothing_is_proved_of_a_network_that_was_tampered_with(how):
    network = random_network("residual-strict", spread=1.0)
    assert proved_bound(network) is not None
    TAMPERED[how](network)
    assert proved_bound(network) is None


def test_nothing_is_proved_of_a_subclass_that_scales_its_output():
    torch.manual_seed(0)
    assert proved_bound(Scaled(features=4, layers=2).eval()) is None


class LargerSteps(ResidualStrictCNN):
    def layer(self, function, x, *arguments):
        return 2 * super().layer(function, x, *arguments)


class ReplacedGain(ResidualStrictCNN):
    """A gain that is another one whenever it is asked for."""

    @property
    def lipschitz(self):
        self.asked = vars(self).get("asked", 0) + 1
        return 0.98 if self.asked < 3 else 1.2

    @lipschitz.setter
    def lipschitz(self, value):
        pass


class Reordered(ResidualStrictCNN):
    def steps(self):
        return super().steps()[::-1]


class Renamed(ResidualStrictCNN):
    """Changes nothing that is applied."""

    def reset_parameters(self):
        super().reset_parameters()

    def number_of_steps(self):
        return len(self.steps())


@pytest.mark.parametrize("kind", [LargerSteps, Reordered, ReplacedGain])
def test_nothing_is_proved_of_a_subclass_that_overrides_a_part_of_the_map(kind):
    with pytest.raises(NoBoundError, match="composed_bound"):
        certified_bound(kind(features=4, layers=2).eval())
    assert proved_bound(kind(features=4, layers=2).eval()) is None


def test_a_subclass_that_changes_nothing_of_the_map_keeps_its_bound():
    assert proved_bound(Renamed(features=4, layers=2).eval()) == pytest.approx(0.98)


def test_nothing_is_proved_while_hooks_of_all_modules_are_set():
    network = random_network("residual-strict")
    hook = nn.modules.module.register_module_forward_hook(lambda module, x, y: 2 * y)
    try:
        assert proved_bound(network) is None
    finally:
        hook.remove()
    assert proved_bound(network) is not None


def test_a_gain_that_was_changed_is_in_the_proved_bound():
    network = random_network("residual-strict")
    network.lipschitz = -1.5
    assert proved_bound(network) >= 1.5 * (1 - 1e-9)


def test_the_proved_bound_follows_weights_changed_behind_its_back():
    network = random_network("residual-strict", spread=0.01)
    assert proved_bound(network) <= 0.98
    for layer in network.convolutions:
        layer.weight.data.mul_(50)
    # The kernels in use are normalised anew.
    assert proved_bound(network) <= 0.98
    raw = random_network("residual")
    before = certified_bound(raw)
    raw.inner[0].weight.data.mul_(2)
    assert certified_bound(raw) > before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0.1, 1.0, 30.0]))
def test_the_bound_of_a_kernel_holds_for_what_its_rounding_has_left(dtype, seed, size):
    layer = fresh(NormalisedConvolution(3, 4))
    with torch.no_grad():
        layer.weight.copy_(size * normal(4, 3, 3, 3, seed=seed, dtype=torch.float32))
    layer = layer.to(dtype).eval()
    used = layer.normalised_weight().detach()
    assert kernel_bound(layer) >= certified_norm(used, margin=1.0) * (1 - 1e-12)
    assert kernel_bound(layer) <= certified_norm(used, margin=VERIFICATION_MARGIN) * (1 + 1e-6)
