"""Every learned method goes through the same training."""

import pytest
import torch

from molrecon.reconstructors.configuration import LEARNED
from molrecon.reconstructors.store import load
from molrecon.training.card import model_card
from molrecon.training.loop import Trainer

from .runs import SIMULATION, config
from .test_loop import Killed, kill_at, log, same, weights

SMALL = {"kind": "cnn", "features": 4, "layers": 2}
RESIDUAL = SMALL | {"residual": True}
MODELS = {
    "mol": {"network": SMALL, "monotonicity": 0.1},
    "modl": {"network": RESIDUAL, "iterations": 3, "weight": {"lam0": 0.02, "floor": 0.01}},
    "admm-net": {"network": RESIDUAL, "iterations": 3, "weight": {"lam0": 0.02, "floor": 0.01}},
    "de-grad": {"network": SMALL | {"kind": "kernel-normalised"}},
    "unet": {"network": {"kind": "unet", "features": 4}},
    "mnm-mol": {"network": SMALL, "monotonicity": 0.1},
}
RESTS_ON_A_BOUND = {"mol", "mnm-mol"}
UNROLLED = {"modl", "admm-net"}


def settings(folder, method, **changes):
    model = {"method": method, **MODELS[method]}
    return config(folder, model=model, **{"validate_every": 6, **changes})


def test_all_are_here():
    assert set(MODELS) == set(LEARNED)


@pytest.mark.parametrize("method", MODELS)
def test_a_run_trains_and_stores_it(folder, method):
    trainer = Trainer(settings(folder, method))
    before = {name: value.clone() for name, value in weights(trainer).items()}
    best = trainer.run()
    assert trainer.progress.skipped_steps == trainer.progress.failed_solves == 0
    assert not same(before, weights(trainer))
    steps = [line for line in log(trainer) if line["kind"] == "step"]
    (validation,) = [line for line in log(trainer) if line["kind"] == "validation"]
    bounded = method in RESTS_ON_A_BOUND
    assert ("lipschitz" in validation) is bounded
    assert (steps[0]["lipschitz"] is not None) is bounded
    iterates = bounded or method == "de-grad"
    assert (steps[-1]["adjoint_iterations"] is not None) is iterates
    assert (steps[-1]["lam"] is None) is (method in {"unet", "de-grad"})
    assert validation["failed"] == 0
    if not bounded:
        assert trainer.progress.best_step == 6
        assert "No guarantee" in model_card(best)
    if best.exists():
        assert type(load(best)) is type(trainer.model)
        assert f"| method | {method} |" in model_card(best)


@pytest.mark.parametrize("method", ["modl", "de-grad", "unet"])
def test_a_resumed_run_equals_an_uninterrupted_one(folder, method):
    straight = Trainer(settings(folder, method, output=str(folder / "straight")))
    straight.run()
    resumed = settings(folder, method, output=str(folder / "resumed"))
    with pytest.raises(Killed):
        Trainer(resumed, report=kill_at(5)).run()
    again = Trainer(resumed)
    again.run(resume=True)
    assert same(weights(again), weights(straight))
    assert log(again) == log(straight)


@pytest.mark.parametrize("method", sorted(UNROLLED))
def test_the_loss_falls(folder, method):
    """From a weight of the data that is far too small."""
    stage = {"steps": 30, "learning_rate": 1e-2, "simulation": SIMULATION}
    model = {"method": method, **MODELS[method], "weight": {"lam0": 1e-4}}
    run = config(folder, model=model, stages=[stage], lam_learning_rate=0.3)
    trainer = Trainer(run)
    trainer.run()
    steps = [line for line in log(trainer) if line["kind"] == "step"]
    losses = [line["loss"] for line in steps]
    assert sum(losses[-5:]) / 5 < sum(losses[:3]) / 3 - 3
    assert steps[-1]["lam"] > 2 * 1e-4 / (0.01**2 + 1.5e-3**2)


@pytest.mark.parametrize("method", sorted(UNROLLED))
def test_failed_linear_solves_are_counted_and_their_steps_skipped(folder, method):
    stage = {"steps": 2, "simulation": SIMULATION}
    model = {"method": method, **MODELS[method], "data_step": {"tol": 1e-7, "max_iterations": 1}}
    trainer = Trainer(config(folder, model=model, stages=[stage]))
    before = {name: value.clone() for name, value in weights(trainer).items()}
    trainer.run()
    assert trainer.progress.failed_solves == 4
    assert trainer.progress.skipped_steps == 2
    assert same(before, weights(trainer))
    assert trainer.progress.best_step == -1


def test_a_method_may_start_from_the_network_of_another(folder):
    first = settings(folder, "modl", name="first")
    best = Trainer(first).run()
    model = Trainer(settings(folder, "admm-net", initial=str(best))).model
    source = load(best)
    x, level = torch.randn(1, 1, 8, 8, dtype=torch.complex64), torch.tensor([0.05])
    with torch.no_grad():
        assert torch.equal(model.network(x, level), source.network(x, level))
        assert model.weight(level) == source.weight(level)


def test_a_run_of_an_earlier_version_is_resumed(folder):
    """Its settings did not name a method: MOL was the only one."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    run = settings(folder, "mol")
    Trainer(run).run(time_limit=0.0)
    checkpoint = folder / "runs" / "tiny" / "checkpoint.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        header = file.metadata()
    assert '"method": "mol", ' in header["config"]
    header["config"] = header["config"].replace('"method": "mol", ', "")
    save_file(tensors, checkpoint, metadata=header)
    trainer = Trainer(run)
    trainer.run(resume=True)
    assert trainer.progress.step == 6
