import math

import pytest
import torch
from torch import nn

from molrecon.errors import InputError
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.layers import (
    LOW_NOISE,
    NOISE_RANGE,
    Convolution,
    GuidedClip,
    SoftClip,
    as_channels,
    as_image,
    lift,
    noise_code,
    start_high_pass,
)
from molrecon.operators.base import norm

from ..support import fresh, normal


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
    middle = math.sqrt(low * high)
    levels = [1e-9, low**2 / middle, low, middle, high, 9 * high]
    sigma = torch.tensor(levels, dtype=torch.float64)
    expected = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 1.0]).double()
    assert torch.allclose(noise_code(sigma), expected, atol=1e-12)


@pytest.mark.parametrize("spatial", [(5, 6), (3, 4, 5)])
def test_convolution_is_a_correlation_with_zero_padding(spatial):
    torch.manual_seed(0)
    ndim = len(spatial)
    layer = fresh(Convolution(1, 1, ndim=ndim)).double()
    x = torch.zeros(1, 1, *spatial, dtype=torch.float64)
    centre = tuple(n // 2 for n in spatial)
    x[(0, 0, *centre)] = 1
    out = layer(x)[0, 0]
    window = tuple(slice(c - 1, c + 2) for c in centre)
    assert torch.allclose(out[window], layer.weight[0, 0].flip(tuple(range(ndim))))
    assert out.shape == spatial


def test_noise_biases_move_every_sample_by_its_own_code():
    layer = fresh(Convolution(2, 3, noise_conditioned=True))
    torch.nn.init.normal_(layer.noise_bias)
    x = normal(2, 2, 4, 5, dtype=torch.float32)
    code = torch.tensor([0.0, -0.5])
    moved = layer(x, code) - layer(x, torch.zeros(2))
    assert moved[0].abs().max() == 0
    expected = (-0.5 * layer.noise_bias)[:, None, None].expand(3, 4, 5)
    assert torch.allclose(moved[1], expected, atol=1e-6)


def test_a_weight_can_be_put_in_place_of_the_own_one():
    layer = fresh(Convolution(2, 2))
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


def test_what_is_not_clipped_is_soft_thresholded():
    clip = fresh(SoftClip(3, noise_conditioned=True))
    torch.nn.init.uniform_(clip.log_threshold, -4, 0)
    h, code = normal(2, 3, 4, 5, dtype=torch.float32), torch.tensor([0.2, -0.4])
    threshold = (clip.log_threshold + code[:, None] * clip.slope).exp()[..., None, None]
    shrunk = torch.sign(h) * (h.abs() - threshold).clamp_min(0)
    assert torch.allclose(h - clip(h, code), shrunk, atol=1e-6)


def test_new_thresholds_are_a_fixed_share_of_the_noise():
    sigma = torch.tensor([0.003, 0.02, 0.1])
    clip = fresh(SoftClip(1, noise_conditioned=True))
    large = torch.full((3, 1, 2), 9.0)
    assert torch.allclose(clip(large, noise_code(sigma))[:, 0, 0], 0.4 * sigma, rtol=1e-4)
    with pytest.raises(InputError, match="sigma"):
        clip(large, None)


def test_clipping_has_derivatives_in_features_and_thresholds():
    clip = fresh(SoftClip(2, noise_conditioned=True)).double()
    clip.log_threshold.data.fill_(-0.5)
    h, code = normal(2, 2, 3, dtype=torch.float64).requires_grad_(), torch.tensor([0.1, -0.1])
    assert torch.autograd.gradcheck(lambda u: clip(u, code), h, check_forward_ad=True)
    loss = lambda: clip(h, code).square().sum()  # noqa: E731
    gradient, slope = torch.autograd.grad(loss(), [clip.log_threshold, clip.slope])
    for parameter, expected in ((clip.log_threshold, gradient), (clip.slope, slope)):
        with torch.no_grad():
            parameter[0] += 1e-6
            up = loss()
            parameter[0] -= 2e-6
            down = loss()
            parameter[0] += 1e-6
        assert expected[0].item() == pytest.approx((up - down).item() / 2e-6, rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (5, 3, 3, 3, 3), (3, 3, 1, 1)])
def test_high_pass_kernels_have_norm_one_and_ignore_constants(shape):
    weight = torch.empty(shape)
    start_high_pass(weight)
    # The bound that a kernel of three axes is divided by is a rougher one.
    slack = {2: 1e-4, 3: 0.12}[len(shape) - 2]
    assert 1 - slack <= certified_norm(weight) <= 1 + 1e-4
    if shape[-1] > 1:
        assert weight.flatten(2).sum(2).abs().max() < 1e-6


def test_the_lift_keeps_lengths_and_is_undone_by_a_cut():
    x = normal(2, 3, 4, 5)
    assert torch.equal(norm(lift(x, 7)), norm(x))
    assert torch.equal(lift(x, 7)[:, :3], x)


def test_a_batch_is_convolved_as_its_samples_are_alone():
    torch.manual_seed(0)
    layer = fresh(Convolution(3, 5, ndim=2, noise_conditioned=True)).double()
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.normal_(layer.noise_bias)
    x, code = torch.randn(2, 3, 6, 7).double(), torch.tensor([-0.3, 0.8]).double()
    alone = [layer(x[i : i + 1], code[i : i + 1]) for i in (0, 1)]
    torch.testing.assert_close(layer(x, code), torch.cat(alone))
    assert not torch.allclose(layer(x, code), layer(x, code.flip(0)))


def test_a_lift_keeps_channels_last_in_memory():
    for x in (torch.randn(2, 1, 6, 5), torch.randn(2, 1, 6, 5, dtype=torch.complex64)):
        assert lift(as_channels(x), 8).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("conditioned", [False, True])
def test_the_speed_of_a_clip_multiplies_what_a_step_does_and_nothing_else(conditioned):
    h, code = normal(2, 3, 4, 5, dtype=torch.float64), torch.tensor([-0.3, 0.8]).double()
    slow = fresh(SoftClip(3, noise_conditioned=conditioned)).double()
    fast = fresh(SoftClip(3, noise_conditioned=conditioned, speed=10)).double()
    assert torch.allclose(fast(h, code), slow(h, code))
    with torch.no_grad():
        for parameter in slow.parameters():
            parameter.add_(0.2 * normal(3, dtype=torch.float64))
    fast.start_from(slow)
    assert torch.allclose(fast(h, code), slow(h, code))
    with torch.no_grad():
        slow.log_threshold += 0.5
        fast.log_threshold += 0.05
    assert torch.allclose(fast(h, code), slow(h, code))


def test_a_convolution_without_bias_is_linear_and_needs_no_noise_level():
    layer = fresh(Convolution(2, 3, noise_conditioned=True, biased=False)).double()
    x, z = normal(1, 2, 4, 5, dtype=torch.float64), normal(1, 2, 4, 5, seed=1, dtype=torch.float64)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert torch.allclose(layer(2 * x - z), 2 * layer(x) - layer(z))


def test_thresholds_go_on_below_the_range_and_biases_do_not():
    low = NOISE_RANGE[0]
    below = noise_code(torch.tensor([low / 10, low], dtype=torch.float64))
    clip = fresh(SoftClip(1, noise_conditioned=True)).double()
    clipped = clip(torch.ones(2, 1, 1, 1, dtype=torch.float64), below)
    # A new threshold is proportional to the noise level.
    assert (clipped[1] / clipped[0]).item() == pytest.approx(10, rel=1e-6)
    layer = fresh(Convolution(1, 1, noise_conditioned=True)).double()
    nn.init.ones_(layer.noise_bias)
    out = layer(torch.zeros(2, 1, 3, 3, dtype=torch.float64), below)
    torch.testing.assert_close(out[0], out[1])


@pytest.mark.parametrize("power", [0.3, 1.0])
def test_thresholds_fall_faster_at_low_noise(power):
    levels = torch.tensor([1e-4, 2e-3, LOW_NOISE, 5e-2], dtype=torch.float64)
    h = torch.full((4, 2, 3, 3), 1e3, dtype=torch.float64)
    usual, faster = (
        fresh(SoftClip(2, noise_conditioned=True, low_noise_power=one)).double()
        for one in (0.0, power)
    )
    factors = torch.rand(4, 2, 3, 3, dtype=torch.float64) + 0.5
    code = noise_code(levels)
    ratio = faster(h, code) / usual(h, code)
    expected = (levels / LOW_NOISE).clamp_max(1) ** power
    torch.testing.assert_close(ratio, expected.reshape(-1, 1, 1, 1).expand_as(ratio))
    # So it is where a guide multiplies them.
    guided = [GuidedClip(one, factors)(h, code) for one in (faster, usual)]
    torch.testing.assert_close(guided[0] / guided[1], ratio)
