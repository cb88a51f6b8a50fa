"""Methods by name."""

import pytest
import torch

import molrecon
from molrecon.data.axes import Axes
from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.reconstructors.configuration import LEARNED, ModelConfig
from molrecon.reconstructors.methods import METHODS, build_method
from molrecon.reconstructors.zero_filled import ZeroFilled

from ..support import cartesian_mri, normal


@pytest.fixture
def scan():
    A = cartesian_mri((16, 12), dtype=torch.complex64)
    x = normal(1, 1, 16, 12, dtype=torch.complex64)
    return A(x), A


def test_zero_filled(scan):
    y, A = scan
    solution = ZeroFilled()(y, A)
    assert torch.equal(solution.value, A.H(y))
    assert solution.converged
    assert solution.guarantee is None
    assert solution.normal_evaluations == solution.network_evaluations == 0


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
def test_the_tolerance_of_sense_bounds_the_error(scan, tol):
    y, A = scan
    exact = build_method("sense")(y, A, tol=1e-6).value
    solution = build_method("sense")(y, A, tol=tol)
    error = torch.linalg.vector_norm(solution.value - exact)
    assert float(error / torch.linalg.vector_norm(exact)) <= tol
    assert float(solution.error_bound[0]) <= tol


@pytest.mark.parametrize("tol", [1e-1, 1e-3])
def test_the_tolerance_of_tikhonov_bounds_the_error(scan, tol):
    y, A = scan
    y = y + 0.1 * A.mask * normal(*y.shape, seed=9, dtype=y.dtype)
    exact, solution = (build_method("tikhonov")(y, A, sigma=0.1, tol=t) for t in (1e-6, tol))
    error = torch.linalg.vector_norm(solution.value - exact.value)
    assert float(error / torch.linalg.vector_norm(exact.value)) <= tol
    assert float(solution.error_bound[0]) <= tol
    assert solution.sigma.item() == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["l1-wavelet", "tv"])
def test_sparse_methods_converge(scan, name):
    pytest.importorskip("sigpy")
    y, A = scan
    solution = build_method(name)(y, A, sigma=0.1, tol=1e-3)
    assert solution.converged
    assert solution.value.shape == (1, 1, 16, 12)


@pytest.mark.parametrize("name", ["sense", "tikhonov", "l1-wavelet", "tv"])
def test_weights_can_be_given(scan, name):
    y, A = scan
    small, large = (build_method(name, lam=lam)(y, A, sigma=0.1, tol=1e-6) for lam in (0.01, 0.1))
    assert not torch.allclose(small.value, large.value, rtol=1e-3)
    with pytest.raises(InputError, match="lam is -1"):
        build_method(name, lam=-1)


def test_a_solve_of_mol_that_fails_is_a_status(scan, tmp_path):
    config = ModelConfig.model_validate(
        {"network": {"kind": "cnn", "features": 2, "layers": 2}, "forward": {"max_iterations": 1}}
    )
    path = molrecon.save(config.build(), tmp_path / "m.safetensors", config)
    method = build_method("mol", model=path)
    solution = method(*scan, sigma=0.1, tol=1e-9, raise_on_failure=False)
    assert solution.status == (Status.ITERATION_LIMIT,)
    assert not solution.value.requires_grad
    assert (method.model, method.axes) == (str(path), Axes("yx"))


def test_names():
    assert set(METHODS) == {
        *LEARNED,
        "sense",
        "tikhonov",
        "l1-wavelet",
        "tv",
        "zero-filled",
    }
    with pytest.raises(InputError, match="method is 'magic', expected one of mol, modl, "):
        build_method("magic")
    with pytest.raises(InputError, match="neither a file nor a shipped model"):
        build_method("mol", model="heart9d")
