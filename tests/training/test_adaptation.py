"""A model adapted to scans: never worse on samples held out, certified whatever it learns."""

import math

import pytest
import torch

import molrecon
from molrecon.errors import InputError
from molrecon.training import adaptation_loop

from ..support import strict_model
from .test_measured_scans import scan, truth


@pytest.fixture
def start(tmp_path):
    """A strict model of few weights that regularises far too much, in a file."""
    return strict_model(tmp_path / "start.safetensors", weight={"kind": "fixed", "lam0": 0.05})


def weights(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def test_a_bad_start_improves_and_keeps_its_certificate(start, tmp_path):
    before = molrecon.load(start)
    found = molrecon.adapt([scan(0), scan(1)], start, steps=20, device="cpu")
    assert (len(found.scans), found.parts) == (2, 2)
    assert found.improved
    assert found.gain > 0.3
    assert "2, of which 2 slices served" in dict(found.summary())["Scans"]
    assert found.gain == pytest.approx(found.facts()["held_out_after"] - found.curve[0][1])
    assert found.certified
    assert molrecon.certified_bound(found.model.network) <= 1 - before.monotonicity
    assert not torch.equal(weights(before), weights(found.model))
    other = scan(2)
    errors = []
    for model in (before, found.model):
        image = molrecon.reconstruct(other, model, device="cpu").image
        errors.append(float((image - truth()).norm()))
    assert errors[1] < errors[0]
    saved = found.save(tmp_path / "mine.safetensors")
    again = molrecon.reconstruct(other, model=str(saved), device="cpu")
    assert again.guarantee.proved
    assert torch.equal(again.image, molrecon.reconstruct(other, found.model, device="cpu").image)


def test_the_same_seed_gives_the_same_weights(start):
    one, again, other = (
        molrecon.adapt(scan(), start, steps=2, seed=seed, device="cpu") for seed in (1, 1, 2)
    )
    assert torch.equal(weights(one.model), weights(again.model))
    assert not torch.equal(weights(one.model), weights(other.model))


def test_what_predicts_worse_is_thrown_away(start, monkeypatch):
    """Every validation after the first is worse: the start is returned, and that is said."""
    values = iter(range(100, 0, -1))
    worse = lambda *arguments, **options: {"psnr": float(next(values)), "failed": 0.0}  # noqa: E731
    monkeypatch.setattr(adaptation_loop, "validate", worse)
    monkeypatch.setattr(adaptation_loop, "EVERY", 1)
    found = molrecon.adapt(scan(), start, steps=50, device="cpu")
    assert (found.best_step, found.improved, found.gain) == (0, False, 0.0)
    assert found.steps == adaptation_loop.PATIENCE
    assert torch.equal(weights(found.model), weights(molrecon.load(start)))
    assert "nothing was better" in dict(found.summary())["Samples held out"]
    assert dict(found.summary())["Scans"] == "1, of which 1 slice served"


def test_weights_that_do_best_are_kept_although_later_ones_follow(start, monkeypatch):
    kept = []

    def figures(model, *arguments, **options):
        kept.append(weights(model).clone())
        return {"psnr": [1.0, 3.0, 2.0][min(len(kept), 3) - 1], "failed": 0.0}

    monkeypatch.setattr(adaptation_loop, "validate", figures)
    monkeypatch.setattr(adaptation_loop, "EVERY", 1)
    found = molrecon.adapt(scan(), start, steps=3, device="cpu")
    assert (found.best_step, found.gain) == (1, 2.0)
    assert torch.equal(weights(found.model), kept[1])


def test_more_failed_solves_are_never_an_improvement(start, monkeypatch):
    results = iter([(1.0, 0.0), (9.0, 1.0), (2.0, 0.0)])

    def figures(*arguments, **options):
        psnr, failed = next(results)
        return {"psnr": psnr, "failed": failed}

    monkeypatch.setattr(adaptation_loop, "validate", figures)
    monkeypatch.setattr(adaptation_loop, "EVERY", 1)
    assert molrecon.adapt(scan(), start, steps=2, device="cpu").best_step == 2


def test_an_interrupt_and_the_time_limit_keep_the_best(start):
    def interrupt(text, done, total):
        if text.startswith("adapting") and done == 2:
            raise KeyboardInterrupt

    found = molrecon.adapt(scan(), start, steps=50, device="cpu", progress=interrupt)
    assert (found.steps, found.stopped) == (2, "interrupted")
    assert found.certified
    found = molrecon.adapt(scan(), start, steps=50, time_limit=1e-3, device="cpu")
    assert (found.steps, found.stopped) == (0, "the time limit was reached")
    assert torch.equal(weights(found.model), weights(molrecon.load(start)))


def test_the_image_that_is_returned_is_what_it_adapts_for(start, tmp_path):
    found = molrecon.adapt(scan(), start, steps=1, output="full-scan", device="cpu")
    assert found.model.output == "full-scan"
    assert molrecon.load(found.save(tmp_path / "full.safetensors")).output == "full-scan"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"time_limit": math.nan}, "time_limit is nan"),
        ({"share": 1.0}, "share is 1.0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"sigma": 0.0}, "sigma is 0"),
        ({"output": "both"}, "output is 'both'"),
        ({"model": "none-such"}, "none-such"),
        ({"model": "bsds-sr3-sn"}, "pictures"),
        ({"model": "brain3d-planes"}, "spatial axes"),
        ({"scans": []}, "scans is empty"),
        ({"scans": ["none-such.h5"]}, "none-such.h5"),
    ],
)
def test_bad_input_is_refused_before_any_step(options, sentence):
    def work(text, done, total):
        assert not text.startswith("adapting")

    scans = options.pop("scans", [scan()])
    model = options.pop("model", "brain2d-sn")
    with pytest.raises(InputError, match=sentence):
        molrecon.adapt(scans, model, progress=work, **options)


def test_a_scan_with_nothing_to_leave_out_is_refused(start):
    full = molrecon.Scan(torch.randn(1, 1, 32, 32, dtype=torch.complex64))
    with pytest.raises(InputError, match="too few to leave some out"):
        molrecon.adapt(full, start, force=True, device="cpu")
