"""The example in the help of every command runs as it is printed, on files of the names it has."""

import shlex
import shutil

import numpy as np
import pytest
import torch
import yaml

import molrecon
from molrecon.cli.main import COMMANDS
from molrecon.evaluation.attack import attacked as attack
from molrecon.operators.fourier import fft_centred
from molrecon.reconstructors import store
from molrecon.reports import demo

from ..data.formats.sound_files import twix
from ..support import strict_model
from .conftest import phantom, small_comparison

TRAIN = {
    "name": "short",
    "output": "runs",
    "model": {"network": {"kind": "cnn", "features": 4, "layers": 2}},
    "data": {"train": ["images.npz"], "validation": ["others.npz"], "validation_count": 1},
    "stages": [
        {
            "objective": "denoise",
            "steps": 1,
            "simulation": {
                **{"size": [24, 24], "batch_size": 1, "coils": [2, 2], "masks_per_kind": 1},
                "calibration": [4, 4],
            },
        }
    ],
}


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A certified model of few weights, in place of every shipped one."""
    return strict_model(tmp_path_factory.mktemp("model") / "small.safetensors")


def brain():
    """A full scan that is large enough for the calibration region of the default."""
    image = torch.nn.functional.interpolate(phantom()[None, None], scale_factor=2)[0]
    generator = torch.Generator().manual_seed(0)
    maps = molrecon.simulate_coil_maps(image.shape[1:], 3, generator=generator)
    return molrecon.add_noise(fft_centred(maps * image, 2), 0.01, generator=generator).numpy()


def fewer_steps(monkeypatch):
    """Let adapting and attacking take two steps: this is about the options, not the result."""
    adapt, effort = molrecon.adapt, attack.AttackEffort
    monkeypatch.setattr(molrecon, "adapt", lambda *a, **k: adapt(*a, **k | {"steps": 2}))
    least = {"steps": 2, "restarts": 1}
    monkeypatch.setattr(attack, "AttackEffort", lambda **k: effort(**k | least))


@pytest.fixture
def folder(files, certified, tmp_path, monkeypatch):
    """A folder with all that the examples name; models, and the image of the demo, are small."""
    monkeypatch.chdir(tmp_path)
    shipped = dict.fromkeys(store.shipped_models(), certified)
    monkeypatch.setattr(store, "shipped_models", lambda: shipped)
    fewer_steps(monkeypatch)
    monkeypatch.setattr(demo, "sample_image", phantom)
    monkeypatch.setattr(demo, "BRAIN", (10, 30, 10, 30))
    monkeypatch.setitem(demo.SETTINGS, "calibration", 16)
    shutil.copy(files.under, "under.npz")
    scan = molrecon.read_scan(files.under)
    for name in ("scan1.h5", "scan2.h5"):
        molrecon.write_scan(name, scan)
    np.save("scan.npy", scan.kspace[0].numpy())
    for name, kspace in (("scan", scan.kspace[0].numpy()), ("brain", brain())):
        axes = np.moveaxis(kspace, 0, -1)[:, :, None]
        sizes = " ".join(map(str, axes.shape))
        axes.astype(np.complex64).ravel("F").tofile(f"{name}.cfl")
        (tmp_path / f"{name}.hdr").write_text(f"# Dimensions\n{sizes}\n")
    truth = molrecon.read_image(files.reference).tensor()
    for name in ("image.npy", "ref.npy", "mol.npy", "sense.npy"):
        molrecon.write_image(name, truth)
    for name in ("mol.nii.gz", "sense.nii.gz", "ref.nii.gz"):
        molrecon.write_image(name, truth)
    shutil.copy(files.full, "full.npy")
    for name in ("images.npz", "others.npz"):
        np.savez(name, images=phantom().numpy()[None])
    twix(tmp_path / "measurement.dat")
    (tmp_path / "configs").mkdir()
    for path in (path for one in COMMANDS for path in shlex.split(one.example)):
        if path.endswith(".yaml"):
            root = str(tmp_path)
            made = small_comparison(tmp_path) if "compare" in path else dict(TRAIN)
            if "compare" not in path:
                made["data"] = TRAIN["data"] | {"root": root}
            (tmp_path / path).write_text(yaml.safe_dump(made))
    return tmp_path


@pytest.mark.parametrize("one", COMMANDS, ids=lambda one: one.name)
def test_the_example_of_the_help_runs(one, run, folder):
    program, *arguments = shlex.split(one.example)
    assert program == "molrecon"
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout
    if "-o" in arguments:
        assert (folder / arguments[arguments.index("-o") + 1]).exists()
