import pytest
import torch

from molrecon.errors import InputError
from molrecon.networks import build_network
from molrecon.networks.convolution_norm import certified_norm
from molrecon.networks.kernel_normalised import KernelNormalisedCNN, normalised
from molrecon.networks.layers import Convolution

from ..support import fresh, normal, random_cnn

SIGMA = torch.tensor([0.05]).double()


def network(**arguments):
    chain = KernelNormalisedCNN(features=4, layers=3, **arguments).double()
    chain.load_state_dict(random_cnn(**arguments).state_dict())
    return chain


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_reshaped_kernels_have_norm_one(ndim):
    for layer in network(ndim=ndim).convolutions:
        kernel = normalised(layer.weight)
        assert torch.linalg.matrix_norm(kernel.flatten(1), 2).item() == pytest.approx(1)
        ratio = kernel / layer.weight
        assert torch.allclose(ratio, ratio.flatten()[0].expand_as(ratio))


@torch.no_grad()
def test_is_the_chain_with_these_kernels():
    chain, plain, x = network(), random_cnn(), normal(2, 1, 7, 6)
    for layer in plain.convolutions:
        layer.weight.copy_(normalised(layer.weight))
    assert torch.allclose(chain(x, SIGMA), plain(x, SIGMA))
    # The same in training mode, from one application to the next.
    assert torch.equal(chain.train()(x, SIGMA), chain.eval()(x, SIGMA))


@torch.no_grad()
def test_the_convolutions_are_not_bounded_by_it():
    """A kernel of one channel and equal elements: the matrix has norm 1, the convolution 3."""
    layer = fresh(Convolution(1, 1))
    layer.weight.fill_(5.0)
    assert certified_norm(normalised(layer.weight)) == pytest.approx(3, rel=0.02)
    assert network().eval().lipschitz_bound() is None


def test_gradients_equal_finite_differences():
    kernel = normal(3, 2, 3, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(normalised, kernel)


def test_a_skip_connection_is_refused():
    with pytest.raises(InputError, match="residual: there is no such setting"):
        build_network({"kind": "kernel-normalised", "residual": True})
