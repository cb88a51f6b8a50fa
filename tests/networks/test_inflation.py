"""A network of volumes that starts as one of slices."""

import pytest
import torch

from molrecon.errors import InputError
from molrecon.networks import ResidualCNN, ResidualStrictCNN, build_network
from molrecon.networks.bounds import certified_bound
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.inflation import inflated
from molrecon.reconstructors.store import load

from ..support import normal


def random_network(kind, **arguments):
    torch.manual_seed(0)
    made = build_network({"kind": kind, "features": 4, **arguments}).double()
    for parameter in made.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return made.eval()


def slice_by_slice(network, volume, level):
    return torch.stack([network(one, level) for one in volume.unbind(2)], dim=2)


@pytest.mark.parametrize("kind", ["cnn", "kernel-normalised", "residual", "residual-strict"])
def test_it_equals_the_other_slice_by_slice(kind):
    flat = random_network(kind)
    grown = random_network(kind, ndim=3)
    grown.start_from(flat)
    volume, level = normal(2, 1, 4, 7, 6), torch.tensor([0.02, 0.1]).double()
    with torch.no_grad():
        expected = slice_by_slice(flat, volume, level)
        assert torch.allclose(grown(volume, level), expected, atol=1e-12)
        # A check that any two networks pass would be none.
        assert not torch.allclose(random_network(kind, ndim=3)(volume, level), expected, atol=0.1)


def test_the_shipped_model_of_slices_becomes_one_of_volumes_and_keeps_its_bound():
    flat = load("brain2d-sn").network
    for kind in (ResidualStrictCNN, ResidualCNN):
        grown = kind(ndim=3).eval()
        grown.start_from(flat)
        volume = 0.3 * normal(1, 1, 3, 20, 18, dtype=torch.complex64)
        level = torch.tensor([0.03])
        with torch.no_grad():
            expected = slice_by_slice(flat, volume, level)
            assert torch.allclose(grown(volume, level), expected, atol=1e-6)
        assert certified_bound(grown) == pytest.approx(0.98, abs=1e-3)


def test_what_is_learned_reaches_the_new_axis():
    flat = random_network("residual-strict")
    grown = random_network("residual-strict", ndim=3).train()
    grown.start_from(flat)
    volume, level = normal(1, 1, 4, 7, 6), torch.tensor([0.1]).double()
    grown(volume, level).abs().square().sum().backward()
    weight = grown.convolutions[0].weight
    assert (weight[:, :, [0, 2]] == 0).all()
    assert (weight.grad[:, :, [0, 2]] != 0).any()


@pytest.mark.parametrize("width", [1, 3, 5])
def test_the_norm_is_kept_exactly(width):
    weight = normal(3, 2, width, width, dtype=torch.float64)
    assert inflated(weight, 3).shape == (3, 2, width, width, width)
    assert certified_norm(inflated(weight, 3)) == pytest.approx(certified_norm(weight), rel=1e-13)


def test_fewer_axes_than_the_start_are_refused():
    with pytest.raises(InputError, match="does not fit"):
        random_network("cnn").start_from(random_network("cnn", ndim=3))
