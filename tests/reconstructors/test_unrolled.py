"""MoDL and ADMM-Net against their iterations in matrices."""

import math

import pytest
import torch

from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.denoising import Denoising
from molrecon.reconstructors.admm_net import ADMMNet
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.modl import MoDL
from molrecon.reconstructors.start import sense_start
from molrecon.reconstructors.weights import DataWeight

from ..support import dense_matrices, normal, random_cnn
from .methods import model, scan

SIGMA = 0.05


def inverse(A, lam):
    """``(I + λAᴴA)⁻¹`` as a function on images, differentiable in λ."""
    matrices = dense_matrices(A)
    gram = matrices.mH @ matrices
    system = torch.eye(gram.shape[-1]) + lam.reshape(-1, 1, 1) * gram

    def apply(r):
        return torch.linalg.solve(system, r.flatten(1)[..., None]).reshape(r.shape)

    return apply


def modl(x, D, step, count):
    for _ in range(count):
        x = step(D(x))
    return x


def admm(x, D, step, count):
    """The usual form: proximal step of R, ascent of the multipliers, proximal step of the data."""
    u = torch.zeros_like(x)
    for _ in range(count):
        z = D(x + u)
        u = u + x - z
        x = step(z - u)
    return x


UNROLLED = {"modl": modl, "admm-net": admm}


def by_matrices(method, reconstruct, y, A, count):
    start, scale = sense_start(y, A)
    scale = scale.reshape(-1, 1, 1, 1)
    sigma = SIGMA / scale.flatten()
    lam = reconstruct.weight(sigma)
    back = lam.reshape(-1, 1, 1, 1) * A.H(y / scale)
    solve = inverse(A, lam)
    return scale * UNROLLED[method](
        start / scale, lambda z: reconstruct.network(z, sigma), lambda z: solve(z + back), count
    )


@pytest.mark.parametrize("method", UNROLLED)
@pytest.mark.parametrize("count", [1, 4, 10])
def test_is_the_iteration_in_matrices_with_its_gradient(method, count):
    A, y = scan((5, 4), batch=2)
    reconstruct = model(method, iterations=count)
    target = normal(2, 1, 5, 4, seed=11)
    solution = reconstruct(y, A, sigma=SIGMA)
    expected = by_matrices(method, reconstruct, y, A, count)
    assert torch.allclose(solution.value, expected, rtol=1e-9, atol=1e-10)
    leaves = list(reconstruct.parameters())
    found, wanted = (
        torch.autograd.grad(norm(value - target).square().sum(), leaves)
        for value in (solution.value, expected)
    )
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-7, atol=1e-8 * (1 + float(other.abs().max())))


@pytest.mark.parametrize("method", UNROLLED)
def test_the_data_have_the_last_word(method):
    """With λ → ∞ and every sample at hand, the network changes nothing."""
    A, _ = scan()
    A = type(A)(A.coil_maps, torch.ones_like(A.mask))
    x = normal(1, 1, 10, 9)
    reconstruct = model(method, weight={"kind": "fixed", "lam0": 1e7})
    with torch.no_grad():
        assert torch.allclose(reconstruct(A(x), A, sigma=SIGMA).value, x, atol=1e-5)


@torch.no_grad()
def test_multipliers_make_the_difference():
    """Where D is the identity, u stays at zero and ADMM is MoDL: iterated least squares."""
    A, y = scan()
    network, weight = random_cnn(residual=True), DataWeight("fixed", 1.0).double()
    last = network.convolutions[-1]
    exact = {"solver": ConjugateGradient(rtol=1e-13), "iterations": 5}
    methods = [kind(network, weight, **exact) for kind in (MoDL, ADMMNet)]
    one, other = (method(y, A, sigma=SIGMA).value for method in methods)
    assert norm(one - other).item() > 1e-3 * norm(one).item()
    last.weight.zero_()
    last.bias.zero_()
    last.noise_bias.zero_()
    one, other = (method(y, A, sigma=SIGMA).value for method in methods)
    assert torch.allclose(one, other, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("method", UNROLLED)
def test_accounts(method):
    A, y = scan()
    solution = model(method, iterations=4)(y, A, sigma=SIGMA)
    assert solution.network_evaluations == 4
    assert solution.iterations.tolist() == [4]
    assert solution.normal_evaluations > 4
    longer = model(method, iterations=5)(y, A, sigma=SIGMA)
    change = norm(longer.value - solution.value) / norm(longer.value)
    assert longer.relative_residual.item() == pytest.approx(change.item(), rel=1e-6)
    # A closed form needs one application each.
    direct = Denoising((1, 10, 9), dtype=torch.complex128)
    assert model(method)(y[:, :1], direct, sigma=SIGMA).normal_evaluations == 3


@pytest.mark.parametrize("method", UNROLLED)
def test_linear_solves_that_fail_say_so(method):
    A, y = scan(batch=2)
    lazy = model(method, data_step={"tol": 1e-12, "max_iterations": 2})
    with torch.no_grad():
        solution = lazy(y, A, sigma=SIGMA, raise_on_failure=False)
        assert solution.status == (Status.ITERATION_LIMIT,) * 2
        with pytest.raises(ConvergenceError, match=r"data step of sample 0 .* 'iteration limit'"):
            lazy(y, A, sigma=SIGMA)


@pytest.mark.parametrize("method", UNROLLED)
def test_backward_solves_that_fail_say_so_and_give_no_gradient(method):
    A, y = scan(batch=2)
    reconstruct, seen = model(method), []
    solution = reconstruct(y, A, sigma=SIGMA, raise_on_failure=False, on_backward=seen.append)
    reconstruct.solver.__dict__["max_iterations"] = 1
    solution.value.abs().sum().backward()
    assert len(seen) == 3
    assert seen[-1].status == (Status.ITERATION_LIMIT,) * 2
    assert all(float(p.grad.abs().max()) == 0 for p in reconstruct.network.parameters())
    reconstruct = model(method)
    solution = reconstruct(y, A, sigma=SIGMA)
    reconstruct.solver.__dict__["max_iterations"] = 1
    with pytest.raises(ConvergenceError, match="backward data step of sample 0"):
        solution.value.abs().sum().backward()


@pytest.mark.parametrize("kind", [MoDL, ADMMNet])
def test_no_iterations_are_refused(kind):
    with pytest.raises(InputError, match="iterations is 0, expected at least 1"):
        kind(random_cnn(), iterations=0)


@pytest.mark.parametrize("method", UNROLLED)
def test_defaults_are_the_paper_s(method):
    built = ModelConfig.model_validate({"method": method}).build()
    assert built.iterations == 10
    plain = {"kind": "cnn", "residual": True, "noise_conditioned": False}
    built = ModelConfig.model_validate({"method": method, "network": plain}).build()
    assert sum(p.numel() for p in built.network.parameters()) == 113_154
    x = normal(1, 1, 8, 8, dtype=torch.complex64)
    with torch.no_grad():
        assert torch.equal(built.network(x), x)
    assert not math.isnan(built.weight(torch.tensor([0.1])).item())
