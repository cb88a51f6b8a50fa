"""SENSE and MOL on real images, gray and colour: no solver knows which problem it is."""

import math

import pytest
import torch

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.errors import InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.networks import ResidualStrictCNN
from molrecon.operators.base import norm
from molrecon.operators.blur import Blur
from molrecon.operators.denoising import Denoising
from molrecon.operators.inpainting import Inpainting
from molrecon.operators.kernels import box_kernel, gaussian_kernel
from molrecon.operators.super_resolution import SuperResolution
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.start import sense_start
from molrecon.reconstructors.weights import DataWeight

from ..support import dense_matrices, normal, slope

REAL = torch.float64
SPATIAL = (24, 16)
MASK = torch.rand(1, 1, *SPATIAL, generator=torch.Generator().manual_seed(0)) < 0.4
SIGMA = 0.05

PROBLEMS = {
    "denoising": lambda n: Denoising((n, *SPATIAL), dtype=REAL),
    "inpainting": lambda n: Inpainting(MASK, channels=n, dtype=REAL),
    "deblurring": lambda n: Blur(gaussian_kernel(1.2, dtype=REAL), (n, *SPATIAL)),
    "super-resolution": lambda n: SuperResolution((n, *SPATIAL), 2, dtype=REAL),
    "super-resolution, 7 of 24 by 16": lambda n: SuperResolution(
        (n, *SPATIAL), 7, box_kernel(7, dtype=REAL)
    ),
    "super-resolution, factor 8": lambda n: SuperResolution(
        (n, *SPATIAL), 8, box_kernel(8, dtype=REAL)
    ),
}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param]


def picture(channels=1, batch=1):
    """A smooth image of peak 1, with negative values too."""
    y, x = torch.meshgrid(*[2 * math.pi * torch.arange(n) / n for n in SPATIAL], indexing="ij")
    waves = [torch.cos(x - k) * (1 + 0.3 * torch.sin(y + k)) for k in range(channels * batch)]
    images = torch.stack(waves).reshape(batch, channels, *SPATIAL).to(REAL)
    return images / images.abs().amax((1, 2, 3), keepdim=True)


def measured(A, x):
    y = A(x)
    return y + SIGMA * normal(*y.shape, dtype=REAL, seed=3)


def model(channels=1, m=0.1, *, inner=None, tol=1e-9, stopping="bound"):
    torch.manual_seed(0)
    network = ResidualStrictCNN(channels=channels, features=6, layers=2, lipschitz=1 - m)
    arguments = {"inner": inner} if inner else {}
    solver = ForwardBackward(tol=tol, stopping=stopping, max_iterations=500, **arguments)
    weight = DataWeight(lam0=0.02, floor=0.01)
    mol = MOL(network, weight, monotonicity=m, equilibrium=Equilibrium(solver, solver))
    return mol.double().eval()


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_mol_solves_its_equation(problem, channels):
    A = problem(channels)
    y = measured(A, picture(channels))
    mol = model(channels)
    solution = mol(y, A, sigma=SIGMA)
    scale = sense_start(y, A)[1]
    x, sigma = solution.value / scale, SIGMA / scale
    lam = mol.weight(sigma)
    residual = x - mol.network(x, sigma) + lam * A.H(A(x) - y / scale)
    assert norm(residual).item() < 1e-6 * norm(lam * A.H(y / scale)).item()
    assert solution.certified
    assert solution.value.dtype == REAL
    assert solution.sigma.item() == SIGMA


@torch.no_grad()
def test_direct_and_iterative_inner_solves_lead_to_the_same_image(problem):
    A = problem(1)
    y = measured(A, picture())
    iterative = ConjugateGradient(rtol=0.05)
    direct, other = (model(inner=inner)(y, A, sigma=SIGMA) for inner in (None, iterative))
    assert norm(direct.value - other.value).item() < 1e-6 * norm(other.value).item()
    if A.resolvent(torch.ones(1, dtype=REAL), A.H(y)) is not None:
        # One for the residual of the equation, one to check the closed form; a few to confirm.
        assert direct.normal_evaluations <= 2 * direct.network_evaluations + 3
        assert direct.normal_evaluations <= other.normal_evaluations


@torch.no_grad()
@pytest.mark.parametrize("tol", [0.1, 1e-2, 1e-4])
def test_error_bound_holds(problem, tol):
    A = problem(1)
    y = measured(A, picture())
    exact = model(tol=1e-12, stopping="residual")(y, A, sigma=SIGMA).value
    rough = model(tol=tol)(y, A, sigma=SIGMA)
    error = norm(rough.value - exact) / norm(rough.value)
    assert error.item() <= rough.error_bound.item() <= tol


@torch.no_grad()
@pytest.mark.parametrize("factor", [1e-6, 255.0])
def test_units_of_the_data_are_those_of_the_image(problem, factor):
    A = problem(3)
    y = measured(A, picture(3))
    one = model(3)(y, A, sigma=SIGMA).value
    other = model(3)(factor * y, A, sigma=factor * SIGMA).value
    assert norm(other / factor - one).item() < 1e-6 * norm(one).item()


@torch.no_grad()
@pytest.mark.parametrize("gain", [1.0, 1e-3, 50.0])
def test_scale_is_the_peak_of_the_image_whatever_the_norm(problem, gain):
    """Decimation by 8 has a norm of 1/8, and a kernel may have any sum."""
    A = problem(1)
    if isinstance(A, Blur):
        A = Blur(gain * A.kernel, A.shape_in)
    if isinstance(A, SuperResolution):
        A = SuperResolution(A.shape_in, A.factor, gain * A.blur.kernel)
    constant = torch.full((1, *A.shape_in), -2.0, dtype=REAL)
    assert sense_start(A(constant), A)[1].item() == pytest.approx(2.0, rel=0.15)


@torch.no_grad()
def test_sigma_has_to_be_given(problem):
    A = problem(1)
    with pytest.raises(InputError, match=r"cannot tell the noise from the data: give sigma"):
        model()(A(picture()), A)


def test_networks_of_other_images_are_refused():
    A = PROBLEMS["deblurring"](3)
    with pytest.raises(InputError, match=r"and 1 real channels, found .* \(1, 3, 24, 16\)"):
        model(1)(A(picture(3)), A, sigma=SIGMA)


def test_gradients_equal_finite_differences(problem):
    A = problem(1)
    y = measured(A, picture())
    mol = model(tol=1e-13, stopping="residual")
    leaves = [mol.network.clips[0].log_threshold, mol.weight.log_lam0]

    def loss():
        return norm(mol(y, A, sigma=SIGMA).value - picture()).square().sum()

    gradients = torch.autograd.grad(loss(), leaves)
    for number, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        direction = normal(*leaf.shape, seed=number, dtype=leaf.dtype)
        found = slope(loss, [leaf], [direction], 1e-6)
        assert (gradient * direction).sum().item() == pytest.approx(found, rel=1e-4, abs=1e-7)


@torch.no_grad()
def test_a_batch_equals_its_samples(problem):
    A = problem(1)
    y, sigma = measured(A, picture(batch=2)), torch.tensor([0.02, 0.1], dtype=REAL)
    together = model()(y, A, sigma=sigma).value
    for i in (0, 1):
        alone = model()(y[i : i + 1], A, sigma=sigma[i]).value
        assert norm(together[i : i + 1] - alone).item() < 1e-7 * norm(alone).item()


def test_sense_is_the_least_squares_solution(problem):
    A, lam = problem(1), 20.0
    y = measured(A, picture())
    matrix = dense_matrices(A)[0]
    system = torch.eye(matrix.shape[1], dtype=REAL) + lam * matrix.mT @ matrix
    expected = torch.linalg.solve(system, lam * matrix.mT @ y.flatten())
    solution = SENSE(lam)(y, A, tol=1e-10)
    direct = SENSE(lam)(y, A)
    assert torch.allclose(solution.value.flatten(), expected, atol=1e-8)
    assert norm(direct.value.flatten()[None] - expected[None]) <= 1e-4 * norm(expected[None])
    assert (direct.error_bound <= 1e-4 * (1 + lam)).all()
