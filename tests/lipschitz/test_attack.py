import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.lipschitz import lipschitz_attack, local_lipschitz, measure
from molrecon.lipschitz.measured import steepest
from molrecon.lipschitz.quotient import published_quotient
from molrecon.networks.convolution_norm import certified_norm
from molrecon.operators.base import norm

from ..support import normal, random_cnn


def network(seed=0):
    return random_cnn(seed=seed, layers=2, noise_conditioned=False)


@settings(max_examples=15)
@given(st.integers(0, 999), st.integers(0, 6), st.floats(1e-2, 10))
def test_the_pair_has_the_quotient_and_no_bound_is_smaller(seed, steps, radius):
    f, x = network(seed), normal(2, 1, 5, 4, seed=seed)
    bound = certified_norm(f.convolutions[0].weight) * certified_norm(f.convolutions[1].weight)
    found = lipschitz_attack(f, x, steps=steps, radius=radius, starts=2)
    with torch.no_grad():
        quotient = norm(f(found.x) - f(found.other)) / norm(found.x - found.other)
    assert torch.allclose(quotient, found.value)
    assert (found.value <= bound).all()
    assert (norm(found.other - found.x) <= radius * norm(x) * (1 + 1e-9)).all()


def test_more_steps_and_more_starts_never_find_less():
    f, x = network(), normal(2, 1, 5, 4)
    by_steps = torch.stack([lipschitz_attack(f, x, steps=n).value for n in (0, 1, 4, 16)])
    assert (by_steps.diff(dim=0) >= 0).all()


def test_comes_nearer_to_the_norm_than_the_published_estimator():
    matrix = torch.diag(torch.tensor([2.0, 1.9, 0.5, 0.2, *[0.1] * 20])).to(torch.complex128)
    x = normal(3, 24)
    found = lipschitz_attack(lambda z: z @ matrix, x, steps=20)
    assert (found.value > published_quotient(lambda z: z @ matrix, x)).all()
    assert (found.value > 1.97).all()


def test_a_direction_that_is_known_is_a_start():
    f, x = network(), normal(1, 1, 5, 4)
    local = local_lipschitz(f, x, tol=1e-4)
    found = lipschitz_attack(f, x, starts=0, steps=0, radius=1e-4, directions=[local.vector])
    assert found.value.item() == pytest.approx(local.norm.item(), rel=1e-3)


def test_an_image_of_zeros_has_a_value():
    assert lipschitz_attack(network(), 0 * normal(1, 1, 5, 4)).value > 0


def bump(z):
    """Steep far from zero, flat at it, pixel by pixel."""
    return torch.where(z.abs() < 1, 0.1 * z, 3 * z - 2.9 * z / z.abs().clamp_min(1))


def test_local_values_are_taken_where_the_attack_led():
    x = 0.9 * torch.ones(1, 4, dtype=torch.complex128)
    assert local_lipschitz(bump, x).norm.item() == pytest.approx(0.1)
    found = measure(bump, x, tol=1e-3)
    assert found.attack.value > 0.15
    assert found.attack.value <= found.local.norm * (1 + 1e-9)


def test_the_steepest_piece_is_at_least_as_steep_as_the_whole():
    x, other = 0.5 * normal(3, 4), 2 * normal(3, 4, seed=1)
    point = steepest(bump, x, other)
    e = (other - x) / 16
    piece = norm(bump(point + e) - bump(point - e)) / norm(2 * e)
    assert (piece >= norm(bump(x) - bump(other)) / norm(x - other) - 1e-12).all()
