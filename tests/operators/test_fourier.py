import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.operators.fourier import fft_centred, filter_circular, ifft_centred

from ..support import normal

shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3)


@settings(deadline=None, max_examples=40)
@given(shapes, st.integers(0, 99))
def test_unitary(shape, seed):
    x, z = normal(2, *shape, seed=seed), normal(2, *shape, seed=seed + 1)
    k = fft_centred(x, len(shape))
    assert torch.allclose(ifft_centred(k, len(shape)), x)
    assert torch.vdot(k.flatten(), fft_centred(z, len(shape)).flatten()).item() == pytest.approx(
        torch.vdot(x.flatten(), z.flatten()).item()
    )


@settings(deadline=None, max_examples=40)
@given(shapes)
def test_zero_frequency_lies_at_half_the_length(shape):
    ndim = len(shape)
    centre = (0, *(n // 2 for n in shape))
    size = math.prod(shape)
    spectrum = fft_centred(torch.ones(1, *shape, dtype=torch.complex128), ndim)
    assert spectrum[centre].item() == pytest.approx(math.sqrt(size))
    spectrum[centre] = 0
    assert spectrum.abs().max() < 1e-12
    delta = torch.zeros(1, *shape, dtype=torch.complex128)
    delta[centre] = 1
    expected = torch.full_like(delta, 1 / math.sqrt(size))
    assert torch.allclose(fft_centred(delta, ndim), expected)


@pytest.mark.parametrize("n", [6, 7])
def test_matches_the_sum_that_defines_it(n):
    x = normal(n)
    grid = torch.arange(n) - n // 2
    kernel = torch.exp(-2j * math.pi * torch.outer(grid, grid) / n).to(x.dtype) / math.sqrt(n)
    assert torch.allclose(fft_centred(x[None], 1)[0], kernel @ x)


def test_leading_axes_are_left_alone():
    x = normal(2, 3, 4, 5)
    for i in range(2):
        for j in range(3):
            assert torch.allclose(fft_centred(x, 2)[i, j], fft_centred(x[i, j], 2))


@settings(deadline=None, max_examples=40)
@given(shapes, st.integers(0, 99))
def test_filters_are_circular_convolutions_of_real_and_complex_images(shape, seed):
    ndim = len(shape)
    dims = tuple(range(1, ndim + 1))
    kernel, x = normal(1, *shape, seed=seed).real, normal(2, *shape, seed=seed + 1)
    transfer = torch.fft.fftn(kernel, dim=dims)
    filtered = filter_circular(x, transfer, ndim)
    assert torch.allclose(filter_circular(x.real, transfer, ndim), filtered.real)
    assert torch.allclose(
        torch.fft.fftn(filtered, dim=dims), torch.fft.fftn(x, dim=dims) * transfer
    )
