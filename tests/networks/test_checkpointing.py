"""Checkpointing inside one application: the same values and gradients, in less memory."""

import pytest
import torch

from molrecon.lipschitz.linearised import Linearised
from molrecon.lipschitz.quotient import difference_quotient
from molrecon.networks import build_network

from ..support import normal

KINDS = [
    "cnn",
    "kernel-normalised",
    "multiscale-strict",
    "planes",
    "residual",
    "residual-strict",
    "series-strict",
    "spectral",
    "unet",
]
VOLUMES = ("planes", "series-strict")
SMALL = {"features": 4}


def network(kind, ndim, **arguments):
    torch.manual_seed(0)
    if kind in ("multiscale-strict", "series-strict"):
        arguments |= {"coarse_channels": 4, "coarse_features": 4, "scales": (1, 2)}
    if kind == "planes":
        settings = {"plane": {"kind": "residual", **SMALL, **arguments}}
    else:
        settings = {**SMALL, **arguments}
    made = build_network({"kind": kind, "ndim": ndim, **settings}).double()
    for parameter in made.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return made


def gradients(made, x, level):
    """Two products with the transposed Jacobian, from one graph, and one with the weights'."""
    point = x.clone().requires_grad_()
    out = made(point, level)
    products = [
        torch.autograd.grad(out, point, w, retain_graph=True)[0]
        for w in (normal(*x.shape, seed=1), normal(*x.shape, seed=2))
    ]
    weights = torch.autograd.grad(out.abs().square().sum(), list(made.parameters()))
    return [out, *products, *weights]


@pytest.mark.parametrize(
    ("kind", "ndim"),
    [(kind, n) for kind in KINDS for n in (2, 3) if n == 3 or kind not in VOLUMES],
)
def test_values_and_gradients_are_those_without(kind, ndim):
    made = network(kind, ndim)
    x, level = normal(1, 1, *(6, 5, 7)[:ndim]), torch.tensor([0.1]).double()
    expected = gradients(made, x, level)
    made.checkpointing = True
    found = gradients(made, x, level)
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("kind", ["residual", "residual-strict"])
def test_the_lipschitz_constraint_can_be_differentiated_through_it(kind):
    made = network(kind, 2)
    x, v, level = normal(1, 1, 6, 5), normal(1, 1, 6, 5, seed=1), torch.tensor([0.1]).double()

    kernels = [parameter for parameter in made.parameters() if parameter.ndim > 2]

    def slope():
        value = difference_quotient(lambda z: made(z, level), x, v)
        jv = Linearised(lambda z: made(z, level), x).forward(v)
        return value, jv, *torch.autograd.grad(value.sum(), kernels)

    expected = slope()
    made.checkpointing = True
    assert all(torch.allclose(a, b) for a, b in zip(expected, slope(), strict=True))


class Kept:
    """Count the numbers that a graph keeps for its backward pass."""

    def __enter__(self):
        self.count = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda t: t)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error):
        self._hooks.__exit__(*error)

    def _pack(self, tensor):
        self.count += tensor.numel()
        return tensor


@pytest.mark.parametrize("kind", ["cnn", "planes", "residual", "residual-strict", "unet"])
def test_the_graph_keeps_less(kind):
    made = network(kind, 3)
    x, level = normal(1, 1, 12, 12, 12), torch.tensor([0.1]).double()
    with Kept() as whole:
        made(x, level)
    made.checkpointing = True
    with Kept() as part:
        made(x, level)
    assert part.count < 0.7 * whole.count
