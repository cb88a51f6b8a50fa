"""The strength of regularisation, chosen by samples that were left out."""

import math
from dataclasses import replace

import pytest
import torch

from molrecon import CartesianMRI, Scan, estimate_noise, reconstruct
from molrecon.data.simulation import simulate_coil_maps
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred
from molrecon.pipeline.measurements import known_noise, operator_of
from molrecon.pipeline.tuning import (
    STRENGTHS,
    averaged_strength,
    tune,
)
from molrecon.reconstructors.base import at_strength
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


def test_the_chosen_strength_of_least_squares_is_near_the_best_one():
    """Against the error of the image itself, which the choice does not see."""
    part = scan(sigma=0.15)
    method = build_method("sense")
    found, _ = tune(method, part, problem_of)
    clean = scan(sigma=0.0, mask=torch.ones(SHAPE, dtype=torch.bool))
    truth = operator_of(clean).H(clean.kspace)

    def error(strength):
        with at_strength(method, strength):
            return float((method(*problem_of(part)).value - truth).norm())

    assert found.tried == STRENGTHS
    assert found.certified
    assert error(found.strength) <= 1.1 * min(error(strength) for strength in STRENGTHS)


def test_the_average_follows_the_curve_without_jumps():
    assert averaged_strength(STRENGTHS, (0.5, 0.4, 0.3, 0.2, 0.1)) == pytest.approx(0.1, rel=0.05)
    before = None
    for step in range(401):
        t = step / 400
        residuals = tuple(
            math.hypot(0.2, 0.1 * (math.log(s) - t * math.log(0.1))) for s in STRENGTHS
        )
        found = math.log(averaged_strength(STRENGTHS, residuals))
        assert before is None or abs(found - before) < 0.05
        before = found


def test_strengths_that_predict_alike_leave_it_as_it_is():
    assert averaged_strength(STRENGTHS, (1, 1, 1, 1, 1)) == 1
    assert averaged_strength(STRENGTHS, (1, 1, 1, 1, 1 - 1e-6)) == pytest.approx(1, rel=0.01)
    part = scan(coils=1)
    part = replace(part, coil_maps=torch.ones_like(part.coil_maps))
    found, _ = tune(build_method("sense"), part, problem_of)
    assert found.residuals == pytest.approx([1] * len(STRENGTHS), rel=1e-4)
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
    assert len(facts["residuals"]) == len(STRENGTHS)
    assert tuned.facts()["sigma"] == pytest.approx(0.05)
    assert "Strength" in dict(tuned.summary())
    fixed = reconstruct(part, model=model, sigma=0.05, strength=facts["strength"], device="cpu")
    moved = float((fixed.image - tuned.image).norm() / fixed.image.norm())
    assert moved <= float(fixed.guarantee.error_bound) + float(tuned.guarantee.error_bound)
    with pytest.raises(InputError, match="strength is -1"):
        reconstruct(part, model=model, strength=-1.0, device="cpu")


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
