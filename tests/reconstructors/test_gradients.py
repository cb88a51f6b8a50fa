"""Gradients with respect to whatever a learned method takes, against finite differences."""

import pytest
import torch

from molrecon.operators.cartesian_mri import CartesianMRI

from ..support import normal
from .methods import ALL, model, scan

STRICT = {"lipschitz": 0.8, "features": 3, "layers": 2}
NORMALISED = {
    "mol": {"network": {"kind": "residual-strict", **STRICT}},
    "de-grad": {"network": {"kind": "spectral", **STRICT}},
}
"""Networks whose kernels are divided by their norms, which has a derivative, too."""
FREE = {"de-grad": {"network": {"kind": "cnn", "features": 3, "layers": 2}}}
"""In training norms are estimates in single precision, too coarse for differences."""


def made(name, training):
    if training:
        return model(name, **FREE.get(name, {})).train()
    built = model(name, **NORMALISED.get(name, {}))
    if name in NORMALISED:
        for layer in built.network.convolutions:
            layer.weight.data.mul_(4)
    return built


@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_every_argument_has_the_derivative_of_the_image(name, training, output):
    """Measurements, noise level, scale, coil maps and all weights, λ among them."""
    A, y = scan((6, 5))
    method, factor = made(name, training), normal(1, 1, 6, 5, seed=5)
    weights = list(method.parameters())
    level, peak = torch.tensor([0.05]).double(), torch.tensor([1.3]).double()
    leaves = [y, level, peak, A.coil_maps, *weights]
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]

    def loss(y, level, peak, maps, *values):
        names = [key for key, _ in method.named_parameters()]
        x = torch.func.functional_call(
            method,
            dict(zip(names, values, strict=True)),
            (y, CartesianMRI(maps, A.mask)),
            {"sigma": level, "scale": peak, "tol": 1e-11, "output": output},
        ).value
        return (x * factor.conj()).real.sum() + x.abs().square().sum()

    gradients = torch.autograd.grad(loss(*leaves), leaves, allow_unused=True)
    # The weights together, all else by itself.
    for group in ([0], [1], [2], [3], range(4, len(leaves))):
        directions = {n: normal(*leaves[n].shape, seed=n, dtype=leaves[n].dtype) for n in group}
        found = sum(
            (gradients[n].conj() * directions[n]).real.sum().item()
            for n in group
            if gradients[n] is not None
        )
        step, ends = 1e-6, []
        for sign in (step, -step):
            moved = [
                leaf + sign * directions[n] if n in directions else leaf
                for n, leaf in enumerate(leaves)
            ]
            with torch.no_grad():
                ends.append(loss(*moved).item())
        expected = (ends[0] - ends[1]) / (2 * step)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5), group
