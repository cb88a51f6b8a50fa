import math
import pickle
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.equilibrium.forward_backward import PROVED, ROUNDING_UNKNOWN, ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium, published_equilibrium
from molrecon.errors import ConvergenceError, InputError
from molrecon.networks import ResidualStrictCNN
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.start import peak, sense_start
from molrecon.reconstructors.weights import DataWeight

from ..support import cartesian_mri, contractive_cnn, normal, slope

SPATIAL = (24, 20)


def smooth_image(batch=1, dtype=torch.complex128):
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SPATIAL], indexing="ij")
    image = torch.exp(-3 * (x**2 + 2 * y**2) + 1j * x).to(dtype)
    return torch.stack([(1 + b) * image.roll(b, 0) for b in range(batch)]).unsqueeze(1)


def scan(batch=1, sigma=0.02, dtype=torch.complex128):
    A = cartesian_mri(SPATIAL, coils=4, mask_batch=batch, dtype=dtype)
    clean = A(smooth_image(batch, dtype))
    noise = normal(*clean.shape, seed=5, dtype=dtype)
    return A, clean + sigma * A.mask * noise


def model(m=0.1, *, tol=1e-8, stopping="bound", shift=0.0, weight=None, **arguments):
    solver = ForwardBackward(tol=tol, stopping=stopping, max_iterations=1000)
    return MOL(
        contractive_cnn(1 - m, **arguments),
        weight or DataWeight(lam0=0.05, floor=0.01),
        monotonicity=m,
        equilibrium=Equilibrium(solver, solver),
        shift=shift,
    ).double()


def relative(a, b):
    return (norm(a - b) / norm(b)).max().item()


@torch.no_grad()
def test_solves_its_equation_in_the_units_of_the_data():
    A, y = scan()
    mol = model()
    solution = mol(y, A, sigma=0.02)
    scale = sense_start(y, A)[1]
    x, sigma = solution.value / scale, 0.02 / scale
    lam = mol.weight(sigma)
    residual = x - mol.network(x, sigma) + lam * A.H(A(x) - y / scale)
    assert norm(residual).item() < 1e-7 * norm(lam * A.H(y / scale)).item()
    assert solution.lam.item() == pytest.approx(lam.item())
    assert solution.sigma.item() == pytest.approx(0.02)
    assert solution.seconds > 0
    assert not solution.certified


def test_scale_is_the_peak_of_the_image():
    A, y = scan()
    assert sense_start(y, A)[1].item() == pytest.approx(1.0, rel=0.15)
    values = torch.arange(1, 1001).reshape(1, 1, 40, 25) * torch.exp(torch.tensor(0.3j))
    assert peak(values).item() == pytest.approx(999)


@torch.no_grad()
@pytest.mark.parametrize("exponent", [-90, -3, 80])
def test_units_of_the_data_are_those_of_the_image(exponent):
    """Powers of two are exact in floating point, so the result is the same to the last bit."""
    A, y = scan(batch=2, dtype=torch.complex64)
    mol = model(tol=1e-3).float()
    one = mol(y, A, sigma=0.02)
    other = mol(y * 2.0**exponent, A, sigma=0.02 * 2.0**exponent)
    assert torch.equal(other.value, one.value * 2.0**exponent)
    assert torch.equal(other.error_bound, one.error_bound)
    assert torch.equal(other.lam, one.lam)


@torch.no_grad()
@settings(deadline=None, max_examples=8)
@given(st.floats(1e-9, 1e9))
def test_scaling_equivariance(factor):
    A, y = scan()
    mol = model()
    expected = factor * mol(y, A, sigma=0.02).value
    assert relative(mol(factor * y, A, sigma=0.02 * factor).value, expected) < 1e-6
    expected = factor * mol(y, A).value
    assert relative(mol(factor * y, A).value, expected) < 1e-6


@torch.no_grad()
def test_noise_level_is_estimated_when_not_given():
    A, y = scan(batch=2, sigma=0.05)
    solution = model()(y, A)
    assert torch.equal(solution.sigma, A.estimate_sigma(y))
    assert torch.allclose(solution.value, model()(y, A, sigma=solution.sigma).value)


@torch.no_grad()
def test_a_batch_equals_its_samples():
    A, y = scan(batch=2)
    mol, sigma = model(), torch.tensor([0.02, 0.05]).double()
    together = mol(y, A, sigma=sigma)
    for i in (0, 1):
        alone = mol(y[i : i + 1], type(A)(A.coil_maps, A.mask[i : i + 1]), sigma=sigma[i])
        assert relative(together.value[i : i + 1], alone.value) < 1e-7
        assert together.lam[i].item() == pytest.approx(alone.lam.item())


@torch.no_grad()
def test_start_changes_the_work_and_not_the_image():
    A, y = scan()
    mol = model()
    expected = mol(y, A, sigma=0.02)
    far = mol(y, A, sigma=0.02, x0=100 * normal(1, 1, *SPATIAL))
    near = mol(y, A, sigma=0.02, x0=expected.value)
    assert relative(far.value, expected.value) < 1e-7
    assert near.network_evaluations < expected.network_evaluations < far.network_evaluations


@torch.no_grad()
def test_tolerance_can_be_given_per_call():
    A, y = scan()
    mol = model()
    exact = mol(y, A, sigma=0.02).value
    rough = mol(y, A, sigma=0.02, tol=1e-2)
    assert 1e-8 < relative(rough.value, exact) <= rough.error_bound.item() <= 1e-2
    assert mol.equilibrium.forward.tol == 1e-8


@torch.no_grad()
def test_more_noise_means_less_weight_on_the_data():
    A, y = scan()
    lams = [model()(y, A, sigma=s).lam.item() for s in (0.005, 0.02, 0.2)]
    assert lams == sorted(lams, reverse=True)


@torch.no_grad()
@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_robustness_bound_in_the_units_of_the_data(size):
    """Without biases H is positively homogeneous, so the scale drops out and the bound is exact."""
    A, y = scan()
    m, lam = 0.1, 8.0
    mol = model(m, weight=DataWeight("fixed", lam0=lam), noise_conditioned=False)
    for layer in mol.network.convolutions:
        layer.bias.data.zero_()
    one = mol(y, A, sigma=0.02).value
    for seed in range(3):
        change = size * A.mask * normal(*y.shape, seed=seed)
        moved = norm(mol(y + change, A, sigma=0.02).value - one)
        assert 0 < moved.item() <= 0.5 * (lam / m) ** 0.5 * norm(change).item() * (1 + 1e-6)


def test_gradients_reach_weights_data_weight_and_noise_level():
    A, y = scan()
    mol = model(tol=1e-13, stopping="residual", weight=DataWeight(lam0=0.05, floor=0.01).double())
    sigma = torch.tensor([0.02], dtype=torch.float64, requires_grad=True)
    target = smooth_image()
    leaves = [mol.network.convolutions[0].weight, mol.network.convolutions[1].noise_bias]
    leaves += [mol.weight.log_lam0, mol.weight.log_floor, sigma]

    def loss():
        return norm(mol(y, A, sigma=sigma).value - target).square().sum()

    gradients = torch.autograd.grad(loss(), leaves)
    for number, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        direction = normal(*leaf.shape, seed=number, dtype=leaf.dtype)
        # Small, lest it cross a kink of the network.
        found = slope(loss, [leaf], [direction], 1e-7)
        assert (gradient * direction).sum().item() == pytest.approx(found, rel=1e-4, abs=1e-7)


def test_gradient_of_the_data_is_that_of_the_scale_too():
    A, y = scan()
    mol = model(tol=1e-12, stopping="residual")
    leaf = y.clone().requires_grad_()
    direction = A.mask * normal(*y.shape, seed=3)
    target = smooth_image()
    loss = norm(mol(leaf, A, sigma=0.02).value - target).square().sum()
    (gradient,) = torch.autograd.grad(loss, leaf)
    with torch.no_grad():
        step = 1e-5
        slope = sum(
            sign * norm(mol(y + sign * step * direction, A, sigma=0.02).value - target) ** 2
            for sign in (1, -1)
        ) / (2 * step)
    assert (gradient.conj() * direction).real.sum().item() == pytest.approx(slope.item(), rel=1e-4)


def test_adjoint_solution_is_reported():
    A, y = scan()
    seen = []
    model()(y, A, sigma=0.02, on_backward=seen.append).value.abs().sum().backward()
    assert len(seen) == 1
    assert seen[0].converged


class Enlarged(ResidualStrictCNN):
    """Claims the bound of its parent, which its values exceed."""

    def apply_channels(self, x, code):
        return 1.5 * super().apply_channels(x, code)


class Decreasing(torch.nn.Module):
    def forward(self, h, code):
        return -0.5 * torch.tanh(h)


def strict(kind=ResidualStrictCNN, m=0.1):
    network = kind(features=4, layers=2, lipschitz=0.9).double().eval()
    return MOL(network, DataWeight().double(), monotonicity=m)


def untrue_networks():
    """Models whose network is not what its class says, each in another way."""
    yield strict(Enlarged)
    hooked, replaced, patched, training = (strict() for _ in range(4))
    hooked.network.register_forward_hook(lambda module, arguments, out: 1.015 * out)
    yield hooked
    replaced.network.clips[0] = Decreasing()
    yield replaced
    patched.network.clips[0].forward = lambda h, code: 3 * h
    yield patched
    training.network.convolutions[1].train()
    yield training


@torch.no_grad()
def test_certified_needs_a_bound_that_is_proved_of_the_network_in_memory():
    A, y = scan()
    assert strict()(y, A, sigma=0.02).certified
    assert strict(m=0.05).certified
    assert not strict(m=0.2).certified
    assert not model().certified
    for untrue in untrue_networks():
        assert not untrue.certified
        assert not untrue(y, A, sigma=0.02, raise_on_failure=False).certified
    assert not strict().train().certified
    for gain in (-5.0, math.nan):
        enlarged = strict()
        enlarged.network_gain = gain
        assert not enlarged.certified


def test_rounding_is_not_counted_where_hooks_may_keep_a_network_from_double_precision():
    A, y = scan()
    A, y = A.to(dtype=torch.complex64), y.to(torch.complex64)
    known = strict().float()
    hooked = deepcopy(known)
    torch.nn.utils.spectral_norm(hooked.network.convolutions[0])  # keeps a kernel of its own
    for model, sentence in ((known, PROVED), (hooked, ROUNDING_UNKNOWN)):
        with torch.no_grad():
            solution = model(y, A, sigma=0.02, raise_on_failure=False)
        assert solution.certified == (sentence is PROVED)
        assert sentence in solution.guarantee.rests_on


class Given(torch.nn.Module):
    def __init__(self, lam):
        super().__init__()
        self.lam = torch.as_tensor(lam)

    def forward(self, sigma):
        return self.lam


@torch.no_grad()
def test_weights_of_any_real_kind_are_taken_in_the_precision_of_the_images():
    A, y = scan()
    A, y = A.to(dtype=torch.complex64), y.to(torch.complex64)
    known = strict().float()
    values = []
    for lam in (10.0, torch.tensor(10), torch.tensor([10.0]).double(), torch.tensor([10.0]).half()):
        known.weight = Given(lam)
        solution = known(y, A, sigma=0.02)
        assert solution.certified
        assert solution.lam.dtype == torch.float32
        values.append(solution.value)
    assert all(torch.equal(value, values[0]) for value in values)


@pytest.mark.parametrize("lam", [10j, [1.0, 2.0, 3.0], -1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused(lam):
    A, y = scan()
    known = strict()
    known.weight = Given(lam)
    with pytest.raises(InputError, match="expected"):
        known(y, A, sigma=0.02)


class Doubled(MOL):
    """Solves another equation than it says."""

    def inclusion(self, problem, network=None):
        return replace(super().inclusion(problem, network), H=lambda x: 2 * x)


def altered_models():
    """Models that are changed around a network that is what it says, each in another way."""
    hooked, prehooked, patched, subclass = (strict() for _ in range(4))
    hooked.register_forward_hook(lambda module, arguments, out: replace(out, value=2 * out.value))
    yield hooked
    prehooked.register_forward_pre_hook(lambda module, arguments: (2 * arguments[0], arguments[1]))
    yield prehooked
    patched.returned = lambda x, *rest: 2 * x
    yield patched
    subclass.__class__ = Doubled
    yield subclass


@torch.no_grad()
def test_certified_needs_a_model_that_computes_what_its_class_says():
    A, y = scan()
    assert not strict().altered
    for model in altered_models():
        assert model.altered
        assert not model.certified
        solution = model(y, A, sigma=0.02, raise_on_failure=False)
        assert not solution.certified
        assert "does not change what it computes" in solution.guarantee.rests_on


@torch.no_grad()
def test_copies_are_certified_by_the_weights_they_hold():
    """A copy, a pickled one and one read again; changed in place it is judged anew."""
    model = strict()
    pickled = pickle.loads(pickle.dumps(model))
    reread = strict()
    reread.load_state_dict(model.state_dict())
    for copied in (deepcopy(model), pickled, reread):
        assert copied.certified
        copied.network.lipschitz = 0.95
        assert not copied.certified
        copied.network.lipschitz = 0.9
        copied.network.convolutions[0].weight.data.mul_(100)
        assert copied.certified
        copied.network.convolutions[0].weight.data[0, 0] = torch.nan
        assert not copied.certified
    torch.nn.utils.parametrizations.weight_norm(model.network.convolutions[0])
    assert not model.certified


def test_failure_raises_by_default():
    A, y = scan()
    mol = model()
    mol.equilibrium = Equilibrium(ForwardBackward(tol=1e-9, max_iterations=2))
    with torch.no_grad(), pytest.raises(ConvergenceError, match="forward solve of sample 0"):
        mol(y, A, sigma=0.02)
    with torch.no_grad():
        solution = mol(y, A, sigma=0.02, raise_on_failure=False)
    assert not solution.converged
    assert solution.iterations.item() == 2


@torch.no_grad()
def test_published_settings_lead_to_the_equation_with_the_hidden_multiple():
    A, y = scan(sigma=0.05)
    shifted, plain = (model(0.7, shift=shift) for shift in (0.1, 0.0))
    expected, other = (mol(y, A, sigma=0.05).value for mol in (shifted, plain))
    solution = shifted(y, A, sigma=0.05, equilibrium=published_equilibrium())
    assert solution.converged
    assert relative(solution.value, expected) < 0.5 * relative(other, expected)
    assert solution.normal_evaluations == 6 * solution.network_evaluations


A_SCAN, Y_SCAN = scan()


@pytest.mark.parametrize(
    ("y", "sigma", "sentence"),
    [
        (Y_SCAN, 0.0, r"sigma is 0.0, expected positive finite"),
        (Y_SCAN, -0.1, r"sigma is -0.1"),
        (Y_SCAN, math.nan, "sigma is nan"),
        (Y_SCAN, math.inf, "sigma is inf"),
        (Y_SCAN, torch.tensor([0.1, 0.2]), r"sigma has shape \(2,\), expected a number or \(1,\)"),
        (Y_SCAN * complex(math.nan), 0.1, "measurements hold NaN"),
        (Y_SCAN * math.inf, 0.1, "measurements hold NaN or infinite"),
        (Y_SCAN * 0, 0.1, "measurements of a sample are all zero"),
        (torch.cat([Y_SCAN, 0 * Y_SCAN]), 0.1, "measurements of a sample are all zero"),
        (torch.where(A_SCAN.mask, 0, 1 + 0 * Y_SCAN), 0.1, "data and mask belong together"),
        (Y_SCAN[:, :3], 0.1, r"measurements of shape \(1, 3, 24, 20\)"),
    ],
)
def test_wrong_input_is_refused(y, sigma, sentence):
    with torch.no_grad(), pytest.raises(InputError, match=sentence):
        model()(y, A_SCAN, sigma=sigma)


@pytest.mark.parametrize("m", [0.0, 1.0, -0.1, math.nan])
def test_monotonicity_out_of_range_is_refused(m):
    with pytest.raises(InputError, match=r"expected m in \(0, 1\)"):
        MOL(contractive_cnn(0.5), monotonicity=m)


@torch.no_grad()
def test_unshrunk_equation_is_that_of_larger_measurements():
    A, y = scan()
    plain = model(m=0.1, weight=DataWeight("fixed", lam0=0.5))
    scale = sense_start(y, A)[1]
    expected = plain((1 + 0.1 / 0.5) * y, A, sigma=0.02, scale=scale)
    plain.unshrunk = True
    solution = plain(y, A, sigma=0.02, scale=scale)
    assert relative(solution.value, expected.value) < 1e-7
    assert solution.robustness.item() == pytest.approx(1.2 * expected.robustness.item())


@torch.no_grad()
def test_what_the_score_has_nothing_against_comes_out_unshrunk():
    class Identity(torch.nn.Identity):
        def forward(self, x, sigma=None):
            return 0.9 * x

    A, _ = scan(sigma=0.0)
    A = CartesianMRI(A.coil_maps, torch.ones_like(A.mask))
    image = smooth_image()
    mol = model(m=0.1, weight=DataWeight("fixed", lam0=0.3))
    mol.network = Identity()
    shrunk = mol(A(image), A, sigma=0.02).value
    mol.unshrunk = True
    whole = mol(A(image), A, sigma=0.02).value
    assert relative(whole, image) < 1e-6
    assert relative(shrunk, 0.75 * image) < 1e-6


@torch.no_grad()
@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
def test_gain_of_the_unshrunk_equation_stays_within_its_bound(output):
    A, y = scan()
    mol = model(m=0.1, weight=DataWeight("fixed", lam0=0.3))
    mol.unshrunk = True
    scale = sense_start(y, A)[1]
    one = mol(y, A, sigma=0.02, scale=scale, output=output)
    for seed in range(5):
        change = 1e-2 * normal(*y.shape, seed=seed) * A.mask
        two = mol(y + change, A, sigma=0.02, scale=scale, output=output)
        gain = norm(two.value - one.value) / norm(change)
        assert gain.item() <= one.robustness.item()
