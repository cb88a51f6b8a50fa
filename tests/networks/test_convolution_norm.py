import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.networks.convolution_norm import (
    absolute_norm,
    certified_norm,
    differentiable_norm,
    grid_correction,
    grid_points,
    transfer_function,
)

from ..support import normal

CONVOLUTIONS = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}


def kernel(channels_out, channels_in, *sizes, seed=0):
    return normal(channels_out, channels_in, *sizes, seed=seed, dtype=torch.float64)


def dense_norm(weight, spatial, *, circular):
    """Operator norm of the "same" convolution on a grid, from its matrix."""
    shape = (weight.shape[1], *spatial)
    basis = torch.eye(math.prod(shape), dtype=weight.dtype).reshape(-1, *shape)
    widths = [size // 2 for size in weight.shape[2:]]
    sides = [side for width in reversed(widths) for side in (width, width)]
    mode = "circular" if circular else "constant"
    padded = torch.nn.functional.pad(basis, sides, mode=mode)
    matrix = CONVOLUTIONS[len(spatial)](padded, weight).flatten(1)
    return torch.linalg.matrix_norm(matrix, 2).item()


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3])),
    st.tuples(st.integers(3, 7), st.integers(2, 6)),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_bounds_the_norm_on_every_grid(channels, sizes, spatial, circular, seed):
    weight = kernel(*channels, *sizes, seed=seed)
    assert certified_norm(weight) >= dense_norm(weight, spatial, circular=circular)


@pytest.mark.parametrize("circular", [False, True])
def test_bounds_the_norm_in_three_dimensions(circular):
    weight = kernel(2, 2, 3, 3, 3)
    exact = dense_norm(weight, (3, 4, 5), circular=circular)
    assert exact <= certified_norm(weight, points=16) <= 2 * exact


@pytest.mark.parametrize("points", [32, 64])
@pytest.mark.parametrize("seed", range(3))
def test_is_tight_for_circular_padding_on_a_large_grid(points, seed):
    weight = kernel(3, 4, 3, 3, seed=seed)
    spectrum = torch.fft.fft2(weight, s=(128, 128)).permute(2, 3, 0, 1)
    exact = torch.linalg.svdvals(spectrum).max().item()
    slack = 1 / math.cos(math.pi / points) ** 2
    assert exact <= certified_norm(weight, points=points) <= 1.001 * slack * exact
    assert slack < 1.01


def test_approaches_the_norm_with_zero_padding_as_the_image_grows():
    weight = kernel(1, 1, 3, 3, seed=4)
    norms = [dense_norm(weight, (n, n), circular=False) for n in (4, 8, 20)]
    assert norms == sorted(norms)
    assert norms[-1] <= certified_norm(weight) <= 1.03 * norms[-1]


def test_a_moved_delta_has_norm_one():
    for place in itertools.product(range(3), range(3)):
        weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
        weight[(0, 0, *place)] = 1
        assert certified_norm(weight, points=64) == pytest.approx(1, rel=3e-3)
        assert certified_norm(weight, points=64) >= 1


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([(3, 3), (5, 3), (1, 5), (3, 3, 3)]),
    st.integers(6, 12),
    st.integers(0, 10**6),
)
def test_no_peak_between_the_grid_points_exceeds_the_correction(sizes, points, seed):
    weight = kernel(2, 2, *sizes, seed=seed)
    coarse = torch.linalg.svdvals(transfer_function(weight, points)).max().item()
    # Every coarse frequency is among the fine ones.
    fine = torch.linalg.svdvals(transfer_function(weight, 4 * points)).max().item()
    assert coarse <= fine * (1 + 1e-12)
    assert fine <= coarse * grid_correction(sizes, points)


def test_the_correction_cannot_be_smaller():
    """The transfer function ``sin ω`` peaks midway between two of six grid points."""
    weight = torch.tensor([[[[-0.5, 0.0, 0.5]]]], dtype=torch.float64)
    coarse = torch.linalg.svdvals(transfer_function(weight, 6)).max().item()
    assert coarse == pytest.approx(math.sin(math.pi / 3))
    assert coarse * grid_correction((1, 3), 6) == pytest.approx(1)


def test_conjugate_symmetry_makes_half_of_the_frequencies_enough():
    weight = kernel(2, 3, 3, 5)
    half = torch.linalg.svdvals(transfer_function(weight, 9)).amax()
    full = torch.linalg.svdvals(torch.fft.fft2(weight, s=(9, 9)).permute(2, 3, 0, 1)).amax()
    assert half.item() == pytest.approx(full.item(), rel=1e-12)


def test_scales_with_the_kernel():
    weight = kernel(2, 2, 3, 3)
    assert certified_norm(3 * weight) == pytest.approx(3 * certified_norm(weight))
    assert certified_norm(0 * weight) == 0


def test_a_grid_too_coarse_for_the_kernel_is_refused():
    with pytest.raises(InputError, match=r"a grid of 4 points is too coarse for kernels \(5, 5\)"):
        certified_norm(kernel(1, 1, 5, 5), points=4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_kernel_that_is_not_finite_has_no_finite_bound(value):
    kernel = torch.ones(2, 2, 3, 3)
    kernel[0, 1, 2, 0] = value
    assert certified_norm(kernel) == math.inf


@settings(max_examples=20)
@given(st.sampled_from([1, 3, 5, 7]), st.integers(5, 12), st.booleans(), st.integers(0, 10**6))
def test_bounds_the_norm_in_one_dimension(size, length, circular, seed):
    weight = kernel(2, 3, size, seed=seed)
    assert certified_norm(weight) >= dense_norm(weight, (length,), circular=circular)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_is_within_one_percent_for_circular_padding_on_a_fine_grid(ndim, seed):
    """The circular convolution on a grid that the bound's own grid does not contain."""
    n, points = {1: (101, 32), 2: (51, 40), 3: (45, 64)}[ndim]
    weight = kernel(2, 2, *[3] * ndim, seed=seed)
    spectrum = torch.fft.fftn(weight, s=[n] * ndim, dim=tuple(range(2, 2 + ndim)))
    exact = torch.linalg.svdvals(spectrum.flatten(2).permute(2, 0, 1)).max().item()
    assert exact <= certified_norm(weight, points=points) <= 1.01 * exact


@pytest.mark.parametrize("sizes", [(1,), (9,), (3, 3), (7, 7), (15, 15), (31, 31), (3, 3, 3)])
def test_the_grid_grows_with_the_kernel(sizes):
    assert grid_correction(sizes, grid_points(sizes)) <= 1.02


def test_kernels_of_width_three_in_two_axes_keep_their_grid():
    assert grid_points((3, 3)) == 32


def test_wide_kernels_are_bounded_tightly():
    weight = kernel(2, 2, 15, 15)
    spectrum = torch.fft.fft2(weight, s=(128, 128)).permute(2, 3, 0, 1)
    exact = torch.linalg.svdvals(spectrum).max().item()
    assert exact <= certified_norm(weight) <= 1.02 * exact * (1 + 1e-4)


@settings(max_examples=20)
@given(st.sampled_from([(3, 3), (5, 3), (7,), (3, 1, 3)]), st.booleans(), st.integers(0, 10**6))
def test_the_derivative_of_the_norm_is_that_of_finite_differences(sizes, inflated, seed):
    weight = kernel(3, 2, *sizes, seed=seed)
    if inflated:
        weight = torch.nn.functional.pad(weight, [1, 1])  # zeros around it: they stay
    direction = kernel(3, 2, *sizes, seed=seed + 1)
    direction = torch.nn.functional.pad(direction, [1, 1]) if inflated else direction
    tracked = weight.clone().requires_grad_()
    value = differentiable_norm(tracked)
    assert value.item() == pytest.approx(certified_norm(weight), rel=1e-12)
    (gradient,) = torch.autograd.grad(value, tracked)
    h = 1e-7
    ends = [certified_norm(weight + s * direction) for s in (h, -h)]
    expected = (ends[0] - ends[1]) / (2 * h)
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_entries_alone_bound_the_norm(seed):
    weight = kernel(3, 2, 3, 3, seed=seed)
    assert certified_norm(weight, margin=1.0) <= 1.01 * absolute_norm(weight)
    one = torch.zeros(2, 2, 3, 3)
    one[1, 0, 2, 1] = -3
    assert absolute_norm(one) == pytest.approx(3)
