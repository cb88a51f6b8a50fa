import json

import pytest
import torch
from safetensors.torch import save_file

from molrecon.errors import InputError
from molrecon.training.checkpoint import Progress, load_checkpoint, save_checkpoint

from ..support import normal, random_cnn

CONFIG = {"name": "tiny", "stages": [{"steps": 3, "tol": 1e-3}]}
CPU = torch.device("cpu")


def state(steps, seed=0):
    """A network and its optimiser after some steps; some parameters never see a gradient."""
    network = random_cnn(seed=seed)
    network.convolutions[0].noise_bias.requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        x = normal(1, 1, 6, 5, seed=step)
        network(x, torch.tensor([0.05]).double()).abs().sum().backward()
        optimizer.step()
    return network, optimizer


def save(path, network, optimizer, vector=None, progress=None, average=None):
    save_checkpoint(
        path,
        model=network,
        optimizer=optimizer,
        vectors={} if vector is None else {3: vector},
        average=average or {},
        progress=progress or Progress(),
        config=CONFIG,
    )


def load(path, network, optimizer, config=CONFIG, average=None):
    return load_checkpoint(
        path,
        model=network,
        optimizer=optimizer,
        average=average or {},
        config=config,
        device=CPU,
    )


def test_everything_comes_back_exactly(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    network, optimizer = state(3)
    vector = normal(2, 1, 6, 5, dtype=torch.complex64)
    progress = Progress(step=3, skipped_steps=1, best_psnr=31.5, curve=[{"step": 2.0}])
    average = {"kernel": torch.arange(6.0)}
    save(path, network, optimizer, vector, progress, average)
    other, fresh = state(0, seed=1)
    empty = {"kernel": torch.zeros_like(average["kernel"])}
    found, restored = load(path, other, fresh, average=empty)
    assert torch.equal(empty["kernel"], average["kernel"])
    assert found == progress
    assert torch.equal(restored[3], vector)
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    states = [o.state_dict()["state"] for o in (optimizer, fresh)]
    assert states[0].keys() == states[1].keys()
    for index in states[0]:
        for key, value in states[0][index].items():
            assert torch.equal(states[1][index][key], value)


def test_a_run_without_constraint_or_validation(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save(path, *state(0))
    progress, vectors = load(path, *state(0))
    assert vectors == {}
    assert progress == Progress()
    assert progress.best_psnr == float("-inf")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_settings_are_refused_and_nothing_is_changed(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save(path, *state(2))
    network, optimizer = state(0, seed=1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        load(path, network, optimizer, {**CONFIG, "name": "other"})
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        load(path, *state(0))
    save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        load(path, *state(0))
    save_file({"weight": torch.ones(2)}, path, metadata={"config": json.dumps("else")})
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        load(path, *state(0))


def test_settings_that_came_later_do_not_make_another_run(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save(path, *state(1))
    network, optimizer = state(0)
    later = CONFIG | {"method": "mol"}
    arguments = {"model": network, "optimizer": optimizer, "average": {}, "device": CPU}
    with pytest.raises(InputError, match="other settings"):
        load_checkpoint(path, config=later, **arguments)
    complete = lambda settings: {"method": "mol", **settings}  # noqa: E731
    load_checkpoint(path, config=later, complete=complete, **arguments)
    with pytest.raises(InputError, match="other settings"):
        load_checkpoint(path, config=later | {"method": "modl"}, complete=complete, **arguments)
