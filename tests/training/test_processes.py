"""Several processes share the batches of a step, and one process accumulates them: the same."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from safetensors.torch import load_file
from tests.faults import DONE, in_child

from molrecon.errors import InputError
from molrecon.training.loop import Trainer

from .runs import SIMULATION, config
from .test_loop import log, randomise, run

STAGES = [
    {"objective": "denoise", "steps": 4, "simulation": SIMULATION},
    {"objective": "reconstruct", "steps": 16, "simulation": SIMULATION},
]
CHANGES = {"stages": STAGES, "accumulation": 2, "validate_every": 10, "averaging": 0.9}
CHANGES["lipschitz"] = {"every": 2}


def on_two(settings, *, signal_at=None, resume=False):
    """Train on two processes; the second gets a signal after a step."""

    def train(fabric):
        trainer = Trainer(settings, fabric=fabric)
        randomise(trainer.model.network, 0.5)
        if fabric.global_rank == 1 and signal_at is not None:
            take = trainer._step

            def step(*arguments):
                take(*arguments)
                if trainer.progress.step == signal_at:
                    os.kill(os.getpid(), signal.SIGTERM)

            trainer._step = step
        trainer.run(resume=resume)
        assert trainer.stopped == (None if signal_at is None else signal.SIGTERM)

    def launch():
        strategy = DDPStrategy(find_unused_parameters=True, start_method="fork")
        Fabric(accelerator="cpu", devices=2, strategy=strategy).launch(train)

    assert in_child(launch) == DONE
    return load_file(Path(settings.output) / settings.name / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def two(data):
    return on_two(config(data, output=str(data / "two"), **CHANGES))


def test_two_processes_equal_one(data, two):
    one = run(config(data, output=str(data / "one"), **CHANGES))
    found = load_file(one.folder / "checkpoint.safetensors")
    assert found.keys() == two.keys()
    for name, value in one.model.state_dict().items():
        assert (value - two[f"model.{name}"]).norm() <= 1e-5 * value.norm()
    logged = [json.loads(line) for line in (data / "two/tiny/log.jsonl").read_text().splitlines()]
    for line, other in zip(log(one), logged, strict=True):
        for key, value in line.items():
            close = value if isinstance(value, str | None) else pytest.approx(value, rel=1e-4)
            assert other[key] == close


def test_a_signal_to_one_of_them_ends_both_and_they_go_on(data, two):
    settings = config(data, output=str(data / "again"), **CHANGES)
    on_two(settings, signal_at=7)
    again = on_two(settings, resume=True)
    assert again.keys() == two.keys()
    assert all(torch.equal(again[name], two[name]) for name in two)


def test_batches_that_cannot_be_shared_are_refused(data):
    class Three:
        world_size, global_rank = 3, 0

    with pytest.raises(InputError, match="accumulation is 2, expected a multiple of the 3"):
        Trainer(config(data, **CHANGES), fabric=Three())
