import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.reconstructors.weights import CURVE_LEVELS, DataWeight


def test_weight_of_the_data_is_inverse_to_the_noise_power():
    weight = DataWeight(lam0=0.02, floor=1e-3)
    lam = weight(torch.tensor([0.01, 0.1]))
    assert lam.tolist() == pytest.approx([0.02 / 1.01e-4, 0.02 / 0.010001], rel=1e-5)


def test_floor_keeps_the_weight_finite_without_noise():
    weight = DataWeight(lam0=0.02, floor=1e-3)
    assert weight(torch.tensor([0.0])).item() == pytest.approx(0.02 / 1e-6, rel=1e-5)


def test_fixed_weight_ignores_the_noise():
    weight = DataWeight("fixed", lam0=100.0)
    assert weight(torch.tensor([0.0, 0.5])).tolist() == pytest.approx([100.0, 100.0])
    assert [name for name, _ in weight.named_parameters()] == ["log_lam0"]


def test_is_learned_through_logarithms():
    weight = DataWeight(lam0=0.02, floor=0.01)
    lam = weight(torch.tensor([0.01]))
    lam.sum().backward()
    # dλ/dlog λ₀ = λ, and dλ/dlog σ₀ = −2λσ₀²/(σ² + σ₀²) = −λ here.
    assert weight.log_lam0.grad.item() == pytest.approx(lam.item())
    assert weight.log_floor.grad.item() == pytest.approx(-lam.item(), rel=1e-5)


def test_curve_passes_through_its_values_and_is_a_parabola_between_them():
    weight = DataWeight("curve", curve=(20.0, 3.0, 0.1))
    assert weight(torch.tensor(CURVE_LEVELS)).tolist() == pytest.approx([20, 3, 0.1], rel=1e-4)
    # Third differences of a parabola over equal steps of log σ vanish.
    sigma = torch.logspace(-3.9, -0.9, 7, dtype=torch.float64)
    curve = weight.double()(sigma).log()
    assert curve.diff(n=3).abs().max() < 1e-9


def test_curve_is_constant_beyond_its_ends():
    weight = DataWeight("curve", curve=(20.0, 3.0, 0.1))
    assert weight(torch.tensor([0.0, 1e-6, 1.0])).tolist() == pytest.approx([20, 20, 0.1], rel=1e-4)


def test_curve_is_learned_through_logarithms():
    weight = DataWeight("curve")
    weight(torch.tensor([CURVE_LEVELS[1]])).log().sum().backward()
    assert weight.log_curve.grad.tolist() == pytest.approx([0, 1, 0], abs=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"lam0": 0.0},
        {"floor": -1.0},
        {"lam0": math.nan},
        {"curve": (1, 0, 1)},
        {"curve": (1, 1)},
    ],
)
def test_values_out_of_range_are_refused(arguments):
    with pytest.raises(InputError, match="expected positive values"):
        DataWeight(**arguments)


def test_starts_from_a_weight_of_the_same_kind_only():
    trained, sigma = DataWeight(lam0=0.3, floor=0.07), torch.tensor([0.02])
    same, other = DataWeight(), DataWeight("fixed", 1.5)
    for weight in (same, other):
        weight.start_from(trained)
    assert same(sigma).item() == pytest.approx(trained(sigma).item())
    assert other(sigma).item() == pytest.approx(1.5)
