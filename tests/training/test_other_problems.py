"""Problems other than MRI go through the same training: super-resolution."""

import numpy as np
import pytest
import torch
from PIL import Image

from molrecon.errors import InputError
from molrecon.training.loop import Trainer
from molrecon.training.objective import Objective

from .runs import SIMULATION, config, require_slopes
from .test_loop import Killed, kill_at, log, same, weights

SUPER = {
    "kind": "super-resolution",
    "factor": 2,
    "size": [16, 16],
    "batch_size": 2,
    "sigma": [0.01, 0.05],
}
MODEL = {
    "network": {"kind": "residual", "channels": 1, "features": 4, "layers": 2},
    "weight": {"lam0": 0.05, "floor": 0.05},
    "monotonicity": 0.1,
}
STAGE = {"objective": "reconstruct", "steps": 4, "simulation": SUPER}


@pytest.fixture
def pictures(tmp_path):
    """Four pictures of blobs."""
    y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 30), indexing="ij")
    for number in range(4):
        random = np.random.default_rng(number)
        image = np.full(x.shape, 0.2)
        for _ in range(8):
            centre = random.uniform(-1, 1, 2)
            inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < random.uniform(0.02, 0.2)
            image = np.where(inside, random.uniform(0.1, 1), image)
        Image.fromarray(np.uint8(255 * image)).save(tmp_path / f"{number}.png")
    return tmp_path


def settings(folder, **changes):
    data = {"root": str(folder), "train": ["[0-2].png"], "validation": ["3.png"]}
    stages = [STAGE | {"objective": "denoise", "steps": 2}, STAGE]
    chosen = {"model": MODEL, "data": data, "stages": stages, "target": "noise-free", **changes}
    return config(folder, **chosen)


def objective(run, *, double=False):
    """An objective and the tensors of a batch."""
    torch.manual_seed(0)
    model = run.model.build()
    simulation = run.stages[-1].simulation
    pool = simulation.pool(run.data.files()[0])
    tensors = simulation.sample(pool, seed=0, step=0).tensors
    if double:
        model = model.double()
        tensors = {name: tensor.double() for name, tensor in tensors.items()}
    return Objective(model, run), tensors


def test_gradients_are_those_of_finite_differences(pictures):
    exact = {"forward_tol": 1e-12, "backward_tol": 1e-12, "max_iterations": 500}
    run = settings(pictures, stages=[STAGE | exact], lipschitz={"kind": "none"}, loss="mse")
    module, tensors = objective(run, double=True)
    require_slopes(module, tensors, run.stages[0])


def test_denoising_real_images_adds_noise_of_the_given_level(pictures):
    run = settings(pictures)
    module, tensors = objective(run)
    seen = []

    class Identity(torch.nn.Module):
        def forward(self, x, sigma):
            seen.append(x)
            return x

    module.model.network = Identity()
    result = module(tensors, run.stages[0], 1)
    (noisy,) = seen
    assert not noisy.is_complex()
    measured = (noisy - tensors["image"]).square().mean((1, 2, 3)).sqrt()
    assert torch.allclose(measured, tensors["sigma"], rtol=0.1)
    assert torch.allclose(result["psnr"], -20 * torch.log10(measured), atol=1e-3)


@pytest.mark.parametrize("method", ["mol", "modl"])
def test_the_loss_falls(pictures, method):
    model = MODEL | {"weight": {"lam0": 1e-3}}
    if method == "modl":
        network = MODEL["network"]
        model = {"method": method, "network": network, "iterations": 3, "weight": {"lam0": 1e-3}}
    stage = STAGE | {"steps": 40, "learning_rate": 1e-2}
    trainer = Trainer(settings(pictures, model=model, stages=[stage], lam_learning_rate=0.3))
    config, module = trainer.config, trainer.objective
    batches = [config.stages[0].simulation.sample(trainer.pool, seed=1, step=n) for n in range(4)]

    def loss():
        """Mean over batches that are not trained on, in decibel."""
        losses = [module(b.tensors, config.stages[0], 1)["loss"].detach() for b in batches]
        return float(sum(losses)) / len(losses)

    before = loss()
    trainer.run()
    assert loss() < before - 0.5
    assert trainer.progress.skipped_steps == trainer.progress.failed_solves == 0


def test_a_resumed_run_equals_an_uninterrupted_one(pictures):
    """With the constraint, whose vector is real here."""
    changes = {"validate_every": 3, "lipschitz": {"every": 1}}
    straight = Trainer(settings(pictures, output=str(pictures / "straight"), **changes))
    straight.run()
    resumed = settings(pictures, output=str(pictures / "resumed"), **changes)
    with pytest.raises(Killed):
        Trainer(resumed, report=kill_at(5)).run()
    again = Trainer(resumed)
    again.run(resume=True)
    assert same(weights(again), weights(straight))
    assert log(again) == log(straight)
    vectors = [trainer.objective.constraint.vectors[0] for trainer in (again, straight)]
    assert torch.equal(*vectors)
    assert not vectors[0].is_complex()


def test_mixed_precision_leaves_measurements_and_images_alone(pictures, monkeypatch):
    """Only the convolutions run in 16 bits; gradients stay close to the exact ones."""
    monkeypatch.setattr("molrecon.training.objective.computes_bf16", lambda device: True)
    # As exact as 16 bits allow: otherwise the two solves end at different places.
    stage = STAGE | {"forward_tol": 1e-3, "backward_tol": 1e-3}
    run = settings(pictures, precision="bf16-mixed", stages=[stage], lipschitz={"kind": "none"})
    trainer = Trainer(run)
    original, seen = type(trainer.model).forward, []

    def forward(self, y, A, **arguments):
        solution = original(self, y, A, **arguments)
        seen.append((y, arguments["sigma"], solution.value))
        return solution

    monkeypatch.setattr(type(trainer.model), "forward", forward)
    trainer.run()
    for step, (y, sigma, image) in enumerate(seen[:4]):
        batch = run.stages[0].simulation.sample(trainer.pool, seed=run.seed, step=step)
        assert torch.equal(y, batch.y)
        assert torch.equal(sigma, batch.sigma)
        assert image.dtype == torch.float32
    gradients = []
    for precision in ("32-true", "bf16-mixed"):
        module, tensors = objective(run.model_copy(update={"precision": precision}))
        loss = module(tensors, run.stages[0], 0)["loss"]
        found = torch.autograd.grad(loss, list(module.model.parameters()))
        gradients.append(torch.cat([g.flatten() for g in found]))
    assert not torch.equal(*gradients)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


def test_mixed_precision_is_single_where_nothing_computes_in_16_bits(pictures, monkeypatch):
    monkeypatch.setattr("molrecon.training.objective.computes_bf16", lambda device: False)
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        run = settings(pictures, precision=precision)
        module, tensors = objective(run)
        losses.append(module(tensors, run.stages[0], 0)["loss"])
    assert torch.equal(*losses)


def test_validation_is_of_the_pictures_held_out(pictures):
    trainer = Trainer(settings(pictures))
    trainer.run()
    (batch,) = trainer.validation
    assert batch.image.shape == (1, 1, 40, 30)
    assert batch.sigma.tolist() == pytest.approx([0.01])
    (figures,) = trainer.progress.curve
    assert figures["psnr"] > 10
    assert 0 < figures["lipschitz"] < 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"stages": [STAGE, STAGE | {"simulation": SIMULATION}]},
            "the stages simulate parallel-mri and super-resolution, but a model has one problem",
        ),
        (
            {"target": "full-scan"},
            "the target is full-scan, but super-resolution offers noise-free",
        ),
        (
            {"stages": [STAGE | {"simulation": SUPER | {"size": [16, 15]}}]},
            "crops of 16 × 15 pixels are no multiples of the factor 2",
        ),
        (
            {"stages": [STAGE | {"simulation": SUPER | {"kind": "magic"}}]},
            "the kind is 'magic', expected one of parallel-mri, super-resolution",
        ),
    ],
)
def test_refusals(pictures, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        settings(pictures, **changes)


def test_crops_that_no_picture_holds_are_refused(pictures):
    stage = STAGE | {"simulation": SUPER | {"size": [32, 32]}}
    with pytest.raises(InputError, match=r"\.png has a side of 30 pixels, fewer than the crops"):
        Trainer(settings(pictures, stages=[stage]))
