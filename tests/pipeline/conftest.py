"""A small model for the tests of the pipeline."""

import pytest
import torch

import molrecon
from molrecon.reconstructors.configuration import ModelConfig


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model of slices whose network contracts strongly."""
    config = ModelConfig.model_validate(
        {"network": {"kind": "cnn", "features": 4, "layers": 2}, "monotonicity": 0.5}
    )
    torch.manual_seed(0)
    built = config.build()
    with torch.no_grad():
        for name, weights in built.network.named_parameters():
            weights.mul_(0.5 if name.endswith("weight") else 0.0)
    return str(molrecon.save(built, tmp_path_factory.mktemp("model") / "tiny.safetensors", config))
