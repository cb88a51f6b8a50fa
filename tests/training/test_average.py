import pytest
import torch

from molrecon.training.average import WeightAverage


def model(value):
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, value)
    return network


def test_the_average_is_the_closed_form_of_the_exponential_one():
    network = model(0.0)
    average = WeightAverage(network, 0.3)
    values = [1.0, -2.0, 4.0, 0.5, 3.0, 3.0, 1.0, 7.0]
    expected = 0.0
    for step, value in enumerate(values):
        torch.nn.init.constant_(network.weight, value)
        average.update(step)
        stays = min(0.3, (1 + step) / (10 + step))
        expected = stays * expected + (1 - stays) * value
    assert float(average.weights["weight"]) == pytest.approx(expected, rel=1e-6)


def test_without_decay_it_is_the_last_weights():
    network = model(0.0)
    average = WeightAverage(network, 0.0)
    torch.nn.init.constant_(network.weight, 5.0)
    average.update(0)
    assert torch.equal(average.weights["weight"], network.weight)


def test_the_model_has_its_own_weights_again_afterwards_even_after_an_error():
    network = model(0.0)
    average = WeightAverage(network, 0.9)
    torch.nn.init.constant_(network.weight, 5.0)
    seen = []

    def fail():
        with average.applied():
            seen.append(network.weight.item())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [0.0]
    assert network.weight.item() == 5.0
    assert float(average.weights["weight"]) == 0.0
