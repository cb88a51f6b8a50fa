"""What holds for every learned method alike."""

import math

import pytest
import torch

import molrecon
from molrecon.data.axes import Axes
from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.methods import METHODS, build_method
from molrecon.reconstructors.store import load, read_header

from ..support import normal, slope
from .methods import ALL, SETTINGS, config, model, scan

pytestmark = pytest.mark.parametrize("method", ALL)

SIGMA = 0.05


def relative(a, b):
    return (norm(a - b) / norm(b)).max().item()


@torch.no_grad()
@pytest.mark.parametrize("exponent", [-90, 40])
def test_units_of_the_data_are_those_of_the_image(method, exponent):
    """Powers of two are exact in floating point, so the result is the same to the last bit."""
    A, y = scan(batch=2, dtype=torch.complex64)
    loose = {"tol": 1e-3, "stopping": "residual"}
    changes = {"forward": loose} if "forward" in SETTINGS[method] else {}
    if "data_step" in SETTINGS[method]:
        changes = {"data_step": {"tol": 1e-3}}
    reconstruct = model(method, **changes).float()
    one = reconstruct(y, A, sigma=SIGMA)
    other = reconstruct(y * 2.0**exponent, A, sigma=SIGMA * 2.0**exponent)
    assert torch.equal(other.value, one.value * 2.0**exponent)


@torch.no_grad()
def test_scaling_equivariance(method):
    A, y = scan()
    reconstruct = model(method)
    expected = reconstruct(y, A, sigma=SIGMA).value
    assert (
        relative(reconstruct(1234.5 * y, A, sigma=1234.5 * SIGMA).value / 1234.5, expected) < 1e-8
    )


@torch.no_grad()
def test_a_batch_equals_its_samples(method):
    A, y = scan(batch=2)
    reconstruct, sigma = model(method), torch.tensor([0.02, 0.2]).double()
    together = reconstruct(y, A, sigma=sigma)
    for i in (0, 1):
        alone = reconstruct(
            y[i : i + 1], CartesianMRI(A.coil_maps, A.mask[i : i + 1]), sigma=sigma[i]
        )
        assert relative(together.value[i : i + 1], alone.value) < 1e-8
        assert together.sigma[i] == alone.sigma[0]
    assert len(together.status) == 2
    for figure in (together.iterations, together.relative_residual, together.error_bound):
        assert figure is None or figure.shape == (2,)


@torch.no_grad()
def test_noise_level_is_estimated_when_not_given(method):
    A, y = scan((24, 20))
    reconstruct = model(method)
    solution = reconstruct(y, A)
    assert torch.equal(solution.sigma, A.estimate_sigma(y))
    assert torch.equal(solution.value, reconstruct(y, A, sigma=solution.sigma).value)


@torch.no_grad()
def test_nothing_is_invented_where_no_coil_sees(method):
    A, y = scan()
    seen = torch.zeros(A.mask.shape, dtype=torch.bool)
    seen[..., 2:8, 1:7] = True
    A = CartesianMRI(A.coil_maps * seen, A.mask)
    x = model(method)(y, A, sigma=SIGMA, x0=torch.ones(1, *A.shape_in).to(y)).value
    assert torch.equal(x * ~seen, torch.zeros_like(x))
    assert x.abs().max() > 0


@torch.no_grad()
def test_the_output_can_be_the_full_scan(method):
    A, y = scan()
    reconstruct = model(method)
    plain = reconstruct(y, A, sigma=SIGMA)
    full = reconstruct(y, A, sigma=SIGMA, output="full-scan")
    assert torch.allclose(full.value, A.completed(plain.value, y))
    own = model(method, output="full-scan")
    assert torch.equal(own(y, A, sigma=SIGMA).value, full.value)


@torch.no_grad()
def test_volumes_are_reconstructed_by_the_same_code(method):
    network = SETTINGS[method]["network"] | {"ndim": 3}
    A, y = scan((5, 6, 7))
    solution = model(method, network=network)(y, A, sigma=SIGMA)
    assert solution.value.shape == (1, 1, 5, 6, 7)
    assert solution.converged


@torch.no_grad()
def test_nothing_is_certified(method):
    A, y = scan()
    reconstruct = model(method)
    assert not reconstruct.certified
    solution = reconstruct(y, A, sigma=SIGMA)
    assert not solution.certified
    bounded = method in ("mol", "de-grad", "mnm-mol")
    assert (solution.guarantee is not None) is bounded
    assert solution.converged
    assert solution.seconds > 0


@torch.no_grad()
def test_a_broken_network_is_a_status_or_raises(method):
    A, y = scan(batch=2)
    reconstruct = model(method)
    next(reconstruct.network.parameters()).data.fill_(math.nan)
    solution = reconstruct(y, A, sigma=SIGMA, raise_on_failure=False)
    assert solution.status == (Status.NON_FINITE,) * 2
    with pytest.raises(ConvergenceError, match=r"sample 0 .*NaN or infinity appeared"):
        reconstruct(y, A, sigma=SIGMA)


def test_gradients_equal_finite_differences(method):
    A, y = scan((6, 5))
    reconstruct = model(method)
    sigma = torch.tensor([0.05], dtype=torch.float64, requires_grad=True)
    leaves = [p for p in reconstruct.parameters() if p.requires_grad]
    target = torch.ones(1, *A.shape_in, dtype=torch.float64)
    seen = []

    def loss():
        solution = reconstruct(y, A, sigma=sigma, on_backward=seen.append)
        return norm(solution.value - target).square().sum()

    leaves.append(sigma)
    gradients = torch.autograd.grad(loss(), leaves)
    directions = [torch.randn(leaf.shape).to(leaf) for leaf in leaves]
    predicted = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True)).item()
    assert predicted == pytest.approx(slope(loss, leaves, directions, 1e-6), rel=1e-4)
    assert all(solution.converged for solution in seen)
    assert bool(seen) is (method != "unet")


@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_the_full_scan(method, training):
    """With respect to measurements, σ and a starting weight, in both modes of the network."""
    A, y = scan((8, 7))
    reconstruct = model(method, output="full-scan").train(training)
    sigma = torch.tensor([SIGMA], dtype=torch.float64)
    weight = next(p for p in reconstruct.parameters() if p.requires_grad)
    weights = normal(1, 1, 8, 7, seed=5)

    def loss():
        solution = reconstruct(leaf, A, sigma=level)
        return (solution.value * weights.conj()).real.sum()

    leaf, level = y.clone().requires_grad_(), sigma.clone().requires_grad_()
    leaves = [leaf, level, weight]
    gradients = torch.autograd.grad(loss(), leaves)
    directions = [A.mask * normal(*y.shape, seed=6), torch.ones_like(sigma)]
    directions.append(normal(*weight.shape, seed=7, dtype=torch.float64))
    pairs = zip(gradients, directions, strict=True)
    predicted = sum((g.conj() * d).real.sum() for g, d in pairs).item()
    assert predicted == pytest.approx(slope(loss, leaves, directions, 1e-6), rel=1e-4, abs=1e-6)


def test_without_anything_to_differentiate_no_graph_is_made(method):
    A, y = scan()
    reconstruct = model(method).requires_grad_(False)
    assert not reconstruct(y, A, sigma=SIGMA).value.requires_grad


A_SCAN, Y_SCAN = scan()


@pytest.mark.parametrize(
    ("y", "sigma", "sentence"),
    [
        (Y_SCAN, -0.1, r"sigma is -0.1, expected positive finite"),
        (Y_SCAN, torch.tensor([0.1, 0.2]), r"sigma has shape \(2,\), expected a number or \(1,\)"),
        (Y_SCAN, "low", r"sigma is 'low', expected a number or \(1,\) of them"),
        (Y_SCAN * math.nan, 0.1, "measurements hold NaN"),
        (Y_SCAN * 0, 0.1, "measurements of a sample are all zero"),
        (Y_SCAN[:, :2], 0.1, r"measurements of shape \(1, 2, 10, 9\)"),
    ],
)
def test_wrong_input_is_refused(method, y, sigma, sentence):
    with torch.no_grad(), pytest.raises(InputError, match=sentence):
        model(method)(y, A_SCAN, sigma=sigma)


def test_networks_of_other_images_are_refused(method):
    A, y = scan((4, 5, 6))
    with torch.no_grad(), pytest.raises(InputError, match="made for 2 spatial axes"):
        model(method)(y, A, sigma=SIGMA)


def test_a_wrong_output_is_refused(method):
    with pytest.raises(InputError, match="output is 'both', expected one of fixed-point"):
        config(method).model_copy(update={"output": "both"}).build()
    A, y = scan()
    with pytest.raises(InputError, match="output is 'both', expected one of fixed-point"):
        model(method)(y, A, sigma=SIGMA, output="both")


def test_store_round_trip(method, tmp_path):
    torch.manual_seed(1)
    settings = config(method)
    built = settings.build()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = molrecon.save(built, tmp_path / "m.safetensors", settings, about={"a": 1})
    assert read_header(path) == (settings, {"a": 1})
    restored = load(path)
    assert type(restored) is type(built)
    assert restored.state_dict().keys() == built.state_dict().keys()
    for name, tensor in built.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor)
    assert restored.equilibrium == built.equilibrium
    A, y = scan(dtype=torch.complex64)
    quiet = {"sigma": 1.0, "raise_on_failure": False, "tol": 0.5}
    with torch.no_grad():
        assert torch.equal(restored(y, A, **quiet).value, built.eval()(y, A, **quiet).value)


def test_settings_survive_json(method):
    settings = config(method)
    assert settings.method == method
    assert ModelConfig.model_validate(settings.model_dump(mode="json")) == settings
    assert ModelConfig.model_validate({"method": method}).build().network is not None


def test_is_a_method_by_its_name(method, tmp_path):
    settings = config(method)
    path = molrecon.save(settings.build(), tmp_path / "m.safetensors", settings)
    built = build_method(method, model=path)
    assert (built.name, built.model, built.axes) == (method, str(path), Axes("yx"))
    A, y = scan(dtype=torch.complex64)
    solution = built(y, A, sigma=1.0, tol=0.5, raise_on_failure=False)
    assert solution.value.shape == (1, 1, 10, 9)
    assert not solution.value.requires_grad
    other = "modl" if method == "mol" else "mol"
    with pytest.raises(InputError, match=f"trained for the method {method}, but {other} is wanted"):
        build_method(other, model=path)
    assert method in METHODS
