"""What every method of the registry keeps, learned or not."""

import inspect
import math
from contextlib import nullcontext

import pytest
import torch

from molrecon.errors import InputError
from molrecon.linear.status import Status
from molrecon.lipschitz.linearised import Linearised
from molrecon.networks.precision import Arithmetic, full_precision
from molrecon.operators.base import inner, norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.super_resolution import SuperResolution
from molrecon.reconstructors import tikhonov
from molrecon.reconstructors.base import Held, Reconstructor, at_strength
from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.methods import METHODS

from ..support import normal
from .methods import model, scan

pytestmark = pytest.mark.parametrize("name", list(METHODS))

TIGHT = {"l1-wavelet": {"change": 1e-8}, "tv": {"change": 1e-8}}
SIGMA, TOL = 0.05, 1e-9
DIFFERENTIABLE = {*METHODS} - {"l1-wavelet", "tv"}


def method(name: str) -> Reconstructor:
    """Return a method in double precision, its solves as exact as the tests need."""
    if name in LEARNED:
        return model(name).requires_grad_(False)
    if name in TIGHT:
        pytest.importorskip("sigpy")
    return METHODS[name](**TIGHT.get(name, {}))


def reconstruct(made: Reconstructor, y, A, **options):
    return made(y, A, tol=TOL, raise_on_failure=False, **options)


def relative(a, b):
    return (norm(a - b) / norm(b)).max().item()


def test_is_called_in_one_way(name):
    made = method(name)
    assert made.name == name
    call = made.forward if name in LEARNED else made.__call__
    parameters = inspect.signature(call).parameters
    assert list(parameters)[:2] == ["y", "A"]
    for option in ("sigma", "tol", "raise_on_failure"):
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["sigma"].default is parameters["tol"].default is None
    assert parameters["raise_on_failure"].default is True


@pytest.mark.parametrize(
    "sigma", [-1.0, 0.0, math.nan, math.inf, [0.1, -0.1], [0.1] * 3, torch.ones(2, 1), "loud"]
)
def test_refuses_a_noise_level_that_is_none(name, sigma):
    A, y = scan(batch=2)
    made = method(name)
    for call in (made, made.held):
        with pytest.raises(InputError, match="sigma"):
            call(y, A, sigma=sigma)


@pytest.mark.parametrize("tol", [0.0, -1e-3, 2.0, math.nan, "tight"])
def test_refuses_a_tolerance_that_is_none(name, tol):
    A, y = scan()
    with pytest.raises(InputError, match="tol is"):
        method(name)(y, A, sigma=SIGMA, tol=tol)


def test_repr_is_short_and_says_the_settings(name):
    A, y = scan()
    made = method(name)
    held = repr(made.held(y, A, sigma=SIGMA))
    assert held.startswith("Held(")
    assert ("scale" in held) == (name in LEARNED or name in TIGHT)
    if name not in LEARNED:
        assert repr(made).startswith(f"{type(made).__name__}(")
        assert all(f"{key}={value}" in repr(made) for key, value in TIGHT.get(name, {}).items())
        assert len(held) < 150
        with at_strength(made, 2.0) if made.tunable else nullcontext():
            assert ("strength=2" in repr(made)) == made.tunable


@torch.no_grad()
def test_returns_a_whole_solution(name):
    A, y = scan((16, 12), batch=2)
    solution = reconstruct(method(name), y, A, sigma=SIGMA)
    assert solution.value.shape == (2, 1, 16, 12)
    assert solution.value.dtype == A.dtype
    assert all(isinstance(status, Status) for status in solution.status)
    assert len(solution.status) == 2
    known = solution.relative_residual, solution.error_bound, solution.robustness, solution.lam
    for figures in (solution.iterations, *known):
        assert figures is None or figures.shape == (2,)
        assert figures is None or bool(torch.isfinite(figures).all())
    facts = solution.facts(1)
    assert facts["status"] == solution.status[1].value
    assert solution.seconds > 0
    assert len(repr(solution)) < 150


@torch.no_grad()
@pytest.mark.parametrize("factor", [1e-9, 1e7])
def test_units_of_the_data_are_those_of_the_image(name, factor):
    A, y = scan((16, 12))
    made = method(name)
    one = reconstruct(made, y, A, sigma=SIGMA).value
    other = reconstruct(made, factor * y, A, sigma=factor * SIGMA).value
    assert relative(other / factor, one) < 1e-7


@torch.no_grad()
def test_a_batch_equals_its_samples(name):
    A, y = scan((16, 12), batch=2)
    made, sigma = method(name), torch.tensor([0.02, 0.2]).double()
    together = reconstruct(made, y, A, sigma=sigma)
    for i in (0, 1):
        of_one = CartesianMRI(A.coil_maps, A.mask[i : i + 1])
        alone = reconstruct(made, y[i : i + 1], of_one, sigma=sigma[i])
        assert relative(together.value[i : i + 1], alone.value) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("sigma", [SIGMA, None])
def test_held_is_the_method_itself_at_its_measurements(name, sigma):
    A, y = scan((24, 20))
    made = method(name)
    held = made.held(y, A, sigma=sigma)
    assert (held.name, held.axes, held.differentiable) == (name, made.axes, made.differentiable)
    expected = reconstruct(made, y, A, sigma=sigma)
    assert relative(reconstruct(held, y, A).value, expected.value) < 1e-9
    assert held.held(2 * y, A) is held


@torch.no_grad()
def test_held_fixes_noise_level_and_weight(name):
    """The estimate of σ, and with it λ, would follow other measurements."""
    A, y = scan((24, 20))
    held = method(name).held(y, A)
    one, other = (reconstruct(held, z, A) for z in (y, 1.5 * y + 0.3 * A.mask * normal(*y.shape)))
    if one.lam is not None:
        assert torch.equal(one.lam, other.lam)
    if one.sigma is not None:
        assert torch.equal(one.sigma, other.sigma)
    with pytest.raises(InputError, match=r"sigma is 0\.1, expected none: it is fixed"):
        held(y, A, sigma=0.1)
    assert isinstance(held, Held)


@torch.no_grad()
def test_held_gains_no_more_than_is_proved(name):
    A, y = scan((16, 12))
    held = method(name).held(y, A, sigma=SIGMA)
    clean = reconstruct(held, y, A)
    for size in (1e-3, 1.0):
        change = size * A.mask * normal(*y.shape, seed=4)
        moved = norm(reconstruct(held, y + change, A).value - clean.value)
        if clean.robustness is not None:
            assert moved <= clean.robustness * norm(change) * (1 + 1e-6)


@pytest.mark.parametrize("sigma", [SIGMA, None])
@pytest.mark.parametrize("operator", ["mri", "super-resolution"])
def test_gradients_with_respect_to_the_measurements(name, operator, sigma, monkeypatch):
    """Of scale, estimated noise level and start, too: nothing that depends on y is held fixed."""
    monkeypatch.setattr(tikhonov, "HALVINGS", 46)
    monkeypatch.setattr(tikhonov, "SEARCH_RTOL", 1e-12)
    A, y = scan((24, 20))
    mask = A.mask
    if operator == "super-resolution":
        if sigma is None:
            return  # it shows no noise
        A = SuperResolution((1, 24, 20), 2, dtype=torch.complex128)
        y, mask = A(normal(1, 1, 24, 20, seed=2)), 1
    made = method(name)
    if name not in DIFFERENTIABLE:
        assert not made.differentiable
        leaf = y.clone().requires_grad_()
        assert not reconstruct(made, leaf, A, sigma=sigma).value.requires_grad
        return
    weight, direction = normal(1, 1, 24, 20, seed=5), mask * normal(*y.shape, seed=6)

    def loss(z):
        return (made(z, A, sigma=sigma, tol=1e-10).value * weight.conj()).real.sum()

    leaf = y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    slope = (gradient.conj() * direction).real.sum().item()
    with torch.no_grad():
        step = 1e-6
        expected = (loss(y + step * direction) - loss(y - step * direction)) / (2 * step)
    assert slope == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)


def test_products_with_the_jacobian_are_central_differences(name):
    """The implicit gradient is differentiated once more, in what it is linear in."""
    if name not in DIFFERENTIABLE:
        assert not method(name).differentiable
        return
    A, y = scan((10, 9))
    held = method(name).held(y, A, sigma=SIGMA)

    def image(measurements):
        return held(measurements, A, tol=1e-10, raise_on_failure=False).value

    jacobian = Linearised(image, y)
    v, step = normal(*y.shape, seed=3), 1e-6
    product = jacobian.forward(v)
    differences = (image(y + step * v) - image(y - step * v)) / (2 * step)
    assert relative(product, differences) < 1e-7
    u = normal(*product.shape, seed=4)
    torch.testing.assert_close(inner(u, product), inner(jacobian.transposed(u), v))


def test_gradients_with_respect_to_coil_maps(name, monkeypatch):
    """Through the data term, the start, the scale, and the choice of λ."""
    monkeypatch.setattr(tikhonov, "HALVINGS", 46)
    monkeypatch.setattr(tikhonov, "SEARCH_RTOL", 1e-12)
    if name not in DIFFERENTIABLE:
        return
    A, y = scan((12, 10))
    made = method(name)
    weight, direction = normal(1, 1, 12, 10, seed=5), normal(*A.coil_maps.shape, seed=6)

    def loss(maps):
        solution = made(y, CartesianMRI(maps, A.mask), sigma=SIGMA, tol=1e-10)
        return (solution.value * weight.conj()).real.sum()

    leaf = A.coil_maps.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    slope = (gradient.conj() * direction).real.sum().item()
    with torch.no_grad():
        step = 1e-6
        ahead, behind = (loss(A.coil_maps + sign * step * direction) for sign in (1, -1))
    assert slope == pytest.approx(((ahead - behind) / (2 * step)).item(), rel=1e-5, abs=1e-6)


def test_mixed_precision_is_refused(name):
    A, y = scan()
    made = method(name)
    with pytest.raises(InputError, match="measurements are complex64, but the operator A is"):
        made(y.to(torch.complex64), A, sigma=SIGMA)
    if name in LEARNED:
        with pytest.raises(InputError, match="model's weights are float64"):
            made(y.to(torch.complex64), A.to(dtype=torch.complex64), sigma=SIGMA)


def test_what_are_no_measurements_is_refused_before_work_starts(name):
    A, y = scan()
    made = method(name)
    for wrong, sentence in (
        (y * torch.nan, "the measurements hold NaN or infinite values"),
        (y[:0], r"the measurements have shape \(0, "),
        (y.numpy(), "y is of type ndarray, expected torch.Tensor"),
        (None, "y is of type NoneType, expected torch.Tensor"),
    ):
        with pytest.raises(InputError, match=sentence):
            made(wrong, A, sigma=SIGMA)
    with pytest.raises(InputError, match="A is of type Tensor, expected a LinearOperator"):
        made(y, y, sigma=SIGMA)


@pytest.mark.parametrize(("unit", "loss"), [(1e-12, 1e-20), (1e12, 1e20), (1, 1e-20), (1e-12, 1)])
def test_gradients_in_single_precision_are_those_in_double(name, unit, loss):
    """Squares of small gradients vanish in single precision, and those of large ones overflow."""
    if name not in DIFFERENTIABLE:
        return
    A, y = scan((12, 10))
    weight = normal(1, 1, 12, 10, seed=1)

    def gradients(dtype, unit, loss):
        leaf = (unit * y).to(dtype).requires_grad_()
        sigma = torch.tensor([unit * SIGMA], dtype=dtype.to_real(), requires_grad=True)
        made = loose(name, dtype)
        x = made(leaf, A.to(dtype=dtype), sigma=sigma, tol=1e-5).value
        value = loss * (x * weight.conj().to(dtype)).real.sum()
        found = torch.autograd.grad(value, (leaf, sigma), allow_unused=True)
        return [None if g is None else g.to(y.dtype)[None] / loss for g in found]

    found = gradients(torch.complex64, unit, loss)
    for one, expected in zip(found, gradients(torch.complex128, 1, 1), strict=True):
        assert expected is None or relative(one, expected) < 1e-3


def loose(name: str, dtype: torch.dtype) -> Reconstructor:
    """Return a method whose solves single precision can follow."""
    solver = {"tol": 1e-5, "stopping": "residual", "max_iterations": 3000, "inner_reduction": 1e-2}
    changes = (
        {"forward": solver, "backward": solver} if name in ("mol", "mnm-mol", "de-grad") else {}
    )
    if name in ("modl", "admm-net"):
        changes = {"data_step": {"tol": 1e-5}}
    if name in LEARNED:
        return model(name, **changes).requires_grad_(False).to(dtype.to_real())
    return method(name)


def test_mixed_precision_and_tf32_are_off_outside_training(name):
    """No bound covers either, nor the adjoint solve. In training they are left as they are."""
    if name not in LEARNED:
        return
    A, y = scan((12, 10))
    made = model(name)
    expected = reconstruct(made, y, A, sigma=SIGMA).value
    seen = []
    made.network.register_forward_hook(lambda *what: seen.append(Arithmetic.present("cpu")))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = reconstruct(made, y, A, sigma=SIGMA).value
        assert torch.equal(value, expected)
        assert set(seen) == {full_precision("cpu")}
        seen.clear()
        value.abs().sum().backward()
        assert made.equilibrium is None or full_precision("cpu") in seen
        seen.clear()
        reconstruct(made.train(), y, A, sigma=SIGMA)
        assert set(seen) == {Arithmetic.present("cpu")}
