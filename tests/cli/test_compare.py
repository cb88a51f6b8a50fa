"""``molrecon compare``."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from .conftest import small_comparison, tiny_model


@pytest.fixture
def settings(files) -> dict[str, Any]:
    mol = {"method": "mol", "label": "MOL", "model": str(files.model)}
    chosen = small_comparison(files.full.parent, methods=[{"method": "sense"}, mol])
    chosen["image_sets"][0]["seeds"] = [0, 1]
    return chosen


@pytest.fixture
def config(tmp_path):
    """Write settings to a file."""

    def call(settings: Any) -> Path:
        path = tmp_path / "compare.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return call


def test_one_command(settings, config, tmp_path, run_json, run):
    out = tmp_path / "out"
    facts = run_json("compare", config(settings), "-o", out, "--workers", 1)
    assert (facts["computed"], facts["reused"]) == (4, 0)
    assert facts["failures"] == []
    (section,) = facts["sections"]
    sense, mol = section["methods"]
    assert (sense["method"], mol["method"]) == ("sense", "MOL")
    assert sense["images"] == 2
    assert mol["network_evaluations"]["mean"] > 0
    psnr = next(one for one in section["differences"] if one["metric"] == "psnr")
    assert psnr["mean"] == pytest.approx(mol["psnr"]["mean"] - sense["psnr"]["mean"])
    assert psnr["resamples"] == 100
    for name in ("table.csv", "table.md", "table.tex", "settings.yaml"):
        assert (out / name).is_file()
    result = run("compare", config(settings), "-o", out)
    assert result.exit_code == 0
    assert "4 found from an earlier run" in " ".join(result.stdout.split())
    assert "maximum of the reference" in " ".join(result.stderr.split())


def test_as_published(settings, config, tmp_path, run_json, run):
    out = tmp_path / "out"
    ours = run_json("compare", config(settings), "-o", out, "--workers", 1)
    published = run_json("compare", config(settings), "-o", out, "--as-published")
    assert published["computed"] == 0
    assert published["convention"] == "published"
    assert "range 2" in published["basis"]
    assert "range 2" in (out / "table.md").read_text()
    before, after = (facts["sections"][0]["methods"][0] for facts in (ours, published))
    assert after["ssim"]["mean"] > before["ssim"]["mean"]
    assert after["psnr"]["mean"] == pytest.approx(before["psnr"]["mean"])


def test_changed_weights_are_computed_again(settings, config, tmp_path, run_json):
    out, model = tmp_path / "out", tiny_model(tmp_path / "own.safetensors")
    settings["methods"][1]["model"] = str(model)
    run_json("compare", config(settings), "-o", out, "--workers", 1)
    tiny_model(model, monotonicity=0.4)
    facts = run_json("compare", config(settings), "-o", out, "--workers", 1)
    assert (facts["computed"], facts["reused"]) == (2, 2)


def test_bad_settings(settings, config, tmp_path, refused):
    out = tmp_path / "out"

    def check(naming: list[Any], **changes: Any) -> None:
        refused("compare", config(settings | changes), "-o", out, naming=naming)

    image_set = settings["image_sets"][0]
    mol = settings["methods"][1]
    check(["'telepathy'", "sense"], methods=[{"method": "telepathy"}])
    check(["'mol'", "needs a model", "brain2d-sn"], methods=[{"method": "mol"}])
    elsewhere = {**image_set, "files": ["/data/full.npy"]}
    check(["/data/full.npy", "absolute", "change the root"], image_sets=[elsewhere])
    check(["none.safetensors"], methods=[{**mol, "model": "none.safetensors"}])
    check(
        ["'colour'", "zero-filled"], methods=[{"method": "zero-filled", "options": {"colour": 1}}]
    )
    check(["label", "sense", "twice"], methods=[{"method": "sense"}, {"method": "sense"}])
    check(["baseline", "'nothing'"], baseline="nothing")
    check(["kind", "'film'", "full-scans"], image_sets=[{**image_set, "kind": "film"}])
    check(
        ["image_sets.0", "accelerations", "at least 1"],
        image_sets=[{**image_set, "accelerations": [0.5]}],
    )
    check(["image_sets.0", "speed"], image_sets=[{**image_set, "speed": 2}])
    lines = {"name": "scans", "kind": "non-cartesian", "files": ["image.npy"]}
    check(["image_sets.0", "neither is given", "spokes"], image_sets=[lines])
    spiral = {**lines, "spokes": [8], "trajectories": ["spiral"]}
    check(["a spiral has no spokes", "accelerations"], image_sets=[spiral])
    check(
        ["few", "centre of k-space", "maps"], image_sets=[{**lines, "name": "few", "spokes": [2]}]
    )
    check(["none.npy", "root"], image_sets=[{**image_set, "files": ["none.npy"]}])
    check(["NO_SUCH_VARIABLE"], root="${NO_SUCH_VARIABLE}")
    check(["'slides'", "scans"], figures=[{"image_set": "slides"}])
    check(["'other'", "full"], figures=[{"image_set": "scans", "image": "other"}])
    zoomed = {"image_set": "scans", "zoom": [9, 4, 0, 5]}
    check(["figures.0.zoom", "[9, 4, 0, 5]", "empty"], figures=[zoomed])
    check(["image.npy"], image_sets=[{**image_set, "files": ["image.npy"]}])
    check(["methods"], methods=[])
    good = config(settings)
    refused("compare", tmp_path / "none.yaml", "-o", out, naming=["none.yaml"])
    refused("compare", good, "-o", good / "out", naming=["compare.yaml", "not a folder"])
    refused("compare", good, "-o", good, naming=["compare.yaml", "file"])
    refused("compare", good, "-o", out, "--workers", 0, naming=["--workers"])
    (tmp_path / "broken.yaml").write_text("a: [")
    refused("compare", tmp_path / "broken.yaml", "-o", out, naming=["broken.yaml", "YAML"])


def test_bad_pictures(settings, config, tmp_path, refused):
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(np.full((9, 9, 3), 200, np.uint8)).save(data / "colour.png")
    Image.fromarray(np.full((2, 9), 200, np.uint8)).save(data / "small.png")
    np.save(data / "maps.npy", np.ones((2, 16, 16), np.complex64))
    Image.fromarray(np.full((17, 16), 200, np.uint8)).save(data / "tall.png")

    def check(naming: list[Any], **image_set: Any) -> None:
        changed = settings | {"root": str(data), "image_sets": [{"name": "set", **image_set}]}
        refused("compare", config(changed), "-o", tmp_path / "out", naming=naming)

    pictures = {"kind": "super-resolution"}
    check(["colour.png", "colour", "luminance"], files=["colour.png"], **pictures)
    check(["small.png", "2 × 9", "factor 3"], files=["small.png"], **pictures)
    check(
        ["mixed sizes", "tall.png", "17 × 16", "16 × 16"],
        kind="simulated",
        files=["tall.png"],
        coil_maps="maps.npy",
        accelerations=[2],
        calibration=8,
    )


def test_nothing_but_failures(settings, config, tmp_path, run, monkeypatch):
    from molrecon.reconstructors.methods import METHODS
    from molrecon.reconstructors.sense import SENSE

    class Unlucky(SENSE):
        def __call__(self, *arguments, **options):
            raise RuntimeError("no luck")

    monkeypatch.setitem(METHODS, "unlucky", Unlucky)
    path = config(settings | {"methods": [{"method": "unlucky"}]})
    result = run("compare", path, "-o", tmp_path / "out", "--workers", 1)
    assert result.exit_code == 3
    assert "no luck" in result.stderr
    assert "no luck" in (tmp_path / "out/table.md").read_text()


def test_an_interruption_that_a_library_swallows(settings, config, tmp_path, run, monkeypatch):
    def swallowing(*arguments, **options):
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("molrecon.evaluation.comparison.prepare", swallowing)
    before = signal.getsignal(signal.SIGINT)
    result = run("compare", config(settings), "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGINT) is before
