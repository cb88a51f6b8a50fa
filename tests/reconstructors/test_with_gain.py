"""Methods whose gain is proved to be what was asked, or less."""

import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.evaluation.attack import Target, perturbed, worst_case
from molrecon.networks import ResidualStrictCNN
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.limited_gain import largest_weight
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.sense import SENSE
from molrecon.reconstructors.weights import DataWeight

from .methods import model, scan


def strict(output="fixed-point", lam=40.0, m=0.1):
    torch.manual_seed(0)
    network = ResidualStrictCNN(features=4, layers=2, lipschitz=1 - m, noise_conditioned=True)
    built = MOL(network, DataWeight("fixed", lam0=lam), monotonicity=m, output=output)
    return built.double().eval().requires_grad_(False)


@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
@pytest.mark.parametrize("most", [1.3, 2.0, 5.0, 9.0])
def test_what_is_asked_is_proved_and_kept_under_attack(output, most):
    A, y = scan()
    limited = strict(output).with_gain(most)
    clean = limited(y, A, sigma=0.05, tol=1e-6)
    assert clean.certified
    assert float(clean.robustness) <= most
    target = Target.of(limited, y, A, 0.05)
    with torch.no_grad():
        clean = target.reconstruct(y, tol=1e-6)
    delta = worst_case(target, clean, 0.05, restarts=1, steps=8)
    found = perturbed(target, clean, delta, tol=1e-6)
    assert float(found.gain) <= most
    assert float(found.gain) > 0.5


@pytest.mark.parametrize("output", ["fixed-point", "full-scan"])
def test_no_more_is_given_up_than_needed(output):
    """Of what was asked nearly all is used, half by λ and half by m, and more by λ alone."""
    A, y = scan()
    own = strict(output)
    limited = own.with_gain(5.0)
    solution = limited(y, A, sigma=0.05)
    assert float(solution.robustness) == pytest.approx(5.0, rel=1e-5)
    share = 5.0 / (0.5 * math.sqrt(40 / 0.1))
    assert limited.monotonicity == pytest.approx(0.1 / share, rel=1e-6)
    # Completing the image and making up for what shrinks take a little of it.
    assert 0.85 * share < float(solution.lam) / 40 < share


def test_a_small_m_is_raised_before_lambda_is_lowered():
    """Half the gain is four times m; below m = 0.02 nothing else changes, and then as ever."""
    A, y = scan()
    own = strict(m=0.005)
    gain = 0.5 * math.sqrt(40 / 0.005)
    half = own.with_gain(0.51 * gain)
    assert half.monotonicity == pytest.approx(0.005 / 0.51**2, rel=1e-6)
    solution = half(y, A, sigma=0.05)
    assert solution.certified
    assert float(solution.robustness) <= 0.51 * gain
    assert float(solution.lam) == pytest.approx(40, rel=2e-3)
    quarter = own.with_gain(gain / 4)
    assert quarter.monotonicity == pytest.approx(0.02 * 2, rel=1e-6)
    assert float(quarter(y, A, sigma=0.05).lam) == pytest.approx(20, rel=1e-2)


def test_a_limit_above_its_own_gain_changes_nothing():
    A, y = scan()
    own, limited = strict(), strict().with_gain(20.0)
    assert limited.most_gain == 20
    one, other = (model(y, A, sigma=0.05) for model in (own, limited))
    assert torch.equal(one.value, other.value)
    assert torch.equal(one.robustness, other.robustness)


def test_the_model_itself_stays_as_it_was():
    A, y = scan()
    own = strict()
    before = own(y, A, sigma=0.05).value
    limited = own.with_gain(2.0)
    assert limited.network is own.network
    limited.network = ResidualStrictCNN(features=2, layers=1)
    assert torch.equal(own(y, A, sigma=0.05).value, before)
    assert own.most_gain is None
    assert norm(strict().with_gain(2.0)(y, A, sigma=0.05).value - before) > 0.01 * norm(before)


def test_the_equation_is_that_of_a_scaled_network_and_a_smaller_noise_level():
    A, y = scan()
    limited = strict().with_gain(3.0)
    solution = limited(y, A, sigma=0.05, tol=1e-9)
    scale = limited.settled(y, A, 0.05)["scale"]
    x, lam = solution.value / scale, solution.lam
    told = 0.05 / scale * lam / 40
    h = (1 - limited.monotonicity) / 0.9 * limited.network(x, told)
    factor = 1 + limited.monotonicity / lam
    residual = x - h + lam * A.H(A(x) - factor * y / scale)
    assert float(norm(residual)) < 1e-7 * float(norm(x))


def test_a_batch_equals_its_samples():
    A, y = scan(batch=2)
    limited = strict().with_gain(2.5)
    together = limited(y, A, sigma=torch.tensor([0.02, 0.1]), tol=1e-8)
    for n, sigma in enumerate((0.02, 0.1)):
        alone = CartesianMRI(A.coil_maps, A.mask[n : n + 1])
        one = limited(y[n : n + 1], alone, sigma=sigma, tol=1e-8)
        assert norm(one.value - together.value[n : n + 1]) < 1e-6 * norm(one.value)


def test_what_is_not_certified_stays_conditional():
    A, y = scan()
    own = model("mol").requires_grad_(False)
    gain = float(own(y, A, sigma=0.05).robustness)
    limited = own.with_gain(max(1.25, gain / 2))(y, A, sigma=0.05)
    assert not limited.certified
    assert float(limited.robustness) <= max(1.25, gain / 2)


def test_sense():
    A, y = scan()
    limited = SENSE(400.0).with_gain(3.0)
    limited.strength = 0.1
    solution = limited(y, A)
    assert float(solution.robustness) == pytest.approx(3, rel=1e-5)
    assert float(solution.robustness) <= 3
    assert float(SENSE(4.0).with_gain(3.0)(y, A).robustness) == 1


def test_weights_are_the_largest_ones():
    """Of a constant that grows with λ; and one that does not is still kept."""
    own = torch.tensor([1.0, 100.0, 1e6]).double()
    found = largest_weight(lambda lam: lam.sqrt(), own, 1e-3, 5.0)
    assert torch.allclose(found, torch.tensor([1.0, 25.0, 25.0]).double(), rtol=1e-5)

    def bent(lam):
        return 2 + torch.sin(7 * lam)

    assert bool((bent(largest_weight(bent, own, 0.7, 2.5)) <= 2.5).all())


def test_the_least_gain_of_each_output():
    """½(√c + 1/√c) ≥ 1 of the fixed point, 2/√3 of a full scan, none of what is shrunk."""
    A, y = scan()
    for output, least in (("fixed-point", 1.0), ("full-scan", 2 / math.sqrt(3))):
        solution = strict(output).with_gain(1.001 * least)(y, A, sigma=0.05)
        assert solution.certified
        assert float(solution.robustness) <= 1.001 * least
        assert float(solution.robustness) >= least
    with pytest.raises(InputError, match=r"least gain that is proved with this operator is 1\.155"):
        strict("full-scan").with_gain(1.15)(y, A, sigma=0.05)
    shrunk = SENSE().with_gain(0.1)(y, A)
    assert float(shrunk.robustness) == pytest.approx(0.1, rel=1e-5)
    assert float(shrunk.lam) == pytest.approx(0.04, rel=1e-5)


def test_refuses_what_cannot_be():
    A, y = scan()
    for most in (0.0, -2.0, math.nan):
        for method in (strict(), SENSE()):
            with pytest.raises(InputError, match="robust is"):
                method.with_gain(most)
    with pytest.raises(InputError, match=r"robust is 1, expected more than 1, .* than 1\.155"):
        strict().with_gain(1.0)
    with pytest.raises(InputError, match="robust is 3, but no bound is known on the gain of"):
        model("modl").with_gain(3.0)
    large = CartesianMRI(4 * A.coil_maps, A.mask)
    with pytest.raises(InputError, match="the least gain that is proved with this operator"):
        strict("full-scan").with_gain(1.3)(y, large, sigma=0.05)


def test_a_limit_is_not_told_smaller_than_it_is():
    assert strict().with_gain(2.5049).label.endswith("gain ≤ 2.51")
