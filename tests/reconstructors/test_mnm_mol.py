"""MnM-MOL: MOL's equation under a weaker condition."""

from dataclasses import replace

import pytest
import torch

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.errors import InputError
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.operators.base import norm
from molrecon.operators.denoising import Denoising
from molrecon.reconstructors.mnm_mol import MnMMOL
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.weights import DataWeight

from ..support import contractive_cnn, normal, real_matrices
from .methods import model, scan

SIGMA = 0.05
TIGHT = ForwardBackward(tol=1e-10, stopping="residual", max_iterations=5000)
EXACT = Equilibrium(TIGHT, TIGHT)


def fixed(lam):
    return DataWeight("fixed", lam)


@pytest.mark.parametrize("lam", [0.3, 4.0])
def test_is_mol_where_both_converge(lam):
    """Same equation, same network: same image and, in the end, the same gradients."""
    A, y = scan(batch=2)
    network = contractive_cnn(0.8)
    images, gradients = [], []
    for kind in (MOL, MnMMOL):
        weight = fixed(lam).double()
        reconstruct = kind(network, weight, monotonicity=0.02, equilibrium=EXACT)
        solution = reconstruct(y, A, sigma=SIGMA)
        assert solution.lam.tolist() == pytest.approx([lam, lam])
        leaves = [*network.parameters(), weight.log_lam0]
        images.append(solution.value.detach())
        gradients.append(torch.autograd.grad(solution.value.abs().square().sum(), leaves))
    assert torch.allclose(*images, rtol=1e-7, atol=1e-9)
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6 * (1 + float(other.abs().max())))


@torch.no_grad()
def test_the_network_may_expand_where_the_data_hold_the_image():
    """All is measured and λ = 1: the sum is monotone with a network of Lipschitz constant 1.3."""
    A = Denoising((1, 10, 9), dtype=torch.complex128)
    network = contractive_cnn(1.3)
    y = normal(1, 1, 10, 9)
    reconstruct = MnMMOL(network, fixed(1.0), monotonicity=0.3, equilibrium=EXACT).double()
    solution = reconstruct(y, A, sigma=SIGMA)
    assert solution.converged
    # Lip(I − G) ≤ 1.3 / 2, so m = 0.35 holds, and with it the bound on the distance.
    rough = replace(EXACT, forward=replace(TIGHT, tol=0.05))
    early = reconstruct(y, A, sigma=SIGMA, equilibrium=rough)
    distance = norm(early.value - solution.value) / norm(early.value)
    assert 0 < distance.item() <= early.error_bound.item()


def test_the_constrained_map_is_the_step_at_this_operator():
    A, _ = scan((4, 3))
    reconstruct, sigma = model("mnm-mol", step=0.7), torch.tensor([SIGMA]).double()
    x = normal(1, 1, 4, 3)
    lam = reconstruct.weight(sigma).item()
    constrained = reconstruct.constrained_map(A, sigma)

    def jacobian(f):
        return real_matrices(lambda v: torch.func.jvp(f, (x,), (v.resolve_conj(),))[1], x)[0]

    data = real_matrices(A.normal, x)[0]
    H = jacobian(lambda v: reconstruct.network(v, sigma))
    identity = torch.eye(len(data), dtype=data.dtype)
    G = (lam * data + identity - H) / (1 + lam)
    expected = identity - 0.7 * G
    assert torch.allclose(jacobian(constrained), expected, atol=1e-10)
    found = jacobian_norm(constrained, x, tol=1e-9, max_iterations=3000).value.item()
    assert found == pytest.approx(torch.linalg.matrix_norm(expected, 2).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"step": 0.0}, r"step is 0.0, expected a value in \(0, 1\]"),
        ({"step": 1.1}, "step is 1.1"),
        ({"monotonicity": 0.0}, r"expected m in \(0, 1\)"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        MnMMOL(contractive_cnn(0.5), **arguments)
