"""Training on scans along spokes and spirals."""

import pytest
import torch

from molrecon.errors import InputError
from molrecon.reconstructors.store import load
from molrecon.training.loop import Trainer
from molrecon.training.objective import Objective

from .runs import config, require_slopes
from .test_loop import same, weights

LINES = {
    "kind": "non-cartesian-mri",
    "size": [24, 20],
    "batch_size": 2,
    "coils": [3, 4],
    "accelerations": [2.0, 3.0],
    "sigma": [0.02, 0.05],
}
MODEL = {
    "network": {"kind": "residual-strict", "features": 4, "layers": 2},
    "weight": {"lam0": 1e-3},
    "monotonicity": 0.02,
}
STAGE = {"objective": "reconstruct", "steps": 4, "simulation": LINES}


def settings(folder, **changes):
    data = {
        "root": str(folder),
        "train": ["a.npz"],
        "validation": ["b.npz"],
        "validation_count": 1,
        "validation_size": [24, 20],
    }
    chosen = {
        "model": MODEL,
        "data": data,
        "stages": [STAGE | {"objective": "denoise", "steps": 2}, STAGE],
        "target": "noise-free",
        "lipschitz": {"kind": "none"},
        **changes,
    }
    return config(folder, **chosen)


def in_double(tensors):
    kinds = {torch.complex64: torch.complex128, torch.float32: torch.float64}
    return {name: one.to(kinds.get(one.dtype, one.dtype)) for name, one in tensors.items()}


def test_gradients_are_those_of_finite_differences(folder):
    exact = {"forward_tol": 1e-10, "backward_tol": 1e-10, "max_iterations": 500}
    lines = LINES | {"size": [16, 14], "coils": [2, 2], "trajectories": {"radial": 1}}
    network = {"kind": "residual", "features": 4, "layers": 2}
    model = {"network": network, "weight": {"lam0": 0.05, "floor": 0.05}, "monotonicity": 0.1}
    run = settings(folder, stages=[STAGE | exact | {"simulation": lines}], loss="mse", model=model)
    torch.manual_seed(0)
    module = Objective(run.model.build().double(), run)
    simulation = run.stages[0].simulation
    batch = simulation.sample(simulation.pool(run.data.files()[0]), seed=0, step=0)
    require_slopes(module, in_double(batch.tensors), run.stages[0])


def test_a_step_along_the_gradient_lowers_the_loss_by_what_it_says(folder):
    stage = STAGE | {"forward_tol": 1e-5, "backward_tol": 1e-4}
    trainer = Trainer(settings(folder, stages=[stage]))
    stage, module = trainer.config.stages[0], trainer.objective
    tensors = stage.simulation.sample(trainer.pool, seed=1, step=0).tensors
    before = module(tensors, stage, 0)["loss"]
    weights = [p for p in module.model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(before, weights)
    size = torch.stack([g.norm() for g in gradients]).norm()
    length = 0.05 / size  # by 0.05 dB
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= length / size * gradient
        after = module(tensors, stage, 0)["loss"].item()
    assert before.item() - after == pytest.approx(0.05, rel=0.2)


def test_a_stopped_run_ends_as_an_unbroken_one_and_its_weights_are_certified(folder):
    straight = Trainer(settings(folder, name="straight"))
    best = straight.run()
    again = settings(folder, name="again")
    Trainer(again).run(time_limit=0)
    resumed = Trainer(again)
    resumed.run(resume=True)
    assert same(weights(straight), weights(resumed))
    (batch,) = straight.validation
    found = load(best)(batch.y, batch.A, sigma=batch.sigma)
    assert bool(found.guarantee.proved)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trajectories": {"rosette": 1}}, "found 'rosette', expected one of radial"),
        ({"size": [24]}, "found 1 numbers, expected 2: pixels along y, x"),
        ({"size": [1, 24]}, "expected the pixels .y, x. of an image, at least 2 each"),
        ({"spokes": [0, 4]}, r"spokes\.0: found 0, expected at least 1"),
        ({"spokes": [4, 90], "trajectories": {"radial": 1}}, "at most 38, a complete scan"),
        ({"spokes": [4, 8]}, "a spiral has no spokes; give accelerations"),
        ({"accelerations": [0.5, 2]}, "accelerations start at 0.5"),
        ({"mask_kinds": {"equispaced": 1}}, "mask_kinds"),
    ],
)
def test_refusals(folder, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        settings(folder, stages=[STAGE | {"simulation": LINES | changes}])


def test_a_completed_scan_is_no_target(folder):
    with pytest.raises(InputError, match="the target is full-scan, but non-cartesian-mri offers"):
        settings(folder, target="full-scan")
