"""Several processes share the batches of a step, and one process accumulates them: the same."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from safetensors.torch import load_file
from tests.faults import DONE, in_child

from molrecon.errors import InputError
from molrecon.training import devices
from molrecon.training.loop import Trainer

from .runs import SIMULATION, config
from .test_loop import log, randomise, run

STAGES = [
    {"objective": "denoise", "steps": 4, "simulation": SIMULATION},
    {"objective": "reconstruct", "steps": 16, "simulation": SIMULATION},
]
CHANGES = {"stages": STAGES, "accumulation": 2, "validate_every": 10, "averaging": 0.9}
CHANGES["lipschitz"] = {"every": 2}


def on_two(settings, *, signal_at=None, resume=False, sharded=False):
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

    def launch_as_torchrun_does():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        second = os.fork()
        rank = "1" if second == 0 else "0"
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "GROUP_RANK": "0"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"TORCHELASTIC_RUN_ID": "test", "LOCAL_WORLD_SIZE": "2"}
        train(devices.launch("2", "cpu", sharded=True))
        if second == 0:
            os._exit(0)
        assert os.waitpid(second, 0)[1] == 0

    assert in_child(launch_as_torchrun_does if sharded else launch) == DONE
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


@pytest.fixture(scope="module")
def shards(data):
    return on_two(config(data, output=str(data / "shards"), **CHANGES), sharded=True)


def weights(tensors):
    """All weights and their averages as one vector."""
    chosen = [tensors[name] for name in sorted(tensors) if name.startswith(("model.", "average."))]
    return torch.cat([one.flatten() for one in chosen])


def test_weights_that_two_processes_share_out_become_the_same(data, two, shards):
    assert {name: one.shape for name, one in shards.items()} == {
        name: one.shape for name, one in two.items()
    }
    expected = weights(two)
    assert (weights(shards) - expected).norm() <= 1e-5 * expected.norm()
    best = [load_file(data / run / "tiny/best.safetensors") for run in ("two", "shards")]
    for name, value in best[0].items():
        assert (best[1][name] - value).norm() <= 1e-4 * value.norm()


def test_a_run_of_shared_weights_goes_on_on_any_number_of_processes(data, two, shards):
    settings = config(data, output=str(data / "shards-again"), **CHANGES)
    on_two(settings, signal_at=7, sharded=True)
    checkpoint = Path(settings.output) / "tiny/checkpoint.safetensors"
    ended = checkpoint.read_bytes()
    again = on_two(settings, resume=True, sharded=True)
    assert all(torch.equal(again[name], value) for name, value in shards.items())
    expected = weights(two)
    checkpoint.write_bytes(ended)
    found = weights(on_two(settings, resume=True))
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    checkpoint.write_bytes(ended)
    run(settings, resume=True)  # on one
    assert (weights(load_file(checkpoint)) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"devices": "1", "sharded": True}, "of one device"), ({"nodes": 0}, "nodes is 0, expected")],
)
def test_devices_that_cannot_be_meant_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        devices.launch(**{"accelerator": "cpu", **arguments})


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
