"""λ and thresholds that follow what the measurements determine."""

import math

import pytest
import torch

from molrecon import MOL, CartesianMRI, DataWeight, ModelConfig, load, save
from molrecon.errors import InputError
from molrecon.networks import MultiscaleStrictCNN, ResidualStrictCNN, ThresholdGuide
from molrecon.networks.series import SeriesStrictCNN
from molrecon.operators.base import norm
from molrecon.reconstructors.determined import (
    NOTHING,
    POORLY,
    THRESHOLD_POWER,
    WELL,
    determined_factors,
)

from ..support import cartesian_mri, normal

SETTINGS = {"features": 4, "scales": (1, 2, 1), "coarse_channels": 3, "coarse_features": 5}
SIZE = (6, 5)


class Known:
    """What is asked of an operator."""

    def __init__(self, shares, measured):
        self.undetermined = torch.tensor(shares, dtype=torch.float64)
        self.measured_share = torch.tensor(measured, dtype=torch.float64)


def model(factor, with_guide=False, lam=3.0, m=0.1):
    torch.manual_seed(0)
    network = MultiscaleStrictCNN(lipschitz=1 - m, **SETTINGS)
    guide = None
    if with_guide:
        guide = ThresholdGuide(network, features=4, coarse_features=8)
        with torch.no_grad():
            for layer in (guide.fine_factors, guide.coarse_factors):
                layer.weight.normal_()
    made = MOL(
        network,
        DataWeight("fixed", lam0=lam),
        monotonicity=m,
        guide=guide,
        determined_factor=factor,
    )
    return made.double().eval().requires_grad_(False)


def scan(share=0.006, seed=0):
    """A scan that counts as leaving a share undetermined."""
    A = cartesian_mri(SIZE, seed=seed)
    A.__dict__["undetermined"] = torch.tensor([share], dtype=torch.float64)
    A.__dict__["measured_share"] = torch.tensor([0.2], dtype=torch.float64)
    return A, A(normal(1, 1, *SIZE, seed=seed + 1))


def test_factors_fall_from_one_to_the_smallest():
    shares = [1.0, POORLY, math.sqrt(POORLY * WELL), WELL, NOTHING]
    on_lam, on_thresholds = determined_factors(Known(shares, [0.1, 0.25, 0.0, 0.25, 0.2]), 0.25)
    torch.testing.assert_close(on_lam, torch.tensor([1, 1, 0.5, 0.25, 0.25]).double())
    torch.testing.assert_close(on_thresholds, on_lam**THRESHOLD_POWER)


def test_where_nothing_is_undetermined_there_are_none():
    on_lam, on_thresholds = determined_factors(Known([0, NOTHING / 2], [1.0, 0.25]), 0.25)
    torch.testing.assert_close(on_lam, torch.tensor([1, 0.5]).double())
    torch.testing.assert_close(on_thresholds, torch.tensor([1, 0.5**THRESHOLD_POWER]).double())


def test_lambda_falls_with_the_fourth_root_of_what_is_measured():
    on_lam, on_thresholds = determined_factors(
        Known([0.003, 0.003, 0.003, 1], [0.25, 0.5, 1, 1]), 0.8
    )
    expected = torch.tensor([0.8, 0.8 / 2**0.25, 0.8 / 2**0.5, 1]).double()
    torch.testing.assert_close(on_lam, expected)
    known = torch.tensor([1, 1, 1, 0]).double()
    torch.testing.assert_close(on_thresholds, 0.8 ** (THRESHOLD_POWER * known))


@pytest.mark.parametrize("share", [0.0, 0.003, 0.01, 0.1])
def test_the_equation_is_that_of_a_smaller_lambda_and_smaller_thresholds(share):
    A, y = scan(share)
    on_lam, on_thresholds = (float(one) for one in determined_factors(A, 0.4))
    other = model(1.0, lam=3.0 * on_lam)
    for clip in other.network.clips:
        clip.log_threshold.add_(math.log(on_thresholds) / clip.speed)
    found, expected = (one(y, A, sigma=0.1, tol=1e-9) for one in (model(0.4), other))
    torch.testing.assert_close(found.value, expected.value, rtol=1e-6, atol=1e-7)
    assert float(found.lam) == pytest.approx(3.0 * on_lam)
    assert found.certified


def test_one_is_no_factor():
    A, y = scan()
    del A.__dict__["undetermined"]
    model(1.0)(y, A, sigma=0.1)
    assert "undetermined" not in vars(A)


def test_a_guides_thresholds_have_the_factor_too():
    A, y = scan()
    made = model(0.5, with_guide=True)
    first, sigma = normal(1, 1, *SIZE), torch.tensor([0.1])
    own = made.guide(first, sigma)
    at = made.network_at(A, first, sigma)
    for clip, factors in zip(at.clips, own, strict=True):
        torch.testing.assert_close(clip.factors, factors * 0.5**THRESHOLD_POWER)
    held = made.held(y, A, sigma=0.1)
    exact = held(y, A, tol=1e-10).value
    for tol in (1e-2, 1e-4):
        solution = held(y, A, tol=tol, x0=normal(1, 1, *SIZE, seed=7))
        assert solution.certified
        distance = norm(solution.value - exact) / norm(solution.value)
        assert bool(distance <= solution.error_bound + 1e-9)


def test_samples_of_a_batch_have_their_own():
    scans = [scan(share, seed) for share, seed in ((0.003, 0), (0.1, 3))]
    maps, masks, ys = (
        torch.cat(each) for each in zip(*((A.coil_maps, A.mask, y) for A, y in scans), strict=True)
    )
    both = CartesianMRI(maps, masks)
    for name in ("undetermined", "measured_share"):
        both.__dict__[name] = torch.cat([getattr(A, name) for A, _ in scans])
    made = model(0.5, with_guide=True)
    found = made(ys, both, sigma=0.1, tol=1e-8)
    assert found.lam.tolist() == pytest.approx([1.5, 3.0])
    for n, (A, y) in enumerate(scans):
        alone = made(y, A, sigma=0.1, tol=1e-8).value
        torch.testing.assert_close(found.value[n : n + 1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_guide", [False, True])
def test_one_operator_serves_samples_that_are_solved_one_after_the_other(with_guide):
    A, y = scan()
    made, ys = model(0.5, with_guide), torch.cat([y, y, 0 * y + y.roll(1, -1)])
    starts = torch.cat(
        [1e3 * normal(1, 1, *SIZE), made(y, A, sigma=0.1, tol=1e-8).value, 0 * y[:, :1]]
    )
    held = made.held(ys, A, sigma=0.1)
    found = held(ys, A, tol=1e-8, x0=starts)
    assert len(set(found.iterations.tolist())) > 1
    for n in range(3):
        alone = made(ys[n : n + 1], A, sigma=0.1, tol=1e-8).value
        torch.testing.assert_close(found.value[n : n + 1], alone, rtol=1e-5, atol=1e-6)


def test_a_smaller_lambda_has_a_smaller_gain():
    A, y = scan()
    found = model(0.5)(y, A, sigma=0.1)
    expected = model(1.0, lam=1.5)(y, A, sigma=0.1)
    torch.testing.assert_close(found.robustness, expected.robustness)
    limited = model(0.5, lam=40.0).with_gain(2.0)(y, A, sigma=0.1)
    assert float(limited.robustness) <= 2.0


def test_is_a_setting_of_the_model_and_kept_by_its_file(tmp_path):
    config = ModelConfig.model_validate(
        {
            "method": "mol",
            "network": {"kind": "multiscale-strict", **SETTINGS, "lipschitz": 0.9},
            "monotonicity": 0.1,
            "determined_factor": 0.5,
        }
    )
    path = save(config.build(), tmp_path / "one.safetensors", config)
    assert load(path).determined_factor == 0.5


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.5, math.nan])
def test_refuses_factors_out_of_range(factor):
    with pytest.raises(InputError, match=r"determined_factor is .*, expected one in \(0, 1\]"):
        model(factor)


def test_refuses_networks_without_thresholds():
    with pytest.raises(InputError, match="expected a MultiscaleStrictCNN"):
        MOL(ResidualStrictCNN(features=2, layers=2), determined_factor=0.5)


def test_refuses_networks_of_series():
    network = SeriesStrictCNN(features=4, scales=(1, 2), coarse_channels=3, coarse_features=5)
    with pytest.raises(InputError, match="the network is one of series"):
        MOL(network, determined_factor=0.5)
