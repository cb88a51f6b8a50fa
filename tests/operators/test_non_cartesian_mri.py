import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.simulation import simulate_coil_maps
from molrecon.data.trajectories import make_trajectory, radial_trajectory, spiral_trajectory
from molrecon.equilibrium.operator_model import follows_model, operator_rounding
from molrecon.equilibrium.rounding import unit_roundoff
from molrecon.errors import InputError
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI
from molrecon.operators.fourier import fft_centred
from molrecon.operators.non_cartesian_mri import NonCartesianMRI

from ..support import dense_matrices, non_cartesian_mri, normal


def explicit(images, positions):
    """The sums of their definition, ``(…, samples)`` of images ``(…, *n)``."""
    shape = images.shape[-positions.shape[-1] :]
    grids = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    pixels = torch.cartesian_prod(*grids).reshape(-1, len(shape))
    angles = (positions.reshape(-1, len(shape)) / torch.tensor(shape)) @ pixels.T
    waves = torch.exp(-2j * math.pi * angles)
    return images.flatten(-len(shape)) @ waves.T / math.sqrt(math.prod(shape))


def smooth_maps(*shape, coils=8):
    maps = simulate_coil_maps(shape, coils, generator=torch.Generator().manual_seed(0))
    return maps[None].to(torch.complex128)


@pytest.mark.parametrize("shape", [(6, 7), (5,), (3, 4, 5)])
def test_is_the_sum_of_its_definition(shape):
    A = non_cartesian_mri(shape, (4, 5), weighted=True)
    x = normal(2, 1, *shape)
    found = explicit(A.coil_maps * x, A.trajectory).reshape(2, *A.shape_out)
    assert norm(A(x) - found * A.weights.sqrt()).max() < 1e-13 * norm(found).max()


def test_frames_are_transformed_by_themselves():
    A = non_cartesian_mri((3, 6, 5), (2, 7), axes=2, planes=3, maps_frames=1)
    x = normal(1, 1, 3, 6, 5)
    for t in range(3):
        found = explicit(A.coil_maps[:, :, 0] * x[:, :, t], A.trajectory[t])
        assert torch.allclose(A(x)[:, :, t].flatten(2), found, rtol=0, atol=1e-13)


@pytest.mark.parametrize("planes", [1, 4])
def test_a_stack_of_stars_is_the_three_dimensional_sum(planes):
    A = non_cartesian_mri((4, 5, 6), (7,), axes=2, planes=planes, stacked=True)
    x = normal(1, 1, 4, 5, 6)
    partitions = torch.arange(4.0, dtype=torch.float64) - 2
    flat = A.trajectory.expand(4, -1, -1)
    positions = torch.cat([partitions[:, None, None].expand(-1, 7, 1), flat], -1)
    found = explicit(A.coil_maps * x, positions).reshape(1, *A.shape_out)
    assert torch.allclose(A(x), found, rtol=0, atol=1e-13)


def test_all_points_of_the_grid_are_cartesian_mri():
    maps = smooth_maps(8, 6)
    axes = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (8, 6))
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    A, B = NonCartesianMRI(maps, grid), CartesianMRI(maps, torch.ones(1, 1, 8, 6))
    x = normal(1, 1, 8, 6)
    assert torch.allclose(A(x), B(x), rtol=0, atol=1e-13)
    assert torch.allclose(A.normal(x), B.normal(x), rtol=0, atol=1e-13)
    assert abs(float(A.norm_bound) - 1) < 1e-5


def test_a_series_of_grids_is_dynamic_mri():
    maps = smooth_maps(6, 6, coils=3)[:, :, None]
    axes = (torch.arange(6, dtype=torch.float64) - 3 for _ in range(2))
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    A = NonCartesianMRI(maps, grid.expand(4, 6, 6, 2))
    B, x = DynamicMRI(maps, torch.ones(1, 1, 4, 6, 6)), normal(1, 1, 4, 6, 6)
    assert A.shape_out == B.shape_out
    assert torch.allclose(A(x), B(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.complex64, 1e-6), (torch.complex128, 1e-12)]
)
def test_adjoint_to_the_accuracy_of_each_precision(dtype, tolerance):
    A = NonCartesianMRI(smooth_maps(64, 64).to(dtype), radial_trajectory((64, 64), 24))
    x, y = normal(1, *A.shape_in, dtype=dtype), normal(1, *A.shape_out, seed=1, dtype=dtype)
    forward, back = A(x), A.H(y)
    apart = torch.vdot(forward.flatten().to(torch.complex128), y.flatten().to(torch.complex128))
    apart -= torch.vdot(x.flatten().to(torch.complex128), back.flatten().to(torch.complex128))
    assert float(apart.abs()) < tolerance * float(norm(forward) * norm(y))
    assert norm(A.normal(x) - A.H(forward)) < tolerance * norm(A.H(forward))


def test_sums_are_far_more_exact_than_the_proof_assumes():
    A = NonCartesianMRI(smooth_maps(48, 40, coils=2), radial_trajectory((48, 40), 20))
    assumed = operator_rounding(A) * unit_roundoff(A.dtype) * float(A.norm_bound)
    assert follows_model(A)
    for seed in range(3):
        x = normal(1, *A.shape_in, seed=seed)
        # The roundest images are those that are concentrated at the edge of the field of view.
        x[..., 5:, :] *= 1e-3
        found = explicit(A.coil_maps * x, A.trajectory).reshape(1, *A.shape_out)
        assert norm(A(x) - found) < 0.05 * assumed * norm(x)


def close_from_above(A, share):
    exact = torch.linalg.svdvals(dense_matrices(A))[:, 0]
    bound = A.norm_bound
    assert (bound >= exact).all()
    assert (bound <= (1 + share) * exact).all()
    assert (A.nominal_norm <= exact * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    "trajectory",
    [radial_trajectory((20, 18), 12), spiral_trajectory((20, 18), 3, turns=5)],
    ids=["radial", "spiral"],
)
def test_norm_bound_is_close_from_above(trajectory):
    close_from_above(NonCartesianMRI(smooth_maps(20, 18, coils=4), trajectory), 1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 7), st.integers(3, 7), st.booleans())
def test_norm_bound_of_small_problems_is_exact(seed, height, width, weighted):
    A = non_cartesian_mri((height, width), (9,), maps_batch=2, weighted=weighted, seed=seed)
    close_from_above(A, 1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_norm_bound_holds_for_any_samples(seed, weighted):
    """Larger than a basis of all images, random maps and samples: the bound is looser, and one."""
    A = non_cartesian_mri((18, 16), (40,), weighted=weighted, seed=seed)
    exact = torch.linalg.svdvals(dense_matrices(A))[:, 0]
    assert (A.norm_bound >= exact).all()
    assert (A.norm_bound <= 4 * exact).all()


def test_norm_bound_of_planes_is_that_of_the_largest():
    k = radial_trajectory((17, 16), 12, golden=True).reshape(2, 6, 34, 2)
    close_from_above(NonCartesianMRI(smooth_maps(17, 16, coils=2)[:, :, None], k), 1e-3)
    stack = non_cartesian_mri((3, 4, 5), (9,), axes=2, planes=3, stacked=True)
    exact = torch.linalg.svdvals(dense_matrices(stack))[:, 0]
    assert (stack.norm_bound >= exact).all()


def test_samples_and_weights_stay_exact_in_single_precision():
    A = non_cartesian_mri((6, 5), (4, 6), weighted=True)
    single = A.to(dtype=torch.complex64)
    assert torch.equal(single.trajectory, A.trajectory)
    x = normal(1, 1, 6, 5)
    assert single.for_double is single
    exact = explicit(single.coil_maps.to(torch.complex128) * x, A.trajectory)
    found = single.for_double(x).flatten(2) / A.weights.sqrt().flatten()
    assert torch.allclose(found, exact, rtol=0, atol=1e-13)


def test_a_circle_of_frequencies_suits_fourier_transforms():
    """White k-space of one pixel: a wave whose phase the definition fixes."""
    A = NonCartesianMRI(torch.ones(1, 1, 8, 8) + 0j, radial_trajectory((8, 8), 4).float())
    x = torch.zeros(1, 1, 8, 8) + 0j
    x[..., 4, 4] = 8
    assert torch.allclose(A(x), torch.ones(1) + 0j, atol=1e-6)
    assert torch.allclose(fft_centred(x, 2), torch.ones(1) + 0j, atol=1e-6)


MAPS, POINTS = torch.ones(1, 2, 8, 8) + 0j, radial_trajectory((8, 8), 4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((MAPS.real, POINTS), "coil_maps is torch.float32 .* expected a complex tensor"),
        ((MAPS, POINTS + 0j), "trajectory is torch.complex128 .* expected real positions"),
        (
            (MAPS, POINTS[..., :1].expand(-1, -1, 3)),
            "expected as many axes of k-space",
        ),
        ((MAPS, POINTS * math.nan), "trajectory holds NaN"),
        ((MAPS * math.inf, POINTS), "coil_maps holds NaN"),
        ((MAPS, POINTS * 2), "reaches 8 cycles per field of view along axis .*half of its 8"),
        ((MAPS, POINTS, torch.ones(4)), r"weights .* expected real numbers of shape \(4, 16\)"),
        ((MAPS, POINTS, -torch.ones(4, 16)), "weights are negative"),
        ((MAPS, POINTS, torch.zeros(4, 16)), "weights are .* all zero"),
        ((MAPS[:, :, None].expand(-1, -1, 3, 8, 8), POINTS), "has 4 planes, .* maps have 3"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        NonCartesianMRI(*arguments)


def test_a_stack_needs_planes():
    with pytest.raises(InputError, match="planes first, as of a stack"):
        NonCartesianMRI(MAPS, POINTS, stacked=True)


@pytest.mark.parametrize(("axes", "planes"), [(2, 1), (1, 4)])
def test_the_preconditioner_inverts_the_nearest_circulant(axes, planes):
    shape = (3, 4, 5)[-axes - (planes > 1) :]
    options = {"axes": axes, "planes": planes} if planes > 1 else {}
    A = non_cartesian_mri(shape, (7,), **options)
    size, c = math.prod(shape), torch.tensor([2.0], dtype=torch.float64)
    basis = torch.eye(size, dtype=torch.complex128).reshape(size, 1, *shape)
    dims = tuple(range(-axes, 0))
    # What is diagonal in waves: the diagonal of AᴴA there is the nearest.
    waves = torch.fft.ifftn(basis, dim=dims, norm="ortho")
    spectrum = (waves.conj() * A.normal(waves)).flatten(1).sum(1).real
    waves = waves.reshape(size, size)
    found = A.preconditioner(c)(basis).reshape(size, size)
    expected = (waves.mT / (1 + 2 * spectrum)) @ waves.conj()
    assert torch.allclose(found.mT, expected, rtol=0, atol=1e-12)


def grid_points(shape):
    axes = (torch.arange(n, dtype=torch.float64) - n // 2 for n in shape)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def test_a_point_of_the_grid_has_one_point_of_k_space_to_itself():
    points = grid_points((8, 6)).reshape(-1, 2)
    maps, x = smooth_maps(8, 6), normal(1, 1, 8, 6)
    once = NonCartesianMRI(maps, points)
    assert torch.allclose(once.points.areas, torch.ones(1, 48, dtype=torch.float64))
    assert torch.allclose(once.zero_filled(once(x)), x, rtol=0, atol=1e-6)
    # Measured twice, each counts half; half of the points, the others count as zero.
    twice = NonCartesianMRI(maps, points.repeat(2, 1))
    assert torch.allclose(twice.zero_filled(twice(x)), x, rtol=0, atol=1e-6)
    part = NonCartesianMRI(maps, points[::2])
    assert torch.allclose(part.zero_filled(part(x)), part.H(part(x)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("planes", [1, 3])
def test_frames_are_gridded_by_themselves(planes):
    points = grid_points((6, 6)).expand(planes, 6, 6, 2)
    A = NonCartesianMRI(smooth_maps(6, 6)[:, :, None].expand(-1, -1, 3, -1, -1), points)
    x = normal(1, 1, 3, 6, 6)
    assert torch.allclose(A.zero_filled(A(x)), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["radial", "golden-angle", "spiral"])
def test_a_complete_scan_gridded_is_its_image(kind):
    shape = (48, 48)
    axes = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape)
    y, x = torch.meshgrid(*axes, indexing="ij")
    image = torch.exp(-10 * (y**2 + (x - 0.2) ** 2)).to(torch.complex128)[None, None]
    A = NonCartesianMRI(smooth_maps(*shape), make_trajectory(kind, shape, 1))
    assert norm(A.zero_filled(A(image)) - image) < 0.02 * norm(image)
    # Aᴴ alone counts the crowded centre as often as it was measured.
    assert norm(A.H(A(image)) - image) > 0.5 * norm(image)


def test_given_weights_are_the_compensation():
    A = non_cartesian_mri((6, 7), (4, 5), weighted=True)
    y = normal(1, *A.shape_out)
    assert torch.equal(A.zero_filled(y), A.H(y))
