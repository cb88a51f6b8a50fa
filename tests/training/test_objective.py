"""What a training step computes, and what a failed solve may not touch."""

from dataclasses import replace

import pytest
import torch

from molrecon.linear.status import Status
from molrecon.training.losses import LOSSES
from molrecon.training.objective import Objective

from .runs import SIMULATION, config


@pytest.fixture
def setting(folder):
    """An objective with a contractive network, its stages, and a batch."""
    stage = {"steps": 1, "simulation": SIMULATION, "forward_tol": 1e-4, "backward_tol": 1e-4}
    stages = [stage, stage | {"objective": "denoise"}]
    read = config(folder, stages=stages, lipschitz={"kind": "none"})
    torch.manual_seed(0)
    model = read.model.build()
    for layer in model.network.convolutions:
        torch.nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
    simulation = read.stages[0].simulation
    batch = simulation.sample(simulation.pool([folder / "a.npz"]), seed=0, step=0)
    return Objective(model, read), read.stages, batch.tensors


def gradients(objective, loss):
    leaves = [p for p in objective.model.parameters() if p.requires_grad]
    return torch.autograd.grad(loss, leaves, allow_unused=True)


def one_sample(batch, index):
    return {name: tensor[index : index + 1] for name, tensor in batch.items()}


def test_loss_is_the_mean_over_the_batch(setting):
    objective, (stage, _), batch = setting
    together = objective(batch, stage, 0)
    alone = [objective(one_sample(batch, i), stage, 0) for i in (0, 1)]
    assert together["solved"].tolist() == [True, True]
    assert together["loss"].item() == pytest.approx(
        (alone[0]["loss"].item() + alone[1]["loss"].item()) / 2, rel=1e-4
    )
    assert together["psnr"][0].item() == pytest.approx(-alone[0]["loss"].item(), rel=1e-4)


def test_a_failed_solve_is_left_out_of_loss_and_gradient(setting, monkeypatch):
    """The batch is then worth what the other sample is worth alone."""
    objective, (stage, _), batch = setting
    expected = objective(one_sample(batch, 1), stage, 0)["loss"]
    wanted = gradients(objective, expected)
    original = type(objective.model).forward

    def first_fails(self, y, A, **arguments):
        solution = original(self, y, A, **arguments)
        return replace(solution, status=(Status.DIVERGED, *solution.status[1:]))

    monkeypatch.setattr(type(objective.model), "forward", first_fails)
    result = objective(batch, stage, 0)
    assert result["solved"].tolist() == [False, True]
    assert result["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    for found, exact in zip(gradients(objective, result["loss"]), wanted, strict=True):
        assert torch.allclose(found, exact, rtol=1e-2, atol=1e-3 * float(exact.abs().max()))


def test_adjoint_solution_is_kept(setting):
    objective, (stage, denoise), batch = setting
    loss = objective(batch, stage, 0)["loss"]
    assert objective.backward_solution is None
    loss.backward()
    assert objective.backward_solution.solved.tolist() == [True, True]
    objective(batch, denoise, 0)["loss"].backward()
    assert objective.backward_solution is None


def test_denoising_applies_the_network_to_noise_of_the_given_level(setting):
    objective, (_, stage), batch = setting
    seen = []

    class Identity(torch.nn.Module):
        def forward(self, x, sigma):
            seen.append((x, sigma))
            return x

    objective.model.network = Identity()
    result = objective(batch, stage, 0)
    ((noisy, sigma),) = seen
    noise = (noisy - batch["image"]).detach()
    measured = noise.abs().square().mean((1, 2, 3)).sqrt()
    assert torch.equal(sigma, batch["sigma"])
    assert torch.allclose(measured, sigma, rtol=0.1)
    # The identity leaves all of the noise.
    assert torch.allclose(result["psnr"], -20 * torch.log10(measured), atol=1e-3)
    assert result["solved"].all()


def test_denoising_is_reproducible(setting):
    objective, (_, stage), batch = setting
    assert torch.equal(objective(batch, stage, 0)["loss"], objective(batch, stage, 0)["loss"])


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_gradients(setting, name):
    objective, (stage, _), batch = setting
    objective.loss = LOSSES[name]
    found = gradients(objective, objective(batch, stage, 0)["loss"])
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in found)


def test_constraint_is_added_when_due(setting, folder):
    objective, (stage, _), batch = setting
    plain = objective(batch, stage, 0)["loss"]
    lipschitz = {"every": 2, "threshold": 0.5, "weight": 0.1}
    other = Objective(objective.model, config(folder, lipschitz=lipschitz))
    with_constraint = other(batch, stage, 0)
    assert with_constraint["lipschitz"].shape == (2,)
    assert with_constraint["loss"].item() != pytest.approx(plain.item(), abs=1e-4)
    without = other(batch, stage, 1)
    assert "lipschitz" not in without
    assert without["loss"].item() == pytest.approx(plain.item(), abs=1e-4)


def test_constraint_is_measured_where_the_network_is_evaluated(setting, folder):
    """At x*, whichever image the loss compares."""
    objective, (stage, _), batch = setting
    values = []
    for output in ("fixed-point", "full-scan"):
        other = Objective(objective.model, config(folder, trained_output=output))
        values.append(other(batch, stage, 0)["lipschitz"])
    torch.testing.assert_close(*values)
