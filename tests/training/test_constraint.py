import pytest
import torch

from molrecon.lipschitz.barrier import log_barrier
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.lipschitz.quotient import published_quotient
from molrecon.training.configuration import LipschitzConfig
from molrecon.training.constraint import LipschitzConstraint

from ..support import normal, random_cnn

X = normal(2, 1, 6, 5)
SIGMA = torch.tensor([0.01, 0.1]).double()


def at_noise_level(network):
    return lambda z: network(z, SIGMA)


def exact_norm(network):
    found = jacobian_norm(at_noise_level(network), X, tol=1e-9, max_iterations=4000)
    return found.value


@pytest.mark.parametrize(("iterations", "accuracy"), [(1, 0.5), (30, 0.01)])
def test_the_value_is_a_lower_bound_that_more_iterations_tighten(iterations, accuracy):
    network = random_cnn()
    constraint = LipschitzConstraint(LipschitzConfig(iterations=iterations))
    exact = exact_norm(network)
    for _ in range(3):
        value = constraint(at_noise_level(network), X)[1]
        assert (value <= exact * (1 + 1e-4)).all()
    assert (value >= (1 - accuracy) * exact).all()


def test_the_vector_persists_from_step_to_step():
    network, constraint = random_cnn(), LipschitzConstraint(LipschitzConfig(iterations=2))
    values = torch.stack([constraint(at_noise_level(network), X)[1] for _ in range(10)])
    assert (values[-1] > values[0]).all()
    assert (values[0] < 0.97 * exact_norm(network)).all()


def test_is_the_weighted_barrier_of_the_value():
    config = LipschitzConfig(weight=0.3, threshold=0.5, margin=0.01)
    barrier, value = LipschitzConstraint(config)(at_noise_level(random_cnn()), X)
    assert barrier.item() == pytest.approx(0.3 * log_barrier(value, 0.5, 0.01).mean().item())
    assert barrier.requires_grad
    assert not value.requires_grad


def test_published_estimator():
    network = random_cnn()
    config = LipschitzConfig(kind="published")
    _, value = LipschitzConstraint(config)(at_noise_level(network), X)
    assert torch.allclose(value, published_quotient(lambda z: network(z, SIGMA), X))


@pytest.mark.parametrize("kind", ["power", "published"])
def test_descending_brings_the_value_below_the_threshold(kind):
    network = random_cnn()
    for layer in network.convolutions:
        layer.weight.data *= 2
    exact = lambda: jacobian_norm(lambda z: network(z, SIGMA), X).value.max().item()  # noqa: E731
    assert exact() > 1.2
    constraint = LipschitzConstraint(LipschitzConfig(kind=kind, threshold=0.9, margin=0.01))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        constraint(at_noise_level(network), X)[0].backward()
        optimizer.step()
    assert exact() < 0.9


def test_acts_when_it_is_due():
    constraint = LipschitzConstraint(LipschitzConfig(every=3))
    assert [step for step in range(8) if constraint.due(step)] == [0, 3, 6]
    assert not LipschitzConstraint(LipschitzConfig(kind="none")).due(0)


def test_images_of_another_shape_start_anew():
    network, constraint = random_cnn(), LipschitzConstraint(LipschitzConfig())
    constraint(at_noise_level(network), X)
    constraint(at_noise_level(network), X[..., :4])
    assert constraint.vectors[0].shape == X[..., :4].shape
