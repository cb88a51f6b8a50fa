"""The attack finds known worst directions, and never more than is proved."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.errors import InputError
from molrecon.evaluation.attack import (
    AttackEffort,
    Target,
    attack,
    gaussian,
    perturbed,
    worst_case,
)
from molrecon.evaluation.attack.worst_case import harm, signal
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.networks.base import Network
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.denoising import Denoising
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.weights import DataWeight

from ...reconstructors.methods import ALL, model, scan
from ...support import cartesian_mri, contractive_cnn, dense_matrices, normal

TOL = 1e-7
INNER = ConjugateGradient(rtol=1e-2, relative_to="start", max_iterations=500)
EXACT = Equilibrium(
    ForwardBackward(tol=TOL, max_iterations=5000, inner=INNER),
    ForwardBackward(tol=TOL, max_iterations=5000, inner=INNER),
)


class Multiple(Network):
    """H(x) = (1 − m) x, the network that the bound is attained with."""

    ndim, channels, noise_conditioned = 2, 2, False

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def apply_channels(self, x, code):
        return self.factor * x

    def lipschitz_bound(self):
        return self.factor


def mol(m, lam, network=None, output="fixed-point"):
    built = MOL(
        network or Multiple(1 - m),
        DataWeight("fixed", lam0=lam),
        monotonicity=m,
        equilibrium=EXACT,
        output=output,
    )
    return built.double().eval().requires_grad_(False)


def attacked(target, epsilon=0.05, **effort):
    with torch.no_grad():
        clean = target.reconstruct(target.y, tol=TOL)
    delta = worst_case(target, clean, epsilon, **effort)
    return clean, perturbed(target, clean, delta, tol=TOL)


def linear_gain(A, m, lam, *, full_scan):
    """Norm of the linear map y ↦ x* for H = (1 − m)I, and of that to the full scan."""
    matrix = dense_matrices(A)[0]
    gram, back = matrix.mH @ matrix, matrix.mH
    solution = lam * torch.linalg.solve(m * torch.eye(len(gram)) + lam * gram, back)
    if full_scan:
        solution = solution + back - gram @ solution
    return torch.linalg.matrix_norm(solution, 2).item()


@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_worst_direction_of_a_linear_method_is_found(output, seed):
    """And comes near the bound, which is therefore not empty: at least a fifth of it."""
    m, lam = 0.1, 8.0
    A = cartesian_mri((6, 5), coils=3, fraction=0.4, seed=seed)
    y = A(normal(1, 1, 6, 5, seed=seed))
    clean, found = attacked(Target.of(mol(m, lam, output=output), y, A, 0.05), steps=20)
    largest = linear_gain(A, m, lam, full_scan=output == "full-scan")
    assert found.gain.item() == pytest.approx(largest, rel=0.01)
    assert found.gain.item() >= 0.2 * clean.robustness.item()
    assert not found.exceeds(clean.robustness)


@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
def test_the_bound_is_approached_where_the_operator_is_weak(output):
    """Maps of size √(m/λ) in one pixel: there the bound of x* is attained."""
    m, lam = 0.02, 20.0
    maps = cartesian_mri((4, 4), coils=2).coil_maps.clone()
    maps[..., 2, 1] *= (m / lam) ** 0.5
    A = CartesianMRI(maps, torch.ones(1, 1, 4, 4, dtype=torch.bool))
    y = A(normal(1, 1, 4, 4))
    clean, found = attacked(Target.of(mol(m, lam, output=output), y, A, 0.05))
    assert 0.99 * clean.robustness < found.gain
    assert not found.exceeds(clean.robustness)


@settings(deadline=None, max_examples=15)
@given(
    m=st.floats(0.05, 0.6),
    lam=st.floats(0.1, 50),
    epsilon=st.floats(1e-3, 0.5),
    full=st.booleans(),
    linear=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_proved_is_never_exceeded(m, lam, epsilon, full, linear, seed):
    A = cartesian_mri((5, 4), coils=2, fraction=0.6, seed=seed)
    y = A(normal(1, 1, 5, 4, seed=seed))
    network = Multiple(1 - m) if linear else contractive_cnn(1 - m, seed=seed)
    built = mol(m, lam, network, "full-scan" if full else "fixed-point")
    target = Target.of(built, y, A, 0.05)
    clean, found = attacked(target, epsilon, restarts=1, steps=8, seed=seed)
    noise = perturbed(target, clean, gaussian(target, epsilon, seed), tol=TOL)
    for one in (found, noise):
        assert one.size.item() == pytest.approx(epsilon * norm(y).item(), rel=1e-6)
        assert one.gain.item() <= clean.robustness.item() * (1 + 1e-6)
        assert not one.exceeds(clean.robustness)
    assert found.gain >= noise.gain * (1 - 1e-3)


@pytest.mark.parametrize("method", ALL)
def test_the_ascent_climbs_for_every_learned_method(method):
    """Above noise of the same norm, and only where something was sampled."""
    A, y = scan(batch=2)
    target = Target.of(model(method), y, A, 0.05)
    clean, found = attacked(target, 0.05, restarts=1, steps=6)
    noise = perturbed(target, clean, gaussian(target, 0.05, 3), tol=TOL)
    assert bool((found.gain > 1.05 * noise.gain).all())
    assert bool((found.delta[~target.free.expand_as(y)] == 0).all())
    assert torch.allclose(found.size, 0.05 * signal(target))


def test_sense_has_the_proved_constant_and_comes_near_it():
    A, y = scan()
    clean, found = attacked(Target.of(SENSE(20.0), y, A), steps=20)
    assert clean.robustness.item() == pytest.approx(0.5 * 20**0.5)
    assert 0.9 * clean.robustness < found.gain
    assert not found.exceeds(clean.robustness)


def test_the_largest_error_of_a_multiple_is_along_the_error():
    """Of x = cy the error ‖x + cδ − r‖ is at most ‖x − r‖ + c‖δ‖, for δ along x − r."""
    A = Denoising((1, 8, 8), dtype=torch.float64)
    y = 5 + normal(1, 1, 8, 8, dtype=torch.float64)
    reference = 5 + normal(1, 1, 8, 8, seed=1, dtype=torch.float64)
    target = Target.of(SENSE(9.0), y, A)
    with torch.no_grad():
        clean = target.reconstruct(y, tol=TOL)
    delta = worst_case(target, clean, 0.1, restarts=1, steps=15, reference=reference)
    error = clean.value - reference
    largest = norm(error) + 0.9 * 0.1 * norm(y)
    found = perturbed(target, clean, delta, tol=TOL)
    assert norm(found.solution.value - reference).item() == pytest.approx(largest.item(), rel=1e-4)
    assert torch.allclose(delta / norm(delta), error / norm(error), atol=0.02)


@pytest.mark.parametrize("method", ALL)
def test_seeking_the_error_finds_a_larger_one_than_seeking_the_change(method):
    A, y = scan()
    target, reference = Target.of(model(method), y, A, 0.05), normal(1, 1, 10, 9, seed=7)
    with torch.no_grad():
        clean = target.reconstruct(y, tol=TOL)
    options = {"restarts": 1, "steps": 8}
    change = perturbed(target, clean, worst_case(target, clean, 0.2, **options), tol=TOL)
    delta = worst_case(target, clean, 0.2, reference=reference, **options)
    loss = perturbed(target, clean, delta, tol=TOL)
    before, one, other = (
        float(harm(solution.value, clean.value, reference))
        for solution in (clean, change.solution, loss.solution)
    )
    assert other > 1.01 * before
    assert other > one
    assert loss.moved < 1.01 * change.moved


def test_an_error_needs_a_reference():
    A, y = scan()
    with pytest.raises(InputError, match="goal is 'loss', expected a reference"):
        attack(SENSE(20.0), y, A, [0.1], effort=AttackEffort(goal="loss"))
    with pytest.raises(InputError, match="goal is 'harm', expected one of change, loss"):
        AttackEffort(goal="harm")


def test_a_start_is_never_left_for_a_worse_point():
    A, y = scan()
    target = Target.of(model("modl"), y, A, 0.05)
    _, first = attacked(target, 0.05, restarts=1, steps=5)
    _, more = attacked(target, 0.05, starts=[first.delta], restarts=0, steps=0)
    assert more.moved.item() == pytest.approx(first.moved.item(), rel=1e-6)
    _, larger = attacked(target, 0.05, starts=[first.delta], restarts=0, steps=3)
    assert larger.moved >= first.moved * (1 - 1e-9)


def test_the_unit_is_held_fixed():
    """A perturbation along y would change the unit, and λ with it."""
    A, y = scan()
    built = mol(0.2, 5.0, contractive_cnn(0.8))
    target = Target.of(built, y, A, 0.05)
    with torch.no_grad():
        moved = target.reconstruct(1.5 * y, tol=TOL)
        clean = target.reconstruct(y, tol=TOL)
    assert moved.lam == clean.lam
    assert norm(moved.value - clean.value) <= clean.robustness * norm(0.5 * y)


def test_a_violation_would_be_seen():
    """The claim of a network that is not as monotone as it says."""
    m, lam = 0.5, 8.0
    A = cartesian_mri((6, 5), coils=3, fraction=0.4)
    y = A(normal(1, 1, 6, 5))
    clean, found = attacked(Target.of(mol(m, lam, Multiple(0.95)), y, A, 0.05))
    assert found.exceeds(clean.robustness)
    assert not clean.certified


def test_weights_need_no_gradient_and_get_none():
    A, y = scan()
    built = model("mol")
    attacked(Target.of(built, y, A, 0.05), steps=1)
    assert all(p.grad is None for p in built.parameters())
    assert isinstance(built, nn.Module)
