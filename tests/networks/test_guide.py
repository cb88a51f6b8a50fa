"""Thresholds that differ from pixel to pixel, and the network that sets them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon import (
    MOL,
    CartesianMRI,
    DataWeight,
    Equilibrium,
    ForwardBackward,
    ModelConfig,
    load,
    save,
)
from molrecon.errors import InputError
from molrecon.lipschitz import certified_bound
from molrecon.networks import MultiscaleStrictCNN, ResidualStrictCNN, ThresholdGuide
from molrecon.networks.layers import GuidedClip
from molrecon.reconstructors import mol
from molrecon.trust.response import Response

from ..support import normal

SETTINGS = {"features": 4, "scales": (1, 2, 1), "coarse_channels": 3, "coarse_features": 5}
SIZE = (6, 5)


def network(seed=0, lipschitz=0.9):
    torch.manual_seed(seed)
    made = MultiscaleStrictCNN(lipschitz=lipschitz, **SETTINGS).double().eval()
    for clip in made.clips:
        clip.log_threshold.data.add_(0.1 * torch.randn(len(clip.log_threshold)))
    return made.requires_grad_(False)


def guide(of, seed=1):
    """A guide that has something to say."""
    torch.manual_seed(seed)
    made = ThresholdGuide(of, features=4, coarse_features=8).double()
    with torch.no_grad():
        for layer in (made.fine_factors, made.coarse_factors):
            layer.weight.normal_()
    return made


def random_factors(of, seed, spread):
    grids = {1: SIZE, 2: tuple(-(-n // 2) for n in SIZE)}
    return [
        (spread * normal(1, len(layer.weight), *grids[scale], seed=seed, dtype=torch.float64)).exp()
        for scale, (layer, _) in of.scaled_steps()
    ]


def scan(seed=0):
    maps = normal(1, 3, *SIZE, seed=seed, dtype=torch.complex128)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    mask = torch.rand(1, 1, *SIZE, generator=torch.manual_seed(seed)) < 0.6
    A = CartesianMRI(maps, mask)
    y = normal(1, 3, *SIZE, seed=seed + 1, dtype=torch.complex128) * mask
    return A, y


def method(with_guide=True):
    H = network()
    return (
        MOL(
            H,
            DataWeight("fixed", lam0=3.0),
            monotonicity=0.1,
            equilibrium=Equilibrium(backward=ForwardBackward(tol=1e-10)),
            guide=guide(H) if with_guide else None,
        )
        .double()
        .eval()
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 4))
def test_no_thresholds_raise_the_lipschitz_constant(seed, spread):
    H = network(seed).at_thresholds(random_factors(network(seed), seed, spread))
    x = normal(1, 1, *SIZE, seed=seed, dtype=torch.complex128)
    x = x * torch.rand(SIZE, generator=torch.manual_seed(seed)).double()

    def real(u):
        return torch.view_as_real(H(torch.view_as_complex(u), torch.tensor([0.1])))

    jacobian = torch.autograd.functional.jacobian(real, torch.view_as_real(x))
    n = x.numel() * 2
    assert torch.linalg.matrix_norm(jacobian.reshape(n, n), 2) <= 0.9 * (1 + 1e-12)
    assert certified_bound(H) == pytest.approx(0.9)


def test_thresholds_are_multiplied_and_weights_shared():
    plain = network()
    ones = [torch.ones_like(factors) for factors in random_factors(plain, 0, 1)]
    x, sigma = normal(1, 1, *SIZE, dtype=torch.complex128), torch.tensor([0.1])
    same, twice = plain.at_thresholds(ones), plain.at_thresholds([2 * one for one in ones])
    assert torch.equal(same(x, sigma), plain(x, sigma))
    assert all(isinstance(clip, GuidedClip) for clip in twice.clips)
    assert not any(isinstance(clip, GuidedClip) for clip in plain.clips)
    assert same.convolutions is plain.convolutions
    for clip in plain.clips:
        clip.log_threshold.add_(torch.tensor(2.0).log() / clip.speed)
    torch.testing.assert_close(twice.at_thresholds(ones)(x, sigma), plain(x, sigma))


@torch.no_grad()
def test_factors_know_neither_unit_nor_sign():
    made, x = guide(network()), normal(1, 1, *SIZE, dtype=torch.complex128)
    base = made(x, torch.tensor([0.1]))
    for other, sigma in ((-x, 0.1), (8 * x, 0.8)):
        for a, b in zip(made(other, torch.tensor([sigma])), base, strict=True):
            torch.testing.assert_close(a, b)
    assert max(float(one.log().abs().max()) for one in base) > 0.1
    assert all(bool((one.log().abs() <= 2.5).all()) for one in base)


def test_a_new_guide_changes_nothing():
    A, y = scan()
    plain = method(with_guide=False)
    H = plain.network
    fresh = ThresholdGuide(H, features=4, coarse_features=8).double()
    guided = MOL(H, plain.weight, monotonicity=0.1, guide=fresh).double().eval()
    a, b = (one(y, A, sigma=0.1, tol=1e-10).value for one in (plain, guided))
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_the_solution_is_certified_and_unique_for_its_first_image():
    A, y = scan()
    model = method()
    held = model.held(y, A, sigma=0.1)
    assert set(held.fixed) == {"scale", "sigma", "guide"}
    exact = held(y, A, tol=1e-10).value
    for start in (None, normal(1, 1, *SIZE, seed=9, dtype=torch.complex128)):
        solution = held(y, A, tol=1e-3, x0=start)
        assert solution.certified
        distance = (solution.value - exact).norm() / exact.norm()
        assert distance <= solution.error_bound
    assert (exact - method(with_guide=False)(y, A, sigma=0.1).value).norm() > 1e-2 * exact.norm()
    # The proved gain is that of the measurements alone, the first image being held.
    robustness = held(y, A).robustness
    for seed in range(5):
        dy = 1e-3 * normal(*y.shape, seed=seed, dtype=y.dtype) * A.mask
        change = (held(y + dy, A, tol=1e-10).value - exact).norm()
        assert change <= robustness * dy.norm() * (1 + 1e-9)


def test_gradients_are_those_of_the_first_image_too(monkeypatch):
    monkeypatch.setattr(mol, "FIRST", 1e-11)
    A, y = scan()
    model, factor = method(), normal(1, 1, *SIZE, seed=5, dtype=torch.complex128)
    scale, sigma = torch.tensor([1.3]).double(), torch.tensor([0.05]).double()

    def loss(y, sigma):
        x = model(y, A, sigma=sigma, scale=scale, tol=1e-11).value
        return (x * factor.conj()).real.sum()

    leaves = [leaf.clone().requires_grad_() for leaf in (y, sigma)]
    weights = [p.requires_grad_() for p in model.guide.parameters()]
    loss(*leaves).backward()
    for leaf, others in ((leaves[0], (sigma,)), (leaves[1], (y,))):
        direction = normal(*leaf.shape, seed=3, dtype=leaf.dtype)
        found = (leaf.grad.conj() * direction).real.sum().item()
        ends = []
        for step in (1e-6, -1e-6):
            moved = (leaf + step * direction).detach()
            with torch.no_grad():
                ends.append(loss(*((moved, *others) if leaf is leaves[0] else (*others, moved))))
        expected = (ends[0] - ends[1]).item() / 2e-6
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert sum(float(p.grad.norm()) for p in weights) > 0


def test_only_networks_of_two_scales_are_guided():
    with pytest.raises(InputError, match="to guide is a ResidualStrictCNN"):
        ThresholdGuide(ResidualStrictCNN(features=4, layers=1))
    with pytest.raises(InputError, match="scales 1 and 2"):
        ThresholdGuide(MultiscaleStrictCNN(features=4, scales=(1,), coarse_channels=2))


def test_a_guide_is_part_of_a_weights_file(tmp_path):
    settings = {"kind": "multiscale-strict", **SETTINGS, "lipschitz": 0.9}
    values = {"network": settings, "guide": {"features": 4}, "monotonicity": 0.1}
    config = ModelConfig.model_validate(values)
    model = config.build()
    model.guide.fine_factors.weight.data.normal_()
    again = load(save(model, tmp_path / "guided.safetensors", config))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert again.certified
    other = config.build()
    other.guide.start_from(again.guide)
    assert torch.equal(other.guide.fine_factors.weight, model.guide.fine_factors.weight)
    with pytest.raises(InputError, match="initial guide does not fit"):
        ThresholdGuide(other.network, features=6).start_from(again.guide)


def test_the_first_image_is_near_its_own_solution():
    """Of a contraction: ‖x − x*‖ ≤ k/(1 − k) ‖x − T(x)‖, k = 0.9 here."""
    A, y = scan()
    model, plain = method(), method(with_guide=False)
    first = model.held(y, A, sigma=0.1).fixed["guide"]
    exact = plain(y, A, sigma=0.1, tol=1e-10).value
    distance = (first - exact).norm() / exact.norm()
    assert 0 < distance <= 9 * mol.FIRST * 1.01


@pytest.mark.parametrize("guided", [True, False])
@torch.no_grad()
def test_thresholds_follow_changes_of_the_measurements_unless_they_are_fixed(monkeypatch, guided):
    monkeypatch.setattr(mol, "FIRST", 1e-8)
    A, y = scan()
    model, dy = method(), 1e-3 * normal(*y.shape, seed=3, dtype=y.dtype) * A.mask
    held = model.held(y, A, sigma=0.1)

    def size(image):
        return float(dy.norm())

    options = {"sigma": 0.1, "scale": held.fixed["scale"], "tol": 1e-8}
    followed = model(y + dy, A, **options).value - model(y, A, **options).value
    fixed = held(y + dy, A, tol=1e-8).value - held(y, A, tol=1e-8).value
    assert (followed - fixed).norm() > 0.03 * fixed.norm()
    expected = followed if guided else fixed
    response = Response(model, y, A, size, guided=guided, sigma=0.1, accuracy=1e-3)
    for found in (response.difference(dy), response.derivative(dy)):
        assert (found - expected).norm() < 0.01 * expected.norm()


@torch.no_grad()
def test_samples_of_a_batch_have_their_own_thresholds_and_leave_when_they_are_solved():
    A = CartesianMRI(*(torch.cat(two) for two in zip(*map(parts, range(3)), strict=True)))
    y = torch.cat([scan(seed)[1] for seed in range(3)])
    made, sigma, applied = method(), torch.tensor([0.02, 0.3, 1.5], dtype=torch.float64), []
    made.network.register_forward_hook(lambda *call: applied.append(len(call[1][0])))
    together = made(y, A, sigma=sigma, tol=1e-6)
    assert together.converged
    assert set(applied) > {3}
    for n in range(3):
        alone = method()(y[n : n + 1], scan(n)[0], sigma=sigma[n : n + 1], tol=1e-6)
        assert torch.allclose(alone.value[0], together.value[n], rtol=1e-5, atol=1e-5)


def parts(seed):
    A, _ = scan(seed)
    return A.coil_maps, A.mask
