"""DE-GRAD: its equation, its gradient and its step."""

import pytest
import torch

from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.super_resolution import SuperResolution
from molrecon.reconstructors.de_grad import DEGrad
from molrecon.reconstructors.start import sense_start

from ..support import contractive_cnn, dense_matrices, normal
from .methods import SOLVER, model, scan

SIGMA = 0.05


def gradient_steps(reconstruct, y, A, steps, eta):
    """The paper's iteration, unrolled with everything recorded."""
    start, scale = sense_start(y, A)
    scale = scale.reshape(-1, 1, 1, 1)
    sigma, data, x = SIGMA / scale.flatten(), y / scale, start / scale
    for _ in range(steps):
        residual = A.H(A(x) - data)
        x = x - eta * (residual + x - reconstruct.network(x, sigma))
    return scale * x


@torch.no_grad()
@pytest.mark.parametrize("step", [0.1, 0.3, 0.6])
def test_solves_its_equation_whatever_the_step(step):
    A, y = scan(batch=2)
    reconstruct = model("de-grad", step=step)
    solution = reconstruct(y, A, sigma=SIGMA)
    scale = sense_start(y, A)[1].reshape(-1, 1, 1, 1)
    x = solution.value / scale
    denoised = reconstruct.network(x, SIGMA / scale.flatten())
    equation = A.H(A(x) - y / scale) + x - denoised
    assert (norm(equation) < 1e-8 * norm(x)).all()
    assert torch.allclose(
        solution.value, model("de-grad")(y, A, sigma=SIGMA).value, rtol=1e-6, atol=1e-8
    )
    assert solution.lam.tolist() == [1, 1]
    assert solution.network_evaluations == solution.normal_evaluations > 1


def test_implicit_gradient_is_that_of_the_unrolled_iteration():
    A, y = scan((5, 4), batch=2)
    reconstruct, seen = model("de-grad"), []
    target = normal(2, 1, 5, 4, seed=11)
    solution = reconstruct(y, A, sigma=SIGMA, on_backward=seen.append)
    expected = gradient_steps(reconstruct, y, A, 400, 0.5)
    assert torch.allclose(solution.value, expected, rtol=1e-7, atol=1e-9)
    leaves = list(reconstruct.parameters())
    found, wanted = (
        torch.autograd.grad(norm(value - target).square().sum(), leaves)
        for value in (solution.value, expected)
    )
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-7 * (1 + float(other.abs().max())))
    assert seen[0].converged


@torch.no_grad()
@pytest.mark.parametrize("tol", [0.1, 1e-2, 1e-4])
def test_error_bound_holds(tol):
    A, y = scan()
    exact = model("de-grad")(y, A, sigma=SIGMA).value
    loose = SOLVER | {"stopping": "bound", "tol": tol}
    rough = model("de-grad", forward=loose)(y, A, sigma=SIGMA)
    error = norm(rough.value - exact) / norm(rough.value)
    assert error.item() <= rough.error_bound.item() <= tol
    assert rough.monotonicity == pytest.approx(0.2)


@torch.no_grad()
def test_what_has_no_bound_says_so():
    A, y = scan()
    published = model("de-grad", network={"kind": "kernel-normalised", "features": 3, "layers": 2})
    assert published.constraint_text is None
    solution = published(y, A, sigma=SIGMA)
    assert solution.converged
    assert solution.guarantee is None
    strict = model("de-grad")
    assert strict.constraint_text == "Lip(N) ≤ 0.8, D = I − N"
    # The bound of the network, 0.8, is not enough for this m.
    assert model("de-grad", monotonicity=0.3).constraint_text is None
    assert strict.train().constraint_text is None


@torch.no_grad()
@pytest.mark.parametrize("step", [0.2, 2 / 3])
def test_the_step_contracts_as_the_bound_says(step):
    A, _ = scan()
    network = contractive_cnn(0.8)
    sigma = torch.tensor([SIGMA]).double()
    assert torch.linalg.matrix_norm(dense_matrices(A)[0], 2) <= 1
    for seed in range(5):
        x, z = (normal(1, 1, 10, 9, seed=seed + offset) for offset in (0, 50))
        moved = [v - step * (A.normal(v) + v - network(v, sigma)) for v in (x, z)]
        assert norm(moved[0] - moved[1]) <= (1 - 0.2 * step) * norm(x - z)


@torch.no_grad()
def test_the_scale_of_the_operator_does_not_matter():
    A = SuperResolution((1, 12, 10), 2, dtype=torch.float64)
    B = SuperResolution((1, 12, 10), 2, 7 * A.blur.kernel)
    x = normal(1, 1, 12, 10, dtype=torch.float64)
    network = {"kind": "spectral", "features": 3, "layers": 2, "lipschitz": 0.8, "channels": 1}
    reconstruct = model("de-grad", network=network)
    one, other = (reconstruct(op(x), op, sigma=SIGMA).value for op in (A, B))
    assert torch.allclose(one, other, rtol=1e-6, atol=1e-8)


@torch.no_grad()
def test_an_expanding_network_is_a_status():
    A, y = scan()
    network = contractive_cnn(0.5)
    for layer in network.convolutions:
        layer.weight.mul_(20)
    solution = DEGrad(network)(y, A, sigma=SIGMA, raise_on_failure=False)
    assert solution.status[0] in (Status.DIVERGED, Status.ITERATION_LIMIT)
    with pytest.raises(ConvergenceError, match="forward solve of sample 0"):
        DEGrad(network)(y, A, sigma=SIGMA)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"step": 0.0}, r"step is 0.0, expected a value in \(0, 2/3\]"),
        ({"step": 0.7}, "step is 0.7"),
        ({"monotonicity": 1.0}, r"expected m in \(0, 1\)"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        DEGrad(contractive_cnn(0.5), **arguments)
