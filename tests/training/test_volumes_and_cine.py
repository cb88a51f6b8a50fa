"""Volumes and series of frames go through the same training."""

import nibabel
import numpy as np
import pytest
import torch

from molrecon.errors import InputError
from molrecon.reconstructors.configuration import ModelConfig
from molrecon.reconstructors.store import load, save
from molrecon.training.loop import Trainer

from .runs import config
from .test_loop import same, weights

COMMON = {
    "batch_size": 1,
    "coils": [3, 3],
    "accelerations": [2.0, 3.0],
    "calibration": [4, 4],
    "masks_per_kind": 2,
    "sigma": [0.02, 0.05],
}
SIMULATIONS = {
    "zyx": {"kind": "volume-mri", "size": [10, 9, 8], **COMMON},
    "tyx": {"kind": "cine-mri", "size": [4, 12, 10], **COMMON},
}
FLAT = {"network": {"kind": "residual-strict", "features": 4, "layers": 2}, "monotonicity": 0.02}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two moving, shaded balls: a volume and a series each, and a model of slices."""
    folder = tmp_path_factory.mktemp("subjects")
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 26, 24)], indexing="ij")
    for seed, name in enumerate("ab"):
        x = 0.8 * axes[0] ** 2 + axes[1] ** 2 + (axes[2] - 0.2 * seed) ** 2
        ball = (x < 0.8) * (1 + 0.3 * np.sin(9 * axes[2])).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(ball, np.eye(4)), folder / f"{name}.nii.gz")
        np.savez(folder / f"{name}.npz", img=ball)
    torch.manual_seed(0)
    settings = ModelConfig.model_validate(FLAT)
    save(settings.build(), folder / "flat.safetensors", settings)
    return folder


def run(folder, axes, **changes):
    ending = {"zyx": ".nii.gz", "tyx": ".npz"}[axes]
    network = FLAT["network"] | {"ndim": 3}
    stage = {"objective": "reconstruct", "steps": 2, "simulation": SIMULATIONS[axes]}
    chosen = {
        "name": axes,
        "model": FLAT | {"network": network, "axes": axes},
        "initial": str(folder / "flat.safetensors"),
        "data": {
            "root": str(folder),
            "train": [f"a{ending}"],
            "validation": [f"b{ending}"],
            "validation_count": 1,
            "validation_acceleration": 2.0,
            "validation_size": [8, 16, 12],
        },
        "stages": [stage | {"objective": "denoise"}, stage],
        "lipschitz": {"kind": "none"},
        **changes,
    }
    return config(folder, **chosen)


@pytest.mark.parametrize("axes", ["zyx", "tyx"])
def test_a_killed_run_ends_as_an_unbroken_one_and_its_weights_load(folder, axes):
    straight = Trainer(run(folder, axes))
    best = straight.run()
    assert straight.progress.failed_solves == 0
    assert [point["failed"] for point in straight.progress.curve] == [0]
    again = run(folder, axes, name=f"{axes}-again")
    Trainer(again).run(time_limit=0)
    resumed = Trainer(again)
    resumed.run(resume=True)
    assert same(weights(straight), weights(resumed))
    model = load(best)
    assert model.network.ndim == 3
    batch = straight.validation[0]
    assert batch.image.shape[2:] == (8, 16, 12)
    with torch.no_grad():
        found = model(batch.y, batch.A, sigma=batch.sigma)
    assert found.converged
    assert found.certified


def test_checkpointing_changes_nothing_but_memory(folder):
    plain, kept = run(folder, "tyx", name="plain"), run(folder, "tyx", name="kept")
    kept = kept.model_copy(update={"checkpointing": True})
    trainers = [Trainer(settings) for settings in (plain, kept)]
    assert trainers[1].model.network.checkpointing
    for trainer in trainers:
        trainer.run()
    for a, b in zip(*(weights(trainer).values() for trainer in trainers), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_the_third_axis_is_learned(folder):
    trainer = Trainer(run(folder, "zyx", name="third"))
    kernel = trainer.model.network.convolutions[0].weight
    assert (kernel[:, :, [0, 2]] == 0).all()
    trainer.run()
    assert (kernel[:, :, [0, 2]] != 0).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": FLAT}, "with the axes zyx, but the model is made for yx"),
        ({"model": FLAT | {"network": FLAT["network"] | {"ndim": 3}, "axes": "tyx"}}, "for tyx"),
    ],
)
def test_a_model_of_other_axes_than_the_data_is_refused(folder, changes, message):
    with pytest.raises(InputError, match=message):
        run(folder, "zyx", **changes)


def test_a_validation_size_of_other_axes_is_refused(folder):
    data = run(folder, "zyx").data.model_dump() | {"validation_size": [8, 8]}
    with pytest.raises(InputError, match="expected 3 positive numbers, along z, y, x"):
        run(folder, "zyx", data=data)
