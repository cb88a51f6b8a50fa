"""The full scan that a reconstruction predicts: measured samples kept, the others filled in."""

import math

import pytest
import torch
from scipy.sparse.linalg import aslinearoperator

from molrecon.data.coil_maps import combine_coils
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.solution import Guarantee, Solution
from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.operators.fourier import fft_centred
from molrecon.operators.wrapped import wrap_operator
from molrecon.reconstructors.completion import in_unit_of
from molrecon.reconstructors.mol import MOL

from ..support import cartesian_mri, dense_matrices, normal
from .test_mol import model, scan


def test_measured_samples_come_from_the_data_and_the_others_from_the_estimate():
    A, x = cartesian_mri((6, 5), coils=3), normal(1, 1, 6, 5)
    maps = A.coil_maps / A.coil_maps.abs().square().sum(1, keepdim=True).sqrt()
    A = CartesianMRI(maps, A.mask)
    full = normal(1, 3, 6, 5, seed=1)
    estimated = fft_centred(A.coil_maps * x, 2)
    mixed = torch.where(A.mask, full, estimated)
    assert torch.allclose(A.completed(x, full * A.mask), combine_coils(mixed, A.coil_maps))


def test_is_the_posterior_mean_of_the_full_scan():
    """A Gaussian image and white noise: the conditional expectation has a closed form."""
    A = cartesian_mri((3, 4), coils=2)
    maps = A.coil_maps / A.coil_maps.abs().square().sum(1, keepdim=True).sqrt()
    A, complete = CartesianMRI(maps, A.mask), CartesianMRI(maps, torch.ones_like(A.mask))
    sigma2, y = 0.3, normal(1, 2, 3, 4, seed=3)
    y = y * A.mask
    sampled = A.mask.expand(1, 2, 3, 4).flatten()
    everything = dense_matrices(complete)[0]
    matrix, data = everything[sampled], y.flatten()[sampled]
    covariance = matrix @ matrix.mH + sigma2 * torch.eye(len(matrix))
    weights = torch.linalg.solve(covariance, data)
    mean = (matrix.mH @ weights).reshape(1, 1, 3, 4)  # E[x | y] for x ~ N(0, I)
    # k = E x + n has covariance E Eᴴ + σ²I with y: E[k | y], combined.
    cross = everything @ matrix.mH + sigma2 * torch.eye(len(sampled))[:, sampled]
    full = (everything.mH @ (cross @ weights)).reshape(1, 1, 3, 4)
    assert torch.allclose(A.completed(mean, y), full, atol=1e-10)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_differences_grow_by_no_more_than_the_gain(scale):
    A = cartesian_mri((4, 5), coils=2, maps_batch=2)
    A = CartesianMRI(scale * A.coil_maps, A.mask)
    matrices = dense_matrices(A)
    change = torch.eye(20) - matrices.mH @ matrices
    assert (torch.linalg.matrix_norm(change, 2) <= A.completion_gain * (1 + 1e-12)).all()


def test_the_output_can_be_the_full_scan():
    A, y = scan(batch=2)
    mol = model()
    inner, full = mol(y, A, sigma=0.02), mol(y, A, sigma=0.02, output="full-scan")
    assert torch.allclose(full.value, A.completed(inner.value, y))
    own = MOL(mol.network, mol.weight, monotonicity=0.1, output="full-scan")
    own.equilibrium = mol.equilibrium
    assert torch.equal(own(y, A, sigma=0.02).value, full.value)
    with pytest.raises(InputError, match="output"):
        MOL(mol.network, output="both")


@pytest.mark.parametrize("size", [1e-4, 1.0])
def test_of_an_image_in_double_precision_no_part_is_computed_in_single(size):
    """Measurements in single precision far above the image: their adjoint counts most."""
    A = cartesian_mri((6, 5), coils=3, dtype=torch.complex64)
    x, y = size * normal(1, 1, 6, 5), A.mask * normal(1, 3, 6, 5, dtype=torch.complex64)
    assert A.for_double is A
    exact = A.in_double.completed(x, y.to(torch.complex128))
    assert norm(A.completed(x, y) - exact) <= 1e-14 * norm(exact)


@torch.no_grad()
def test_its_bound_holds():
    A, y = scan()
    mol = model()
    exact = mol(y, A, sigma=0.02, output="full-scan").value
    for tol in (1e-1, 1e-2, 1e-3):
        rough = mol(y, A, sigma=0.02, tol=tol, output="full-scan")
        distance = norm(rough.value - exact) / norm(rough.value)
        assert distance <= rough.error_bound
        assert rough.converged
        assert rough.error_bound <= tol


def test_gradients_pass_through_it():
    A, y = scan()
    mol = model()
    target = normal(1, 1, 24, 20)
    loss = lambda b: (  # noqa: E731
        norm(mol(b, A, sigma=0.02, output="full-scan").value - target).square().sum()
    )
    weight, step = mol.network.convolutions[0].weight, 1e-4
    (gradient,) = torch.autograd.grad(loss(y), weight)
    change = normal(*weight.shape, seed=4, dtype=torch.float64)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * change
            values.append(loss(y).item())
            weight -= sign * step * change
    slope = (values[0] - values[1]) / (2 * step)
    assert (gradient * change).sum().item() == pytest.approx(slope, rel=1e-3)


def test_operators_without_a_full_scan_keep_the_image_and_its_bounds():
    """Also where no bound on ‖A‖ is known."""
    A, y = scan()
    matrix = aslinearoperator(dense_matrices(A)[0].numpy())
    for other in (
        A @ Denoising(A.shape_in, dtype=A.dtype),
        wrap_operator(matrix, A.shape_in, A.shape_out),
    ):
        plain, full = (
            model()(y, other, sigma=0.02, output=o) for o in ("fixed-point", "full-scan")
        )
        assert torch.equal(plain.value, full.value)
        assert torch.equal(plain.error_bound, full.error_bound)
        assert torch.equal(plain.robustness, full.robustness)


@torch.no_grad()
@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_converged_is_said_of_what_is_returned(output, dtype, size):
    """A full scan of other norm than x, or of maps that enlarge differences, has another bound."""
    A, y = scan(dtype=dtype)
    A = CartesianMRI(size * A.coil_maps, A.mask)
    mol = model().to(dtype.to_real())
    for tol in (1e-1, 1e-2, 1e-3):
        solution = mol(y, A, sigma=0.02, tol=tol, output=output)
        assert solution.converged
        assert solution.error_bound <= tol
    with pytest.raises(ConvergenceError):
        mol(y, A, sigma=0.02, tol=1e-17, output=output)
    failed = mol(y, A, sigma=0.02, tol=1e-17, output=output, raise_on_failure=False)
    assert not failed.converged


class Given(torch.nn.Module):
    """A data weight that is one number in every precision."""

    def forward(self, sigma):
        return torch.full_like(sigma, 250.0)


@torch.no_grad()
@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
@pytest.mark.parametrize("unit", [1.0, 1e-30, 3e-38, 1e30])
def test_the_bound_holds_in_the_unit_of_the_measurements(output, unit):
    """Of single precision: its division by the scale, the completion, and the smallest numbers."""
    A, y = scan(dtype=torch.complex64)
    y = unit * y
    single, double = (model(weight=Given()) for _ in range(2))
    single = single.float()
    sigma, wide = max(0.02 * unit, 1e-44), y.to(torch.complex128)
    settled = single.held(y, A, sigma=sigma).fixed
    double.equilibrium = Equilibrium(ForwardBackward(tol=1e-9, max_iterations=1000))
    for tol in (1e-2, 1e-6):
        found = single(y, A, tol=tol, output=output, raise_on_failure=False, **settled)
        exact = double(
            wide,
            A.in_double,
            output=output,
            scale=settled["scale"].double(),
            sigma=(settled["sigma"] / settled["scale"]).double() * settled["scale"].double(),
        ).value
        value = found.value.to(torch.complex128)
        assert norm(value - exact) <= (found.error_bound + 2e-9) * norm(value)
        assert not found.converged or found.error_bound <= tol


def test_an_image_that_overflows_in_its_unit_is_no_result():
    A, known = Denoising((1, 2, 2)), Guarantee(torch.tensor([1e-3, 1e-3]), True, "a theorem")
    x = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
    computed = Solution(x, (Status.CONVERGED,) * 2, torch.ones(2), guarantee=known)
    found = in_unit_of(computed, x, A, torch.full((2,), 3e38), completed=False)
    assert found.error_bound.tolist() == [pytest.approx(1e-3), math.inf]
    assert found.held_to(1e-2).status == (Status.CONVERGED, Status.NON_FINITE)
