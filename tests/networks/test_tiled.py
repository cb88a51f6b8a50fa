"""A tiled network is the network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.lipschitz import certified_bound
from molrecon.networks import (
    CNN,
    KernelNormalisedCNN,
    ResidualCNN,
    ResidualStrictCNN,
    SpectralCNN,
    Tiled,
    UNet,
)
from molrecon.networks.tiled import choose_tile, padded_size, tiles_of

from ..support import normal

KINDS = [CNN, KernelNormalisedCNN, ResidualCNN, ResidualStrictCNN, SpectralCNN]
SIGMA = torch.tensor([0.02, 0.1], dtype=torch.float64)


def random_network(kind, ndim, **arguments):
    torch.manual_seed(0)
    network = kind(ndim=ndim, features=4, layers=2, **arguments).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("spatial", "tile"), [((19, 14), 5), ((9, 11, 7), (4, 3, 7))])
def test_equals_the_network(kind, spatial, tile):
    network = random_network(kind, len(spatial))
    x = normal(2, 1, *spatial)
    whole = network(x, SIGMA)
    assert torch.allclose(Tiled(network, tile)(x, SIGMA), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_the_halo_is_how_far_a_pixel_is_seen(kind, kernel_size):
    """No more and no less: the Jacobian ends there."""
    network = random_network(kind, 2, kernel_size=kernel_size)
    for name, parameter in network.named_parameters():
        if name.endswith("log_threshold"):
            parameter.data.fill_(5.0)  # nothing is clipped: every path is open
    size = 2 * network.halo + 7
    x = normal(1, 1, size, size).requires_grad_()
    centre = network(x, SIGMA[:1])[..., size // 2, size // 2]
    (gradient,) = torch.autograd.grad(centre.abs().sum(), x)
    rows = gradient[0, 0].abs().amax(1).nonzero().flatten()
    assert (rows.min(), rows.max()) == (size // 2 - network.halo, size // 2 + network.halo)


def test_gradients_are_those_of_the_network():
    network = random_network(ResidualStrictCNN, 2)
    x, w = normal(1, 1, 12, 9).requires_grad_(), normal(1, 1, 12, 9, seed=1)
    (expected,) = torch.autograd.grad(network(x, SIGMA[:1]), x, w)
    (found,) = torch.autograd.grad(Tiled(network, 4)(x, SIGMA[:1]), x, w)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_bounds_are_those_of_the_network():
    network = random_network(ResidualStrictCNN, 2).float()
    tiled = Tiled(network, 8).eval()
    assert tiled.lipschitz_bound() == network.lipschitz_bound() == network.lipschitz
    assert certified_bound(tiled) == certified_bound(network)


def test_from_file_to_file(tmp_path):
    network = random_network(CNN, 3, noise_conditioned=False)
    x = normal(1, 1, 8, 6, 7)
    shape = tuple(x.shape)
    source = np.memmap(tmp_path / "in", dtype=np.complex128, mode="w+", shape=shape)
    source[...] = x.numpy()
    target = np.memmap(tmp_path / "out", dtype=np.complex128, mode="w+", shape=shape)
    Tiled(network, 3)(torch.from_numpy(source), out=torch.from_numpy(target))
    target.flush()
    found = np.fromfile(tmp_path / "out", dtype=np.complex128).reshape(shape)
    assert np.allclose(found, network(x).detach().numpy(), rtol=1e-12, atol=1e-12)


shapes = st.lists(st.integers(1, 23), min_size=2, max_size=3)


@settings(deadline=None, max_examples=60)
@given(shapes, st.integers(1, 9), st.integers(0, 6))
def test_tiles_cover_every_pixel_once_with_their_halos(spatial, size, halo):
    count = torch.zeros(spatial, dtype=torch.int64)
    tile = (size,) * len(spatial)
    for one in tiles_of(spatial, tile, halo):
        count[one.target] += 1
        seen = torch.arange(count.numel()).reshape(spatial)
        assert torch.equal(seen[one.source][one.inside], seen[one.target])
        for n, source, target in zip(spatial, one.source, one.target, strict=True):
            assert source.start == max(0, target.start - halo)
            assert source.stop == min(n, target.stop + halo)
        assert seen[one.source].numel() <= padded_size(spatial, tile, halo)
    assert (count == 1).all()


@settings(deadline=None, max_examples=60)
@given(shapes, st.integers(0, 4), st.integers(1, 4000))
def test_the_chosen_tile_fits(spatial, halo, pixels):
    tile = choose_tile(spatial, halo, pixels)
    if tile is None:
        assert padded_size(spatial, [1] * len(spatial), halo) > pixels
    else:
        assert padded_size(spatial, tile, halo) <= pixels
    if padded_size(spatial, spatial, halo) <= pixels:
        assert tile == tuple(spatial)


def test_refusals():
    network = random_network(CNN, 2)
    with pytest.raises(InputError, match="UNet cannot be tiled"):
        Tiled(UNet(features=2), 8)
    for tile in (0, (4,), (4, 4, 4)):
        with pytest.raises(InputError, match="expected 2 positive numbers"):
            Tiled(network, tile)
    with pytest.raises(InputError, match="2 spatial axes"):
        Tiled(network, 4)(normal(1, 1, 4, 4, 4), SIGMA[:1])
    x = normal(1, 1, 4, 4)
    with pytest.raises(InputError, match=r"out is torch\.complex64"):
        Tiled(network, 4)(x, SIGMA[:1], out=x.to(torch.complex64))
