"""Settings of networks, their registry, and structure apart from first weights."""

import pytest
import torch
from pydantic import TypeAdapter

from molrecon.errors import InputError
from molrecon.networks import CNN, NETWORKS, AnyNetwork, PlanesNetwork, build_network
from molrecon.networks import layers as layers_module
from molrecon.networks.cnn import CNNSettings
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.store import load, save

from .test_bounds import SMALL

ANY: TypeAdapter[AnyNetwork] = TypeAdapter(AnyNetwork)


@pytest.mark.parametrize("kind", SMALL)
def test_settings_survive_json_and_build_the_same_network(kind):
    settings = ANY.validate_python({"kind": kind, **SMALL[kind]})
    again = ANY.validate_python(ANY.dump_python(settings, mode="json"))
    assert again == settings
    torch.manual_seed(3)
    first = settings.build()
    torch.manual_seed(3)
    second = build_network({"kind": kind, **SMALL[kind]})
    assert type(first) is NETWORKS[kind]
    assert first.settings == second.settings == settings
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


@pytest.mark.parametrize("kind", SMALL)
def test_reset_parameters_draws_what_a_constructor_does(kind):
    settings = ANY.validate_python({"kind": kind, **SMALL[kind]})
    torch.manual_seed(3)
    new = settings.build()
    network = settings.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7.0)
    torch.manual_seed(3)
    network.reset_parameters()
    for name, value in new.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


@pytest.mark.parametrize("kind", SMALL)
def test_on_the_device_meta_there_is_the_structure_alone(kind, monkeypatch):
    monkeypatch.setattr(NETWORKS[kind], "reset_parameters", None)
    state = torch.get_rng_state()
    with torch.device("meta"):
        network = build_network({"kind": kind, **SMALL[kind]})
    assert all(parameter.is_meta for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", SMALL)
def test_loading_draws_no_numbers_and_bounds_no_norms(kind, tmp_path, monkeypatch):
    ndim = {"ndim": 3} if kind in ("planes", "series-strict") else {}
    settings = {"network": {"kind": kind, **SMALL[kind], **ndim}}
    config = ModelConfig.model_validate({"method": "mol", **settings})
    model = config.build()
    file = save(model, tmp_path / "model.safetensors", config)

    def refused(*arguments, **options):
        raise AssertionError("a norm was bounded")

    monkeypatch.setattr(layers_module, "certified_norm", refused)
    state = torch.get_rng_state()
    loaded = load(file)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    assert not any(tensor.is_meta for tensor in (*loaded.parameters(), *loaded.buffers()))


def test_settings_are_accepted_as_they_are():
    plane = CNNSettings(features=4, layers=2, channels=1)
    network = PlanesNetwork(plane=plane)
    assert (network.ndim, network.channels) == (3, 1)
    assert all(inner.settings == plane for inner in network.planes)


def test_a_constructor_refuses_what_a_configuration_does():
    with pytest.raises(InputError, match="layers: found 0, expected at least 2"):
        CNN(layers=0)
    with pytest.raises(InputError, match="there is no such setting"):
        CNN(depth=3)
