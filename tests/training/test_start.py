"""Runs start from the weights of trained models."""

import pytest
import torch

from molrecon.errors import InputError
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.store import save
from molrecon.training.start import start

SLICES = {"kind": "multiscale-strict", "features": 4, "scales": [1, 2], "coarse_channels": 2}
SERIES = SLICES | {"kind": "series-strict", "ndim": 3, "temporal_width": 3}
GUIDE = {"guide": {"features": 4, "coarse_features": 8}}


def config(network, **others):
    axes = {"axes": "tyx"} if network is SERIES else {}
    return ModelConfig.model_validate({"network": network, "monotonicity": 0.1} | axes | others)


def trained(folder, name, network, seed, **others):
    """The file of a model with weights of its own."""
    torch.manual_seed(seed)
    settings = config(network, **others)
    model = settings.build()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.rand_like(parameter))
    return str(save(model, folder / f"{name}.safetensors", settings)), model


def test_network_and_guide_come_from_two_models(tmp_path):
    unguided, of_series = trained(tmp_path, "series", SERIES, 1)
    guided, of_slices = trained(tmp_path, "slices", SLICES, 2, **GUIDE)
    model = config(SERIES, **GUIDE).build()
    start(model, unguided, guided)
    same(model.network, of_series.network)
    same(model.weight, of_series.weight)
    for part in ("filters", "down", "near", "far", "up"):
        same(getattr(model.guide, part), getattr(of_slices.guide, part))


def test_another_guide_takes_the_place_of_the_one_of_the_initial_model(tmp_path):
    first, own = trained(tmp_path, "first", SLICES, 1, **GUIDE)
    second, other = trained(tmp_path, "second", SLICES, 2, **GUIDE)
    model = config(SLICES, **GUIDE).build()
    start(model, first, None)
    same(model.guide, own.guide)
    start(model, first, second)
    same(model.network, own.network)
    same(model.guide, other.guide)


@pytest.mark.parametrize("lacking", ["new", "trained"])
def test_a_guide_that_is_not_there_is_missed(tmp_path, lacking):
    guided, _ = trained(tmp_path, "guided", SLICES, 1, **GUIDE)
    plain, _ = trained(tmp_path, "plain", SLICES, 1)
    model = config(SLICES, **({} if lacking == "new" else GUIDE)).build()
    named, expected = {"new": (guided, "the model"), "trained": (plain, "plain.safetensors")}[
        lacking
    ]
    with pytest.raises(InputError, match=f"initial_guide is .* but .*{expected} has no guide"):
        start(model, None, named)


def same(one, other):
    """Assert that two modules hold equal weights."""
    weights = other.state_dict()
    assert weights
    for name, value in one.state_dict().items():
        assert torch.equal(value, weights[name]), name
