import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.operators.base import inner
from molrecon.operators.blur import Blur
from molrecon.operators.kernels import box_kernel, gaussian_kernel
from molrecon.operators.super_resolution import SuperResolution

from ..support import dense_matrices, normal, solve_shifted

REAL = torch.float64


@st.composite
def operators(draw, whole=False):
    """Any size and factor with at most 72 pixels, and a random kernel that fits."""
    ndim = draw(st.integers(1, 2))
    factors = [draw(st.integers(1, 4)) for _ in range(ndim)]
    if whole:
        spatial = [d * draw(st.integers(1, 3 if ndim == 2 else 9)) for d in factors]
    else:
        spatial = [draw(st.integers(d, 9)) for d in factors]
    size = [draw(st.integers(1, n)) for n in spatial]
    kernel = normal(1, 1, *size, dtype=REAL, seed=draw(st.integers(0, 99)))
    return SuperResolution((1, *spatial), factors, kernel)


@settings(deadline=None, max_examples=60)
@given(operators())
def test_keeps_every_dth_pixel_of_the_blurred_image(A):
    x = normal(1, *A.shape_in, dtype=REAL)
    blurred = Blur(A.blur.kernel, A.shape_in)(x)
    for axis, (n, d) in enumerate(zip(A.shape_in[1:], A.factor, strict=True), start=2):
        places = torch.tensor([i for i in range(n) if i % d == (d - 1) // 2])
        blurred = blurred.index_select(axis, places)
    assert torch.allclose(A(x), blurred, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(operators())
def test_adjoint_is_exact_for_every_size_and_factor(A):
    x, y = normal(1, *A.shape_in, dtype=REAL), normal(1, *A.shape_out, dtype=REAL, seed=1)
    left, right = inner(A(x), y).item(), inner(x, A.H(y)).item()
    assert left == pytest.approx(right, rel=1e-11, abs=1e-11)


@settings(deadline=None, max_examples=60)
@given(operators(whole=True), st.floats(0, 1e5))
def test_closed_form_equals_the_dense_solution(A, weight):
    r, c = normal(1, *A.shape_in, dtype=REAL), torch.tensor([weight], dtype=REAL)
    assert torch.allclose(A.resolvent(c, r), solve_shifted(A, c, r), rtol=1e-7, atol=1e-8)


@settings(deadline=None, max_examples=30)
@given(operators(whole=True))
def test_products_with_the_adjoint_are_circular_on_the_small_grid(A):
    """What the closed form rests on: AAᴴ has the folded power as its eigenvalues."""
    matrix = dense_matrices(A)[0]
    eigenvalues = torch.linalg.eigvalsh(matrix @ matrix.mH)
    folded = A._folded_power.flatten().sort().values
    assert torch.allclose(eigenvalues, folded, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(operators())
def test_a_closed_form_exists_exactly_for_multiples(A):
    whole = all(n % d == 0 for n, d in zip(A.shape_in[1:], A.factor, strict=True))
    r = normal(1, *A.shape_in, dtype=REAL)
    assert (A.resolvent(torch.ones(1, dtype=REAL), r) is not None) is whole


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_box_kernel_measures_the_means_of_blocks(factor):
    shape = (3, 3 * factor, 2 * factor)
    x = normal(2, *shape, dtype=REAL)
    A = SuperResolution(shape, factor, box_kernel(factor, dtype=REAL))
    assert torch.allclose(A(x), torch.nn.functional.avg_pool2d(x, factor))


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_bicubic_kernel_agrees_with_torch_away_from_the_border(factor):
    n = 10 * factor
    x = normal(1, 3, n, n, dtype=REAL)
    expected = torch.nn.functional.interpolate(
        x, size=(10, 10), mode="bicubic", antialias=True, align_corners=False
    )
    found = SuperResolution((3, n, n), factor, dtype=REAL)(x)
    inside = (..., slice(2, -2), slice(2, -2))
    assert torch.allclose(found[inside], expected[inside], atol=1e-6)


@pytest.mark.parametrize(("n", "factor"), [(16, 2), (17, 2), (24, 3), (23, 3), (25, 3)])
def test_pixels_lie_at_the_centres_of_blocks(n, factor):
    ramp = torch.arange(n, dtype=REAL)[None, None]
    y = SuperResolution((1, n), factor, dtype=REAL)(ramp).flatten()
    centres = factor * torch.arange(len(y), dtype=REAL) + (factor - 1) / 2
    assert torch.allclose(y[2:-2], centres[2:-2])


def test_constant_images_keep_their_value():
    A = SuperResolution((1, 19, 16), (3, 4), dtype=REAL)
    x = torch.full((1, 1, 19, 16), 0.7, dtype=REAL)
    assert torch.allclose(A(x), torch.full_like(A(x), 0.7))


def test_a_tuple_sets_the_factor_of_every_axis():
    A = SuperResolution((1, 12, 8, 8), (3, 1, 1), gaussian_kernel((1.0, 0.2, 0.2), 3))
    assert A.shape_out == (1, 4, 8, 8)


def test_default_kernel_has_the_precision_of_the_images():
    assert SuperResolution((1, 8, 8), 2).dtype == torch.float32
    assert SuperResolution((1, 8, 8), 2, dtype=torch.complex128).dtype == torch.complex128


def test_nominal_norm_is_exact_without_aliases():
    """A constant is the strongest image of a box of the factor's size; its aliases vanish."""
    A = SuperResolution((1, 8, 12), (2, 3), box_kernel((2, 3), dtype=REAL))
    exact = torch.linalg.matrix_norm(dense_matrices(A), 2)
    assert A.nominal_norm.item() == pytest.approx(exact.item())
    assert exact.item() == pytest.approx(1 / math.sqrt(6))


@pytest.mark.parametrize(
    ("shape", "factor", "kernel", "sentence"),
    [
        ((1, 8, 3), 4, None, r"image has \(8, 3\) pixels, expected at least the factor \(4, 4\)"),
        ((1, 8, 8), 0, None, "factor is 0, expected a positive integer or 2, one per axis"),
        ((1, 8, 8), 2.0, None, "factor is 2.0"),
        ((1, 8, 8), (2, 2, 2), None, r"factor is \(2, 2, 2\)"),
        (
            (1, 8, 8),
            3,
            None,
            r"kernel has \(11, 11\) pixels, expected at most the image's \(8, 8\)",
        ),
        ((1, 8), 2, torch.ones(3), r"kernel has shape \(3,\)"),
        ((1, 8), 2, torch.full((1, 1, 3), math.inf), "kernel holds NaN or infinite"),
        ((8,), 2, None, "shape is .* expected positive integers"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(shape, factor, kernel, sentence):
    with pytest.raises(InputError, match=sentence):
        SuperResolution(shape, factor, kernel)
