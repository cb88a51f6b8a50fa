import pytest
import torch

from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.data.trajectories import radial_trajectory, spiral_trajectory
from molrecon.errors import InputError
from molrecon.operators.line_noise import estimate_lines_noise
from molrecon.operators.non_cartesian_mri import NonCartesianMRI

SHAPE = (64, 64)
LINES = {"radial": radial_trajectory(SHAPE, 24), "spiral": spiral_trajectory(SHAPE, 8, centre=16)}


def measured(kind, coils, sigma):
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    image = (torch.hypot(y, x) < 0.8)[None, None] * (1 + 0.3 * torch.cos(9 * y)) + 0j
    generator = torch.Generator().manual_seed(1)
    maps = simulate_coil_maps(SHAPE, coils, generator=generator)[None]
    A = NonCartesianMRI(maps, LINES[kind])
    return A, add_noise(A(image.to(torch.complex64)), sigma, generator=generator)


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("coils", [1, 8])
@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_the_level_is_that_of_the_noise_that_was_added(kind, coils, sigma):
    A, y = measured(kind, coils, sigma)
    found = estimate_lines_noise(y, A.trajectory.norm(dim=-1))
    # Arms of a spiral are bent, most on a small matrix, and signal leaks.
    assert abs(float(found.sigma) / sigma - 1) < {"radial": 0.1, "spiral": 0.13}[kind]
    assert abs(float(found.sigma) / sigma - 1) < 3 * float(found.uncertainty)
    assert torch.equal(A.estimate_sigma(y), found.sigma)


def test_the_level_has_the_unit_of_the_samples_and_knows_no_weights():
    A, y = measured("radial", 4, 0.05)
    radius = A.trajectory.norm(dim=-1)
    one, other = (estimate_lines_noise(c * y, radius).sigma for c in (1, 2.0**40))
    assert torch.equal(one * 2.0**40, other)
    weights = torch.rand(radius.shape, dtype=torch.float64) + 0.5
    B = NonCartesianMRI(A.coil_maps, A.trajectory, weights)
    assert torch.allclose(B.estimate_sigma(B.weighted(y)), one, rtol=1e-4)


def test_without_oversampling_the_level_is_uncertain_and_not_too_small():
    spokes = radial_trajectory(SHAPE, 24, samples=64)
    A, _ = measured("radial", 1, 0.01)
    B = NonCartesianMRI(A.coil_maps, spokes)
    image = A.H(A(torch.ones(1, 1, *SHAPE) + 0j))
    y = add_noise(B(image / image.abs().max()), 1e-3, generator=torch.Generator().manual_seed(0))
    found = estimate_lines_noise(y, spokes.norm(dim=-1))
    assert float(found.sigma) > 0.9e-3
    assert float(found.uncertainty) > 0.2


def test_too_few_samples_and_zeros_are_refused():
    with pytest.raises(InputError, match="has 12 samples"):
        estimate_lines_noise(torch.ones(1, 1, 12) + 0j, torch.ones(12))
    with pytest.raises(InputError, match="all zero"):
        estimate_lines_noise(torch.zeros(1, 1, 4, 64) + 0j, torch.ones(4, 64))
