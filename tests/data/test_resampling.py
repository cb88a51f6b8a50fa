import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.randomness import make_generator
from molrecon.data.resampling import effective_bandwidth, fourier_resample, resample_maps

SIZES = st.tuples(st.integers(3, 40), st.integers(3, 40))


@settings(max_examples=40, deadline=None)
@given(old=SIZES, new=SIZES)
def test_constants_are_kept(old, new):
    out = fourier_resample(torch.full(old, 2.5), new)
    torch.testing.assert_close(out, torch.full(new, 2.5))


@pytest.mark.parametrize("new", [(20, 24), (21, 25), (64, 50), (16, 60)])
def test_slow_waves_are_resampled_exactly(new):
    def wave(ny, nx):
        # Zero lies at the centre index, where the centred transform has it.
        y = (torch.arange(ny) - ny // 2)[:, None] / ny
        x = (torch.arange(nx) - nx // 2)[None] / nx
        return 1 + torch.cos(2 * math.pi * (3 * y + 2 * x)) + torch.sin(2 * math.pi * 4 * x)

    torch.testing.assert_close(fourier_resample(wave(32, 30), new), wave(*new), atol=1e-5, rtol=0)


def test_larger_and_back_is_the_identity():
    image = torch.randn(2, 15, 17, dtype=torch.complex64, generator=make_generator(0))
    there = fourier_resample(image, (31, 40))
    torch.testing.assert_close(fourier_resample(there, (15, 17)), image)


def test_bandwidth_sees_zero_filling():
    # Edges have a spectrum like that of anatomy.
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(96.0), indexing="ij")
    disc = (((y - 60) ** 2 + (x - 50) ** 2) < 30**2).float()
    disc -= 0.5 * (((y - 70) ** 2 + (x - 40) ** 2) < 9**2).float()
    full = effective_bandwidth(disc)
    half = effective_bandwidth(fourier_resample(disc, (256, 192)))
    assert full > 0.9
    assert half == pytest.approx(full / 2, rel=0.05)


@pytest.mark.parametrize("shape", [(64, 48), (16, 12), (45, 33)])
def test_smooth_maps_of_another_matrix_keep_their_place(shape):
    def maps(*size):
        y, x = ((torch.arange(n) - n // 2) / n for n in size)
        return torch.exp(2j * y[:, None] + x)[None, None] * (1 + 0j)

    found = resample_maps(maps(32, 24), shape)
    inside = tuple(slice(n // 8, n - n // 8) for n in shape)
    torch.testing.assert_close(found[0, 0][inside], maps(*shape)[0, 0][inside], atol=2e-3, rtol=0)


def test_maps_of_the_same_matrix_stay_as_they_are():
    maps = torch.randn(1, 2, 8, 10, dtype=torch.complex64)
    assert resample_maps(maps, (8, 10)) is maps
