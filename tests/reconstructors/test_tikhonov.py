import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.base import norm
from molrecon.operators.super_resolution import SuperResolution
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.tikhonov import RANGE, Tikhonov

from ..support import dense_matrices, normal
from .methods import scan

SIGMA = torch.tensor([0.05, 0.4]).double()


def noisy(batch=2):
    A, clean = scan((16, 12), batch=batch, sigma=0.0)
    return A, clean + SIGMA[:batch].reshape(-1, 1, 1, 1) * A.mask * normal(*clean.shape, seed=3)


def test_with_a_given_weight_it_is_sense():
    A, y = noisy()
    assert torch.equal(Tikhonov(30.0)(y, A).value, SENSE(30.0)(y, A).value)


def test_the_residual_is_what_the_noise_leaves():
    A, y = noisy()
    solution = Tikhonov()(y, A, sigma=SIGMA, tol=1e-9)
    samples = 3 * A.mask.flatten(1).sum(1)
    assert torch.allclose(norm(A(solution.value) - y), SIGMA * samples.sqrt(), rtol=1e-3)
    assert solution.lam[0] > solution.lam[1]
    assert torch.equal(solution.sigma, SIGMA)
    matrices = dense_matrices(A)
    system = torch.eye(matrices.shape[-1]) + solution.lam.reshape(-1, 1, 1) * (
        matrices.mH @ matrices
    )
    right = solution.lam.reshape(-1, 1, 1, 1) * A.H(y)
    expected = torch.linalg.solve(system, right.flatten(1)[..., None]).reshape(right.shape)
    assert torch.allclose(solution.value, expected, atol=1e-8)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_units_of_the_data_are_those_of_the_image(factor):
    A, y = noisy()
    one, other = (Tikhonov()(f * y, A, sigma=f * SIGMA, tol=1e-9) for f in (1.0, factor))
    assert torch.allclose(other.value / factor, one.value, rtol=1e-6)
    assert torch.allclose(other.lam, one.lam)


def test_a_batch_equals_its_samples():
    A, y = noisy()
    together = Tikhonov()(y, A, sigma=SIGMA, tol=1e-9)
    for i in (0, 1):
        alone = Tikhonov()(
            y[i : i + 1], type(A)(A.coil_maps, A.mask[i : i + 1]), sigma=SIGMA[i], tol=1e-10
        )
        assert torch.allclose(together.value[i : i + 1], alone.value, atol=1e-9)


def test_the_scale_of_the_operator_does_not_matter():
    A = SuperResolution((1, 12, 10), 2, dtype=torch.float64)
    B = SuperResolution((1, 12, 10), 2, 7 * A.blur.kernel)
    x = normal(1, 1, 12, 10, dtype=torch.float64)
    noise = 0.1 * normal(1, 1, 6, 5, seed=2, dtype=torch.float64)
    one = Tikhonov()(A(x) + noise, A, sigma=0.1).value
    assert torch.allclose(one, Tikhonov()(B(x) + 7 * noise, B, sigma=0.7).value, rtol=1e-4)


@pytest.mark.parametrize(("sigma", "end"), [(1e-9, RANGE[1]), (1e9, RANGE[0])])
def test_the_weight_stays_in_its_range(sigma, end):
    A, y = noisy(batch=1)
    assert Tikhonov()(y, A, sigma=sigma).lam.item() == pytest.approx(end, rel=1e-2)


def test_the_noise_is_estimated_when_not_given():
    A, y = scan((24, 20))
    assert torch.equal(Tikhonov()(y, A).sigma, A.estimate_sigma(y))


@pytest.mark.parametrize("lam", [0.0, -1.0, math.nan])
def test_weights_out_of_range_are_refused(lam):
    with pytest.raises(InputError, match="expected a positive weight"):
        Tikhonov(lam)


@pytest.mark.parametrize(
    ("factor", "sigma", "sentence"),
    [
        (0.0, 0.1, "all zero: there is nothing to reconstruct"),
        (math.nan, 0.1, "hold NaN or infinite"),
        (1.0, -1.0, "sigma is -1.0"),
    ],
)
def test_wrong_input_is_refused(factor, sigma, sentence):
    A, y = noisy(batch=1)
    with pytest.raises(InputError, match=sentence):
        Tikhonov()(factor * y, A, sigma=sigma)
