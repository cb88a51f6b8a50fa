"""The strength of regularisation, chosen by samples that were left out."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from molrecon import CartesianMRI, Scan, estimate_noise, reconstruct
from molrecon.data.simulation import simulate_coil_maps
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred
from molrecon.operators.noise import UNCERTAIN, NoiseEstimate
from molrecon.pipeline import solve
from molrecon.pipeline.left_out import left_out_samples
from molrecon.pipeline.measurements import known_noise, operator_of
from molrecon.pipeline.tuning import FLAT, LOOSE, SHARE, STRENGTHS, best_strength, tune
from molrecon.reconstructors.base import Reconstructor, at_strength, direct_solution
from molrecon.reconstructors.methods import METHODS, build_method

SHAPE = (48, 40)


def problem_of(scan):
    return scan.kspace, operator_of(scan)


def scan(*, sigma=0.05, mask=None, coils=4):
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    body = torch.sigmoid(14 * (0.7 - (x**2 + y**2).sqrt())) * (1 + 0.4 * torch.sin(9 * x))
    maps = simulate_coil_maps(SHAPE, coils, generator=generator)
    if mask is None:
        mask = torch.rand(SHAPE, generator=generator) < 0.5
        mask[16:32, 12:28] = True
    noise = sigma * torch.randn(coils, *SHAPE, dtype=torch.complex64, generator=generator)
    return Scan(((fft_centred(maps * body, 2) + noise) * mask)[None], mask[None, None], maps[None])


def test_strength_counts_in_units_of_the_noise():
    """Twice the strength is what the method does at twice the noise level, or λ a quarter."""
    y, A = problem_of(scan())
    few = {"max_iterations": 5}
    for name, settings in (("mol", {}), ("l1-wavelet", few), ("tv", few)):
        method = build_method(name, **settings)
        with at_strength(method, 2.0):
            stronger = method(y, A, sigma=0.05, raise_on_failure=False).value
        assert torch.equal(stronger, method(y, A, sigma=0.1, raise_on_failure=False).value)
    for name in ("sense", "tikhonov"):
        method = build_method(name, lam=40.0)
        with at_strength(method, 2.0):
            stronger = method(y, A).value
        assert torch.equal(stronger, build_method(name, lam=10.0)(y, A).value)


def test_strength_is_put_back_and_refused_where_there_is_none():
    method = build_method("sense")
    with pytest.raises(ZeroDivisionError), at_strength(method, 3.0):
        _ = 1 / 0
    assert method.strength == 1
    with (
        pytest.raises(InputError, match="no strength to choose"),
        at_strength(build_method("zero-filled"), 2.0),
    ):
        pass
    with pytest.raises(InputError, match="no strength to choose"):
        reconstruct(scan(), "zero-filled", strength=2.0)
    assert [name for name, kind in METHODS.items() if not kind.tunable] == ["zero-filled"]


class Known(Reconstructor):
    """Returns an image that is wrong by the logarithm of strength over the best one."""

    name, tunable = "known", True

    def __init__(self, image, best):
        self.image, self.best, self.seen = image, best, []

    def __call__(self, y, A, *, sigma=None, tol=None, raise_on_failure=True):
        self.seen.append(A.mask)
        return direct_solution(self.image * (1 + math.log(self.strength / self.best)))


def full_scan():
    clean = scan(sigma=0.0, mask=torch.ones(SHAPE, dtype=torch.bool))
    return operator_of(clean).H(clean.kspace)


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (2.0, (2.0, 1.0, 0.5)),
        (1.0, (2.0, 1.0, 0.5)),
        (0.8, (2.0, 1.0, 0.5)),
        (0.5, (1.0, 0.5, 0.25)),
        (0.25, (1.0, 0.5, 0.25, 0.1)),
        (0.1, (1.0, 0.5, 0.25, 0.1)),
    ],
)
def test_strengths_are_tried_until_the_prediction_gets_worse(best, tried):
    """Residuals are |log(strength / best)| exactly: their squares are the parabola that is fit."""
    part = scan(sigma=0.0)
    method = Known(full_scan(), best)
    found, start = tune(method, part, problem_of)
    assert found.tried == tried
    expected = [abs(math.log(one / best)) for one in tried]
    assert found.residuals == pytest.approx(expected, rel=1e-3, abs=2e-4)
    assert found.strength == pytest.approx(best, rel=5e-3)
    assert (start, method.strength) == ({}, 1.0)
    left_out = left_out_samples(part, SHARE)
    assert all(torch.equal(mask, part.mask & ~left_out) for mask in method.seen)


def test_residuals_are_of_samples_that_the_image_was_not_made_of():
    part = scan(sigma=0.15)
    method = build_method("sense")
    left_out = left_out_samples(part, SHARE)
    found, _ = tune(method, part, problem_of)
    mask = part.mask & ~left_out
    kept = replace(part, kspace=part.kspace * mask, mask=mask)
    for strength, residual, bound in zip(found.tried, found.residuals, found.bounds, strict=True):
        with at_strength(method, strength):
            image = method(*problem_of(kept), tol=1e-4).value
        wrong = (operator_of(part)(image) - part.kspace) * left_out
        exact = float(wrong.norm() / (part.kspace * left_out).norm())
        assert residual == pytest.approx(exact, abs=3 * bound)
        assert bound <= LOOSE
    # Nothing of the choice is random, and samples inside the calibration region play no part.
    again, _ = tune(method, part, problem_of)
    assert replace(again, seconds=0) == replace(found, seconds=0)


def test_the_chosen_strength_of_least_squares_is_near_the_best_one():
    """Against the error of the image itself, which the choice does not see."""
    part, truth = scan(sigma=0.15), full_scan()
    method = build_method("sense")
    found, _ = tune(method, part, problem_of)
    assert found.certified

    def error(strength):
        with at_strength(method, strength):
            return float((method(*problem_of(part)).value - truth).norm())

    assert error(found.strength) <= 1.1 * min(error(strength) for strength in STRENGTHS)


@pytest.mark.parametrize("step", [2, 3])
def test_a_lattice_is_refused(step):
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[::step] = True
    mask[22:26] = True
    with pytest.raises(InputError, match="sampled so regularly that samples left out lie"):
        tune(build_method("sense"), scan(mask=mask), problem_of)


@given(st.floats(-2.2, 0.6), st.floats(0.05, 3), st.floats(0, 0.3), st.integers(3, 5))
def test_the_choice_is_the_minimum_of_the_curve(place, steepness, least, count):
    """Of a parabola in the logarithm, cut off at the ends of what was tried."""
    tried = STRENGTHS[:count]
    residuals = [math.sqrt(least + steepness * (math.log(one) - place) ** 2) for one in tried]
    assume(max(residuals) ** 2 > (1 + 10 * FLAT) * min(residuals) ** 2)
    found = math.log(best_strength(tried, residuals))
    best = min(range(count), key=lambda number: residuals[number])
    beside = [math.log(tried[max(best - 1, 0)]), math.log(tried[min(best + 1, count - 1)])]
    if 0 < best < count - 1:
        span = max(residuals) ** 2 - min(residuals) ** 2
        known = span / (span + FLAT * min(residuals) ** 2)
        assert found == pytest.approx(known * place, abs=1e-6)
        assert beside[1] <= place <= beside[0]
    else:
        assert abs(found) <= abs(math.log(tried[best])) + 1e-12


def test_strengths_that_predict_alike_leave_it_as_it_is():
    assert best_strength(STRENGTHS, (1, 1, 1, 1, 1)) == 1
    assert best_strength(STRENGTHS, (1, 1, 1, 1, 1 - 1e-6)) == pytest.approx(1, rel=0.01)
    part = scan(coils=1)
    part = replace(part, coil_maps=torch.ones_like(part.coil_maps))
    found, _ = tune(build_method("sense"), part, problem_of)
    assert found.residuals == pytest.approx([1] * len(found.tried), rel=1e-4)
    assert found.strength == pytest.approx(1, rel=0.05)


def test_reconstruct_says_what_it_chose(model):
    part = scan()
    plain = reconstruct(part, model=model, sigma=0.05, device="cpu")
    assert plain.tunings == (None,)
    assert plain.facts()["noise"] == {
        "sigma": pytest.approx(0.05),
        "uncertainty": 0,
        "source": "given",
    }
    tuned = reconstruct(part, model=model, sigma=0.05, strength="auto", device="cpu")
    facts = tuned.facts()["tuning"]
    assert facts["strength"] == tuned.tunings[0].strength
    assert len(facts["residuals"]) == len(facts["tried"]) == len(facts["bounds"]) >= 3
    assert all(bound <= LOOSE for bound in facts["bounds"])
    assert tuned.facts()["sigma"] == pytest.approx(0.05)
    assert "Strength" in dict(tuned.summary())
    fixed = reconstruct(part, model=model, sigma=0.05, strength=facts["strength"], device="cpu")
    moved = float((fixed.image - tuned.image).norm() / fixed.image.norm())
    assert moved <= float(fixed.guarantee.error_bound) + float(tuned.guarantee.error_bound)
    with pytest.raises(InputError, match="strength is -1"):
        reconstruct(part, model=model, strength=-1.0, device="cpu")


def noise_known_within(monkeypatch, uncertainty):
    """Have the noise level estimated with an uncertainty."""
    noise = NoiseEstimate(torch.tensor([0.05]), torch.tensor([uncertainty]), "outer k-space")
    monkeypatch.setattr(solve, "known_noise", lambda item: noise)


def test_it_is_chosen_by_default_where_the_noise_is_uncertain(model, monkeypatch):
    part = scan()
    run = partial(reconstruct, part, model=model, device="cpu")
    noise_known_within(monkeypatch, UNCERTAIN + 0.1)
    found, asked, fixed = run(), run(strength="auto"), run(strength=1)
    assert torch.equal(found.image, asked.image)
    assert found.tunings[0].strength == asked.tunings[0].strength != 1
    assert "the noise level is uncertain (σ ± 40%)" in dict(found.summary())["Strength"]
    assert "uncertain" not in dict(asked.summary())["Strength"]
    # What the trials hold is in the plan where there are any.
    image = 8 * math.prod(SHAPE)
    assert found.memory.total - fixed.memory.total == (4 + 5) * image
    assert asked.memory == found.memory
    # Neither where a gain is bounded with the noise level fixed, nor where it has no effect.
    others = [run(robust=4.0), reconstruct(part, "sense", device="cpu"), fixed]
    noise_known_within(monkeypatch, UNCERTAIN - 0.01)
    others.append(run())
    assert torch.equal(others[-1].image, fixed.image)
    for one in others:
        assert one.tunings == (None,)
        assert "Strength" not in dict(one.summary())
        assert one.facts()["tuning"] is None


def test_it_is_not_chosen_unasked_where_the_memory_does_not_suffice(model, monkeypatch):
    noise_known_within(monkeypatch, 1.0)
    monkeypatch.setattr("molrecon.pipeline.memory_limit.resident_memory", lambda device: 0)
    run = partial(reconstruct, scan(), model=model, device="cpu")
    fixed = run(strength=1)
    enough = run(max_memory=fixed.memory.total / 2**30)
    assert enough.tunings == (None,)
    assert enough.memory == fixed.memory
    assert torch.equal(enough.image, fixed.image)


def test_where_it_cannot_be_chosen_it_is_asked_for_as_a_number_or_stays_1(model, monkeypatch):
    noise_known_within(monkeypatch, 1.0)
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[16:32] = True
    run = partial(reconstruct, scan(mask=mask), model=model, device="cpu")
    found = run()
    assert found.facts()["tuning"]["tried"] == ()
    assert torch.equal(found.image, run(strength=1).image)
    assert "too few to leave some out" in dict(found.summary())["Strength"]
    with pytest.raises(InputError, match="give the strength as a number"):
        run(strength="auto")


def test_a_noise_scan_gives_the_level():
    part = scan()
    samples = 0.05 * torch.randn(4, 2000, dtype=torch.complex64)
    known = known_noise(replace(part, noise=samples))
    assert known.source == "noise scan"
    assert float(known.sigma) == pytest.approx(0.05, rel=0.05)
    found = reconstruct(replace(part, noise=samples), "tikhonov", device="cpu")
    assert found.facts()["noise"]["source"] == "noise scan"
    assert found.facts()["sigma"] == pytest.approx(0.05, rel=0.05)
    estimated = known_noise(part)
    assert torch.equal(estimated.sigma, estimate_noise(part.kspace, part.mask).sigma)
    assert isinstance(operator_of(part), CartesianMRI)
