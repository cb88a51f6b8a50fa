"""Whole runs, of a few steps."""

import json

import pytest
import torch

import molrecon
from molrecon.data.root import sampled_digest
from molrecon.errors import InputError
from molrecon.lipschitz.jacobian import jacobian_norm
from molrecon.reconstructors.store import load, read_header
from molrecon.training.loop import Trainer

from .runs import SIMULATION, config


def randomise(network, factor):
    """Random kernels of a gain that is about the factor times 0.5."""
    torch.manual_seed(0)
    for layer in network.convolutions:
        torch.nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
        layer.weight.data *= factor
        layer.bias.data.zero_()


def prepared(settings, *, factor=0.5, report=None):
    trainer = Trainer(settings, report=report)
    randomise(trainer.model.network, factor)
    return trainer


def run(settings, factor=0.5, **arguments):
    trainer = prepared(settings, factor=factor)
    trainer.run(**arguments)
    return trainer


def weights(trainer):
    return trainer.model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


CLOCKS = ("seconds", "waited")


def log(trainer):
    """The log, without what a clock has written."""
    lines = (trainer.folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCKS} for line in lines]


class Killed(Exception):  # noqa: N818 - not an error
    pass


def kill_at(step):
    def report(record):
        if record["step"] == step:
            raise Killed

    return report


MODELS = {
    "plain": {"network": {"kind": "cnn", "features": 4, "layers": 2}, "monotonicity": 0.1},
    "strict": {
        "network": {"kind": "residual-strict", "features": 4, "layers": 2, "lipschitz": 0.9},
        "monotonicity": 0.1,
    },
}


@pytest.mark.parametrize("model", MODELS)
def test_a_resumed_run_equals_an_uninterrupted_one(folder, model):
    changes = {"model": MODELS[model], "validate_every": 4, "lipschitz": {"every": 2}}
    changes["averaging"] = 0.9
    # Kernels of norms above 1 are divided by an estimate that goes on from step to step.
    factor = 2.0 if model == "strict" else 0.5
    straight = run(config(folder, output=str(folder / "straight"), **changes), factor)
    settings = config(folder, output=str(folder / "resumed"), **changes)
    # Killed after step 5, one step after the checkpoint; and before, stopped by the clock.
    run(settings, factor, time_limit=0.0)
    with pytest.raises(Killed):
        prepared(settings, factor=factor, report=kill_at(5)).run(resume=True)
    assert log(prepared(settings))[-1]["step"] == 5
    resumed = run(settings, factor, resume=True)
    assert same(weights(resumed), weights(straight))
    assert resumed.progress == straight.progress
    assert log(resumed) == log(straight)
    best = [load(t.folder / "best.safetensors").state_dict() for t in (resumed, straight)]
    assert same(*best)
    # Done is done.
    again = run(settings, resume=True)
    assert again.progress == straight.progress
    assert log(again) == log(straight)


def test_the_seed_governs_everything(folder):
    one, same_seed, other = (
        run(config(folder, seed=seed, output=str(folder / name)))
        for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert same(weights(one), weights(same_seed))
    assert not same(weights(one), weights(other))
    assert log(one) == log(same_seed)


def test_what_a_run_leaves_behind(folder):
    settings = config(folder, validate_every=3, lipschitz={"every": 2}, description="A test.")
    seen = []
    trainer = prepared(settings, report=seen.append)
    best = trainer.run()
    lines = log(trainer)
    assert [{k: v for k, v in line.items() if k not in CLOCKS} for line in seen] == lines
    steps = [line for line in lines if line["kind"] == "step"]
    validations = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in validations] == [3, 6]
    assert [line["objective"] for line in steps] == ["denoise"] * 2 + ["reconstruct"] * 4
    # The constraint acts at every second step, counted from 0.
    assert [line["lipschitz"] is not None for line in steps] == [True, False] * 3
    for line in steps:
        solving = line["objective"] == "reconstruct"
        assert (line["iterations"] is not None) is solving
        assert (line["adjoint_iterations"] is not None) is solving
        assert 0 < line["psnr"] < 60
        assert line["gradient"] > 0
        assert line["failed_solves"] == line["skipped_steps"] == 0
    # Each stage has a cosine of its own, from 1e-3 to 1e-6.
    assert [line["learning_rate"] for line in steps[:2]] == pytest.approx([1e-3, 1e-6])
    assert [line["learning_rate"] for line in steps[2:]] == pytest.approx(
        [1e-3, 1e-6 + 0.75 * 9.99e-4, 1e-6 + 0.25 * 9.99e-4, 1e-6]
    )
    # λ₀ is learned while reconstructing, not while denoising.
    untrained = 0.02 / (0.01**2 + 0.01**2)
    assert steps[1]["lam"] == pytest.approx(untrained)
    assert steps[-1]["lam"] != pytest.approx(untrained, rel=1e-3)
    for line in validations:
        assert line["failed"] == 0
        assert 0 < line["lipschitz"] < 1
    assert trainer.progress.curve == [
        {k: v for k, v in line.items() if k != "kind"} for line in validations
    ]
    best_line = max(validations, key=lambda line: line["psnr"])
    assert trainer.progress.best_step == best_line["step"]
    model_config, about = read_header(best)
    assert model_config == settings.model
    assert about["name"] == "tiny"
    assert about["description"] == "A test."
    assert about["version"] == molrecon.__version__
    assert about["initial_sha256"] is None
    assert about["step"] == best_line["step"]
    assert about["training"]["data"]["train"] == ["a.npz"]
    # Who was trained on goes with the weights, with checksums, as the run wrote it down.
    assert about["files"] == json.loads((best.parent / "data.json").read_text())
    assert about["files"]["train"]["a.npz"]["checksum"] == sampled_digest(folder / "a.npz")
    assert about["curve"] == trainer.progress.curve[: len(about["curve"])]


def test_failed_solves_are_counted_and_their_steps_skipped(folder):
    stage = {"steps": 3, "simulation": SIMULATION, "forward_tol": 1e-9, "max_iterations": 1}
    trainer = run(config(folder, stages=[stage], lipschitz={"kind": "none"}))
    assert trainer.progress.failed_solves == 6
    assert trainer.progress.skipped_steps == 3
    fresh = config(folder, stages=[stage], name="fresh", lipschitz={"kind": "none"})
    assert same(weights(trainer), weights(prepared(fresh)))
    lines = [line for line in log(trainer) if line["kind"] == "step"]
    assert [line["failed_solves"] for line in lines] == [2, 4, 6]
    assert [line["skipped_steps"] for line in lines] == [1, 2, 3]


def test_failed_adjoint_solves_are_counted_too(folder):
    stage = {"steps": 2, "simulation": SIMULATION, "backward_tol": 1e-12, "max_iterations": 12}
    stage |= {"forward_tol": 0.5}
    trainer = run(config(folder, stages=[stage], lipschitz={"kind": "none"}))
    assert trainer.progress.failed_solves == 4
    assert trainer.progress.skipped_steps == 2


def test_weights_that_are_not_numbers_are_never_stored_as_the_best(folder):
    trainer = prepared(config(folder))
    trainer.model.network.convolutions[0].weight.data[0, 0, 0, 0] = torch.nan
    best = trainer.run()
    assert trainer.progress.skipped_steps == 6
    assert trainer.progress.best_step == -1
    assert not best.exists()
    assert not trainer.progress.curve[-1]["lipschitz"] < 1


def local_norm(trainer):
    sigma = torch.tensor([0.03])
    images = torch.stack([a.image[0] for a in trainer.validation])
    return jacobian_norm(lambda x: trainer.model.network(x, sigma), images).value.max().item()


@pytest.mark.parametrize("objective", ["denoise", "reconstruct"])
def test_the_constraint_brings_an_expansive_network_back(folder, objective):
    """Even where at first no solve succeeds: the constraint's own gradient leads back."""
    stage = {"objective": objective, "steps": 120, "simulation": SIMULATION}
    stage |= {"learning_rate": 1e-2, "max_iterations": 10}
    lipschitz = {"threshold": 0.9, "margin": 0.01, "weight": 5.0, "every": 1}
    settings = config(folder, stages=[stage], lipschitz=lipschitz, checkpoint_every=1000)
    trainer = prepared(settings, factor=3.0)
    assert local_norm(trainer) > 4
    trainer.run()
    assert local_norm(trainer) < 0.9
    lines = [line for line in log(trainer) if line["kind"] == "step"]
    assert lines[1]["failed_solves"] == (4 if objective == "reconstruct" else 0)
    assert lines[-1]["failed_solves"] == lines[-20]["failed_solves"]


def test_the_loss_falls_on_an_easy_problem(folder):
    stage = {"objective": "denoise", "steps": 120, "learning_rate": 1e-2}
    stage["simulation"] = SIMULATION | {"sigma": [0.2, 0.2]}
    trainer = run(config(folder, stages=[stage], lipschitz={"kind": "none"}))
    losses = [line["loss"] for line in log(trainer) if line["kind"] == "step"]
    assert sum(losses[-20:]) / 20 < sum(losses[:5]) / 5 - 6


def test_reconstructing_trains_network_and_weight(folder):
    """From a weight of the data that is far too small."""
    stage = {"steps": 40, "learning_rate": 1e-2, "simulation": SIMULATION}
    model = {"network": {"kind": "cnn", "features": 4, "layers": 2}, "weight": {"lam0": 1e-4}}
    settings = config(folder, stages=[stage], model=model, lam_learning_rate=0.3)
    trainer = run(settings)
    steps = [line for line in log(trainer) if line["kind"] == "step"]
    losses = [line["loss"] for line in steps]
    assert sum(losses[-5:]) / 5 < sum(losses[:3]) / 3 - 6
    assert steps[-1]["lam"] > 5 * 1e-4 / (0.01**2 + 1.5e-3**2)
    assert steps[-1]["skipped_steps"] == 0


def test_an_earlier_run_is_not_overwritten(folder):
    settings = config(folder)
    run(settings, time_limit=0.0)
    with pytest.raises(InputError, match=r"runs/tiny holds an earlier run: resume it"):
        run(settings)


def test_a_run_with_other_settings_is_not_resumed(folder):
    run(config(folder), time_limit=0.0)
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        run(config(folder, clip_gradient=0.5), resume=True)
    # Where the output lies is no setting of the run.
    moved = folder / "moved"
    (folder / "runs").rename(moved)
    assert run(config(folder, output=str(moved)), resume=True).progress.step == 6


def test_foreign_checkpoints_are_refused(folder):
    settings = config(folder)
    trainer = run(settings, time_limit=0.0)
    checkpoint = trainer.folder / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        run(settings, resume=True)


def test_a_half_written_line_of_the_log_is_dropped(folder):
    settings = config(folder)
    trainer = run(settings)
    path = trainer.folder / "log.jsonl"
    whole = log(trainer)
    path.write_text(path.read_text() + '{"kind": "step", "st')
    assert log(run(settings, resume=True)) == whole


def test_gradients_are_clipped(folder):
    stage = {"objective": "denoise", "steps": 1, "simulation": SIMULATION}
    trainer = run(config(folder, stages=[stage], clip_gradient=1e-3))
    gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    assert torch.cat(gradients).norm().item() == pytest.approx(1e-3, rel=1e-3)
    assert log(trainer)[0]["gradient"] > 1e-3


def test_missing_images_are_refused_before_work_starts(folder):
    (folder / "a.npz").unlink()
    with pytest.raises(InputError, match=r"No file matches 'a\.npz'"):
        Trainer(config(folder))
    assert not (folder / "runs").exists()


def test_unknown_networks_are_refused_before_work_starts(folder):
    with pytest.raises(InputError, match="kind is 'tree', expected one of"):
        Trainer(config(folder, model={"network": {"kind": "tree"}}))
    assert not (folder / "runs").exists()


def test_validation_measures_what_it_says(folder):
    """The figures of an untrained model, recomputed from the acquisition."""
    trainer = run(config(folder, stages=[{"steps": 1, "simulation": SIMULATION}]))
    figures = trainer.progress.curve[0]
    (acquisition,) = trainer.validation
    assert acquisition.sigma.item() == pytest.approx(0.01)
    assert acquisition.mask.float().mean().item() == pytest.approx(1 / 4, rel=0.02)
    assert figures["network_evaluations"] >= 1
    assert figures["psnr"] > 10


def test_validation_takes_its_noise_levels_in_turn(folder):
    levels = [0.001, 0.01, 0.1]
    settings = config(folder)
    data = settings.data.model_copy(update={"validation_sigma": levels, "validation_count": 4})
    trainer = Trainer(settings.model_copy(update={"data": data}))
    found = [batch.sigma.item() for batch in trainer.validation]
    assert found == pytest.approx([*levels, levels[0]])
