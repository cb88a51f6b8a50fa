import pytest
from pydantic import ValidationError

from molrecon.reconstructors.configuration import ModelConfig, SolverConfig
from molrecon.reconstructors.mol import MOLConfig


def test_defaults_are_those_of_the_classes():
    model = MOLConfig().build()
    assert sum(p.numel() for p in model.network.parameters()) > 113_154
    assert model.monotonicity == 0.02
    assert model.shift == 0
    assert model.equilibrium.forward.alpha == 1
    assert model.weight.log_lam0.exp().item() == pytest.approx(0.005)


def test_every_setting_arrives():
    settings = {
        "alpha": 0.25,
        "tol": 0.3,
        "stopping": "residual",
        "max_iterations": 9,
        "memory": 2,
        "inner_reduction": 0.125,
        "inner_iterations": 11,
    }
    solver = SolverConfig.model_validate(settings).build()
    inner = solver.inner
    assert {
        "alpha": solver.alpha,
        "tol": solver.tol,
        "stopping": solver.stopping,
        "max_iterations": solver.max_iterations,
        "memory": solver.memory,
        "inner_reduction": inner.rtol,
        "inner_iterations": inner.max_iterations,
    } == settings
    # Relative to the right-hand side, the fixed point would stall short of the solution.


def test_forward_and_backward_have_settings_of_their_own():
    config = {
        "network": {"kind": "cnn", "features": 4, "layers": 2},
        "forward": {"tol": 0.5},
        "backward": {"tol": 0.25},
        "weight": {"kind": "fixed", "lam0": 7.0},
        "shift": 0.1,
        "monotonicity": 0.3,
    }
    model = ModelConfig.model_validate(config).build()
    assert model.equilibrium.forward.tol == 0.5
    assert model.equilibrium.backward.tol == 0.25
    assert model.weight.log_floor is None
    assert (model.shift, model.monotonicity) == (0.1, 0.3)


@pytest.mark.parametrize(
    "config",
    [
        {"forward": {"alpha": 1.5}},
        {"forward": {"stopping": "soon"}},
        {"forward": {"speed": 3}},
        {"weight": {"lam0": 0}},
        {"monotonicity": 1},
        {"shift": -1},
        {"layers": 5},
    ],
)
def test_settings_out_of_range_are_refused(config):
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(config)


def test_unknown_networks_are_refused():
    with pytest.raises(ValidationError, match="the kind is 'tree'"):
        MOLConfig(network={"kind": "tree"})
