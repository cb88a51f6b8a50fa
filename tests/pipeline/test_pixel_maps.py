"""Maps beside an image: of several sets of coil maps those of the image that is shown."""

import pytest
import torch

from molrecon.operators.soft_sense import SoftSense
from molrecon.pipeline.pixel_maps import Wanted, pixel_maps
from molrecon.progress import silent
from molrecon.reconstructors.sense import SENSE
from molrecon.trust.noise import noise_map

from ..support import normal

SIGMA = 0.01


def maps_of(A, image, wanted):
    method, y = SENSE(1e6), A(image)
    solution = method(y, A, sigma=SIGMA)
    place = {"where": "slice 0", "sigma": SIGMA, "progress": silent}
    found = pixel_maps(method, y, A, solution, wanted, **place).maps
    return found, noise_map(method, y, A, sigma=SIGMA, count=wanted.noise_draws, x0=solution.value)


def test_of_several_sets_nothing_but_time_is_lost_where_nothing_is_left_out():
    """Sets that no coil shares, fully sampled: the root sum of squares has g = 1 everywhere."""
    maps = torch.zeros(1, 2, 4, 8, 8, dtype=torch.complex128)
    maps[:, 0, :2] = normal(1, 2, 8, 8) + 3
    maps[:, 1, 2:] = normal(1, 2, 8, 8) + 2
    A = SoftSense(maps, torch.ones(1, 1, 8, 8, dtype=torch.bool))
    image = normal(1, 2, 8, 8) + 3
    found, of_sets = maps_of(A, image, Wanted(400, share=True))
    assert found.keys() == {"noise", "g-factor", "share"}
    assert all(one.shape == (1, 1, 8, 8) for one in found.values())
    assert found["g-factor"].mean() == pytest.approx(1, abs=0.01)
    assert (found["g-factor"] - 1).abs().max() < 5 / 800**0.5
    # To first order |x|² = Σ |x_s|², so d|x| = Σ (|x_s| / |x|) d|x_s|, of independent noise.
    shares = image.abs() / image.norm(dim=1, keepdim=True)
    expected = (shares * of_sets.std).norm(dim=1, keepdim=True)
    assert found["noise"] == pytest.approx(expected.numpy(), rel=1e-4)
    assert found["share"] == pytest.approx(1, abs=0.02)


def test_of_one_set_they_are_those_of_its_image():
    maps = normal(1, 1, 3, 8, 8) + 2
    A = SoftSense(maps, (torch.arange(8) % 2 == 0)[:, None].expand(1, 1, 8, 8))
    found, expected = maps_of(A, normal(1, 1, 8, 8), Wanted(20))
    assert torch.equal(found["noise"], expected.std)
    assert torch.equal(found["g-factor"], expected.g_factor)
