import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.operators.blur import Blur
from molrecon.operators.kernels import box_kernel, gaussian_kernel

from ..support import normal, solve_shifted

REAL = torch.float64


@st.composite
def sizes(draw):
    """Spatial shape of at most 60 pixels and a kernel that fits."""
    spatial = draw(
        st.lists(st.integers(1, 6), min_size=1, max_size=3).filter(lambda s: math.prod(s) <= 60)
    )
    return spatial, [draw(st.integers(1, n)) for n in spatial]


@settings(deadline=None, max_examples=40)
@given(sizes(), st.integers(0, 99))
def test_is_the_sum_that_defines_a_circular_convolution(size, seed):
    spatial, lengths = size
    kernel = normal(1, 1, *lengths, dtype=REAL, seed=seed)
    x = normal(1, 1, *spatial, dtype=REAL, seed=seed + 1)
    expected = torch.zeros_like(x)
    for index in itertools.product(*map(range, lengths)):
        shift = [i - n // 2 for i, n in zip(index, lengths, strict=True)]
        expected += kernel[(0, 0, *index)] * x.roll(shift, list(range(2, x.ndim)))
    assert torch.allclose(Blur(kernel, (1, *spatial))(x), expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(sizes(), st.floats(0, 1e6), st.integers(0, 99))
def test_closed_form_equals_the_dense_solution(size, weight, seed):
    spatial, lengths = size
    A = Blur(normal(1, 1, *lengths, dtype=REAL, seed=seed), (1, *spatial))
    r = normal(1, 1, *spatial, dtype=REAL, seed=seed + 1)
    c = torch.tensor([weight], dtype=REAL)
    assert torch.allclose(A.resolvent(c, r), solve_shifted(A, c, r), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [3, 5, (3, 1)])
def test_a_point_becomes_the_kernel_around_it(size):
    kernel = normal(1, 1, *(size if isinstance(size, tuple) else (size, size)), dtype=REAL)
    point = torch.zeros(1, 1, 9, 8, dtype=REAL)
    point[..., 4, 4] = 1
    y = Blur(kernel, (1, 9, 8))(point)
    rows, columns = (slice(4 - n // 2, 5 + n // 2) for n in kernel.shape[2:])
    assert torch.allclose(y[..., rows, columns], kernel)
    assert y.abs().sum().item() == pytest.approx(kernel.abs().sum().item())


def test_a_single_pixel_is_denoising():
    A = Blur(torch.ones(1, 1, 1, 1, dtype=REAL), (3, 4, 5))
    x = normal(2, 3, 4, 5, dtype=REAL)
    assert torch.allclose(A(x), x)


@pytest.mark.parametrize("kernel", [gaussian_kernel(0.8), box_kernel(4)], ids=["gaussian", "box"])
def test_a_non_negative_kernel_of_sum_one_has_norm_one(kernel):
    A = Blur(kernel, (1, 8, 9), dtype=REAL)
    assert A.nominal_norm.item() == pytest.approx(1, abs=1e-6)
    ones = torch.ones(1, 1, 8, 9, dtype=REAL)
    assert torch.allclose(A(ones), ones)


def test_images_of_a_complex_kernel_are_complex():
    kernel = normal(1, 1, 3, 3)
    A = Blur(kernel, (1, 4, 5))
    x = normal(1, 1, 4, 5, dtype=REAL)
    assert A.dtype == torch.complex128
    assert torch.allclose(A(x), A(x.to(torch.complex128)))
    parts = [Blur(part, (1, 4, 5))(x) for part in (kernel.real, kernel.imag)]
    assert torch.allclose(A(x), torch.complex(*parts))


def test_real_operators_take_complex_images():
    A = Blur(normal(1, 1, 3, 3, dtype=REAL), (1, 4, 5))
    x, c = normal(1, 1, 4, 5), torch.tensor([3.0], dtype=REAL)
    assert torch.allclose(A(x), torch.complex(A(x.real), A(x.imag)))
    assert torch.allclose(
        A.resolvent(c, x), torch.complex(A.resolvent(c, x.real), A.resolvent(c, x.imag))
    )


KERNEL = torch.ones(1, 1, 3, 3)


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        (KERNEL[0, 0], r"kernel has shape \(3, 3\), expected \(batch or 1, 3 or 1, \*spatial\)"),
        (KERNEL[..., None], r"with 2 spatial axes, to fit images of shape \(3, 6, 4\)"),
        (KERNEL.expand(1, 2, 3, 3), r"kernel has shape \(1, 2, 3, 3\)"),
        (KERNEL[..., :0], r"kernel has shape \(1, 1, 3, 0\)"),
        (
            torch.ones(1, 1, 6, 5),
            r"kernel has \(6, 5\) pixels, expected at most the image's \(6, 4\)",
        ),
        (KERNEL.int(), "dtype is int32"),
        (KERNEL * math.nan, "kernel holds NaN"),
        (KERNEL * 0, "kernel is zero everywhere"),
    ],
)
def test_kernels_that_do_not_fit_are_refused(kernel, sentence):
    with pytest.raises(InputError, match=sentence):
        Blur(kernel, (3, 6, 4))


def test_a_complex_kernel_for_real_images_is_refused():
    with pytest.raises(InputError, match=r"expected a real one for torch.float64 images"):
        Blur(normal(1, 1, 3, 3), (1, 6, 4), dtype=REAL)
