import math

import pytest
import torch

from molrecon import CartesianMRI, ResidualStrictCNN, SoftSense
from molrecon.errors import InputError

from ..support import cartesian_mri, normal


def orthogonal_sets(spatial, coils=4):
    """Two sets of maps that are orthonormal in every pixel, as ESPIRiT's are."""
    values = normal(*spatial, coils, 2, dtype=torch.complex128)
    return torch.linalg.qr(values)[0].movedim((-1, -2), (0, 1))[None]


def test_one_set_is_the_operator_of_its_maps():
    A = cartesian_mri((4, 5))
    soft = SoftSense(A.coil_maps[:, None], A.mask)
    x = normal(1, 1, 4, 5, dtype=torch.complex128)
    torch.testing.assert_close(soft(x), A(x))
    torch.testing.assert_close(soft.norm_bound, A.norm_bound)


def test_sets_add_up():
    maps = orthogonal_sets((4, 5))
    mask = torch.rand(1, 1, 4, 5) < 0.6
    x = normal(1, 2, 4, 5, dtype=torch.complex128)
    parts = [CartesianMRI(maps[:, s], mask)(x[:, s : s + 1]) for s in range(2)]
    torch.testing.assert_close(SoftSense(maps, mask)(x), parts[0] + parts[1])


def test_the_bound_of_orthonormal_sets_is_one_and_is_attained():
    A = SoftSense(orthogonal_sets((4, 5)), torch.ones(1, 1, 4, 5, dtype=torch.bool))
    assert float(A.norm_bound) == pytest.approx(1)
    assert float(A.norm()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("sets", [1, 2, 3])
def test_the_bound_holds_for_any_maps(sets):
    maps = normal(1, sets, 3, 3, 4, dtype=torch.complex128)
    A = SoftSense(maps, torch.ones(1, 1, 3, 4, dtype=torch.bool))
    singular = torch.linalg.matrix_norm(maps[0].movedim((0, 1), (-1, -2)), 2).max()
    norm = float(A.norm(tol=1e-9, max_iterations=5000))
    assert norm == pytest.approx(float(singular), rel=1e-3)
    assert float(singular) <= float(A.norm_bound) <= math.sqrt(sets) * float(singular)


def test_a_network_denoises_every_set_by_itself_and_keeps_its_bound():
    """H is block diagonal: the Lipschitz bound of one image is that of all, squares adding up."""
    torch.manual_seed(0)
    network = ResidualStrictCNN(features=4, layers=2, lipschitz=0.9).eval()
    x, z = (torch.randn(2, 3, 8, 8, dtype=torch.complex64) for _ in range(2))
    sigma = torch.tensor([0.1, 0.3])
    with torch.no_grad():
        together = network(x, sigma)
        alone = [network(x[:, s : s + 1], sigma) for s in range(3)]
        moved = (together - network(z, sigma)).flatten(1).norm(dim=1)
    torch.testing.assert_close(together, torch.cat(alone, dim=1))
    assert bool((moved <= 0.9 * (x - z).flatten(1).norm(dim=1)).all())


def test_maps_without_an_axis_of_sets_are_refused():
    A = cartesian_mri((4, 5))
    with pytest.raises(InputError, match="add the axis of the sets"):
        SoftSense(A.coil_maps, A.mask)
