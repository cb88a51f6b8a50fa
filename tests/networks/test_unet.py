import pytest
import torch

from molrecon.errors import InputError
from molrecon.networks.unet import UNet

from ..support import normal

SIGMA = torch.tensor([0.05]).double()


def random_unet(**arguments):
    torch.manual_seed(0)
    network = UNet(**{"features": 3, **arguments}).double()
    torch.nn.init.normal_(network.last.weight, std=0.3)
    return network


@torch.no_grad()
@pytest.mark.parametrize("spatial", [(16, 12), (15, 13), (5, 1), (2, 3), (7, 6, 5), (1, 2, 9)])
@pytest.mark.parametrize("poolings", [1, 2, 3])
def test_images_of_any_size_keep_it(spatial, poolings):
    network = random_unet(ndim=len(spatial), poolings=poolings)
    x = normal(2, 1, *spatial)
    out = network(x, SIGMA)
    assert out.shape == x.shape
    assert torch.isfinite(out.abs()).all()
    assert (out != x).any()
    assert torch.allclose(out[1:], network(x[1:], SIGMA))


@torch.no_grad()
def test_a_new_one_is_the_identity():
    x = normal(1, 1, 9, 7, dtype=torch.complex64)
    assert torch.equal(UNet()(x, SIGMA.float()), x)


@torch.no_grad()
def test_the_border_is_repeated():
    """An odd image is treated as the one whose last row and column were repeated."""
    network, x = random_unet(), normal(1, 1, 11, 6)
    extended = torch.cat([x, x[..., -1:, :]], dim=-2)
    extended = torch.cat([extended, *[extended[..., -1:]] * 2], dim=-1)
    assert torch.equal(network(x, SIGMA), network(extended, SIGMA)[..., :11, :6])


@torch.no_grad()
def test_moves_with_the_image_by_multiples_of_its_coarsest_pixel():
    network = random_unet()
    x = torch.zeros(1, 1, 64, 64, dtype=torch.complex128)
    x[..., 28:36, 28:36] = normal(1, 1, 8, 8)
    moved = network(x.roll((4, -8), (2, 3)), SIGMA)
    inside = (..., slice(22, 42), slice(22, 42))
    assert torch.allclose(moved.roll((-4, 8), (2, 3))[inside], network(x, SIGMA)[inside])


def test_sees_as_far_as_its_coarsest_level():
    network, x = random_unet(features=8), normal(1, 1, 64, 64).requires_grad_()
    network(x, SIGMA)[0, 0, 32:34, 32:34].abs().sum().backward()
    reach = (x.grad[0, 0].abs() > 0).nonzero()
    assert (reach - 32).abs().max() > 12


def test_every_weight_learns():
    network = random_unet()
    network(normal(1, 1, 16, 12), SIGMA).abs().square().sum().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in network.parameters())


def test_the_comparisons_one_has_two_poolings_and_32_features():
    network = UNet(noise_conditioned=False)
    shapes = [tuple(p.shape[:2]) for n, p in network.named_parameters() if n.endswith("weight")]
    assert shapes == [
        (32, 2),
        (32, 32),
        (64, 32),
        (64, 64),
        (128, 64),
        (128, 128),
        (64, 192),
        (64, 64),
        (32, 96),
        (32, 32),
        (2, 32),
    ]


@pytest.mark.parametrize("arguments", [{"features": 0}, {"poolings": 0}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(InputError, match="expected at least 1"):
        UNet(**arguments)
