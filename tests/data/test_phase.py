import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.phase import rough_phase, sign_jumps, simulate_phase, simulate_shading
from molrecon.data.randomness import make_generator
from molrecon.errors import InputError


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    strength=st.floats(0, 3),
)
def test_modulus_is_one(shape, seed, strength):
    phase = simulate_phase(shape, generator=make_generator(seed), strength=strength)
    assert phase.dtype == torch.complex64
    torch.testing.assert_close(phase.abs(), torch.ones(tuple(shape)))


def test_strength_zero_is_one_constant():
    phase = simulate_phase((9, 7), generator=make_generator(3), strength=0)
    torch.testing.assert_close(phase, phase[:1, :1].expand(9, 7))


def test_phase_is_smooth_and_spans_radians():
    spans = []
    for seed in range(20):
        phase = simulate_phase((96, 96), generator=make_generator(seed))
        steps = (phase[1:] * phase[:-1].conj()).angle()
        assert steps.abs().max() < 0.3
        path = steps.cumsum(0)
        spans.append((path.amax(0) - path.amin(0)).max().item())
    assert 1 < sum(spans) / len(spans) < 8


def test_negative_strength_is_refused():
    with pytest.raises(InputError, match="strength"):
        simulate_phase((4, 4), generator=make_generator(0), strength=-1)


@given(
    shape=st.lists(st.integers(2, 20), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    strength=st.floats(0.1, 3),
)
def test_shading_has_its_range_and_is_a_power_of_that_of_strength_one(shape, seed, strength):
    one, field = (
        simulate_shading(shape, generator=make_generator(seed), strength=value)
        for value in (1.0, strength)
    )
    assert field.max().item() == pytest.approx(1)
    assert field.min().item() == pytest.approx(math.exp(-strength), rel=1e-4)
    torch.testing.assert_close(field, one**strength)


def test_shading_is_smooth():
    field = simulate_shading((64, 64), generator=make_generator(0), strength=2.0).log()
    assert field.diff(dim=0).abs().max() < 0.25
    assert field.diff(n=2, dim=0).abs().max() < 0.03


def test_rough_phase_has_its_strength_and_no_detail_below_its_wavelength():
    phase = rough_phase((96, 80), generator=make_generator(1), strength=0.3, detail=12.0)
    torch.testing.assert_close(phase.abs(), torch.ones(96, 80))
    assert phase.angle().std().item() == pytest.approx(0.3, rel=1e-3)
    power = torch.fft.fft2(phase.angle()).abs().square()
    fine = torch.fft.fftfreq(96).abs() > 0.4
    assert power[fine].sum() < 1e-3 * power.sum()


def test_signs_jump_with_the_values_alone():
    image = torch.rand(40, 40, generator=make_generator(0))
    negative = 0
    for seed in range(10):
        signs = sign_jumps(image, generator=make_generator(seed))
        assert bool((signs.abs() == 1).all())
        inside = image[signs < 0]
        if len(inside):
            between = (image > inside.min()) & (image < inside.max())
            assert bool((signs[between] == -1).all())
        negative += len(inside)
    assert 0 < negative < 10 * image.numel()
