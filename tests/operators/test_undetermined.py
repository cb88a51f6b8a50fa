"""How much of an image is left undetermined, against dense matrices."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.operators.inpainting import Inpainting
from molrecon.operators.non_cartesian_mri import NonCartesianMRI
from molrecon.operators.undetermined import WEIGHT, undetermined

from ..support import cartesian_mri, dense_matrices, non_cartesian_mri


def spokes(count):
    angles, radius = torch.arange(count) * torch.pi / count, torch.arange(32) / 2 - 8
    trajectory = torch.stack([angles.cos(), angles.sin()], -1)[:, None] * radius[:, None]
    maps = non_cartesian_mri((16, 16), (1,)).coil_maps
    return NonCartesianMRI(maps, trajectory.double())


def typical(spatial):
    """The image by its definition: the spectrum of images, phases of seed 0."""
    frequencies = torch.meshgrid(
        *(torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in spatial), indexing="ij"
    )
    power = (1 + sum(f**2 for f in frequencies)) ** (-(len(spatial) + 1) / 2)
    generator = torch.Generator().manual_seed(0)
    phases = torch.rand(spatial, dtype=torch.float64, generator=generator)
    v = torch.fft.ifftn(power.sqrt() * torch.exp(2j * torch.pi * phases))
    return v, power


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(6, 5), (8, 7), (3, 4, 5)]))
def test_is_what_a_dense_solve_gives(seed, spatial):
    A = cartesian_mri(spatial, coils=2, seed=seed)
    matrix = dense_matrices(A)[0]
    gram = matrix.mH @ matrix
    v = typical(spatial)[0].flatten()
    solved = torch.linalg.solve(torch.eye(len(v)) + WEIGHT * gram, v)
    share = torch.vdot(v, solved).real / torch.vdot(v, v).real - 1 / (1 + WEIGHT)
    # Conjugate gradients end before they have it exactly.
    torch.testing.assert_close(A.undetermined, share[None], rtol=0.02, atol=1e-4)


def test_of_one_coil_it_is_the_energy_that_is_not_sampled():
    mask = torch.rand(1, 1, 12, 10, generator=torch.manual_seed(3)) < 0.5
    mask[..., 6, 5] = True
    A = CartesianMRI(torch.ones(1, 1, 12, 10, dtype=torch.complex128), mask)
    power = torch.fft.fftshift(typical((12, 10))[1])
    expected = (power * ~mask[0, 0]).sum() / power.sum() * WEIGHT / (1 + WEIGHT)
    torch.testing.assert_close(A.undetermined, expected[None], rtol=1e-6, atol=0.0)


def test_of_what_measures_everything_alike_it_is_nothing():
    for dtype in (torch.float64, torch.complex128):
        assert undetermined(Denoising((1, 6, 5), dtype=dtype)).item() < 1e-12
    full = CartesianMRI(cartesian_mri((6, 5)).coil_maps, torch.ones(1, 1, 6, 5, dtype=torch.bool))
    assert full.undetermined.item() < 1e-6


def test_what_is_measured_more_strongly_is_better_determined():
    A = cartesian_mri((8, 7))
    assert (3 * A).undetermined < A.undetermined < (0.3 * A).undetermined
    torch.testing.assert_close((0.5 * A).measured_share, 0.25 * A.measured_share)
    assert (100 * A).measured_share == 1


@pytest.mark.parametrize("unit", [1e-30, 1e18, 1e30])
def test_odd_units_give_shares_all_the_same(unit):
    A = unit * cartesian_mri((8, 7), dtype=torch.complex64)
    for share in (A.undetermined, A.measured_share):
        assert 0 <= share.item() <= 1


def test_every_sample_has_its_own():
    one, other = (cartesian_mri((8, 7), seed=seed) for seed in (0, 1))
    both = CartesianMRI(
        torch.cat([one.coil_maps, other.coil_maps]), torch.cat([one.mask, other.mask])
    )
    expected = torch.cat([one.undetermined, other.undetermined])
    torch.testing.assert_close(both.undetermined, expected)
    last = both.for_samples(torch.tensor([1]))
    torch.testing.assert_close(last.undetermined, other.undetermined)
    assert both.to(dtype=torch.complex64).undetermined.dtype == torch.float32


def test_it_is_computed_once_and_kept_for_samples(monkeypatch):
    A = cartesian_mri((8, 7), dtype=torch.complex64)
    both = CartesianMRI(A.coil_maps.expand(2, -1, -1, -1), A.mask)
    found = both.undetermined
    monkeypatch.setattr(CartesianMRI, "normal", None)
    assert both.undetermined is found
    assert both.for_samples(torch.tensor([1])).undetermined == found[1]


def test_where_no_coil_sees_anything_counts_for_nothing():
    A = cartesian_mri((8, 7))
    maps = A.coil_maps.clone()
    maps[..., :4, :] = 0
    hidden = CartesianMRI(maps, A.mask)
    v = typical((8, 7))[0] * hidden.support[0, 0]
    matrix = dense_matrices(hidden)[0]
    system = torch.eye(56) + WEIGHT * matrix.mH @ matrix
    solved = torch.linalg.solve(system, v.flatten())
    share = torch.vdot(v.flatten(), solved).real / v.abs().square().sum() - 1 / (1 + WEIGHT)
    torch.testing.assert_close(hidden.undetermined, share[None], rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("spatial", [(24, 21), (5, 9, 8)])
def test_the_measured_share_is_the_mean_eigenvalue(spatial):
    A = cartesian_mri(spatial, coils=2)
    eigenvalues = torch.linalg.svdvals(dense_matrices(A)[0]) ** 2
    mean = eigenvalues.sum() / math.prod(spatial)
    # One random image has an error of about 1/√N of it.
    torch.testing.assert_close(A.measured_share, mean[None], rtol=0.08, atol=0.0)
    full = CartesianMRI(A.coil_maps, torch.ones(1, 1, *spatial, dtype=torch.bool))
    torch.testing.assert_close(full.measured_share, torch.ones(1).double())


def test_the_measured_share_counts_real_images_and_samples():
    mask = (
        torch.rand(2, 1, 20, 20, generator=torch.manual_seed(0))
        < torch.tensor([0.3, 0.8])[:, None, None, None]
    )
    A = Inpainting(mask)
    torch.testing.assert_close(A.measured_share, mask.float().mean((1, 2, 3)))
    assert torch.equal(A.for_samples(torch.tensor([1])).measured_share, A.measured_share[1:])


def test_samples_off_the_grid_count_as_those_of_a_full_grid():
    """Spokes enough leave nothing undetermined, however strongly they measure the centre."""
    few, more, many = (spokes(count) for count in (3, 8, 30))
    assert few.undetermined > 0.03
    assert few.undetermined > more.undetermined > 2e-3
    assert many.undetermined < 1e-3
    assert few.measured_share < many.measured_share
