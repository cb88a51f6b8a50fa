"""``molrecon demo``."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from molrecon.data.formats import read_image, read_scan
from molrecon.evaluation.metrics import METRICS
from molrecon.reports import demo as demo_module

from .conftest import SHAPE, phantom


@pytest.fixture
def small(monkeypatch):
    """Replace the image by a small one, for speed."""
    monkeypatch.setattr(demo_module, "sample_image", phantom)
    monkeypatch.setattr(demo_module, "BRAIN", (10, 30, 10, 30))
    monkeypatch.setitem(demo_module.SETTINGS, "calibration", 16)
    monkeypatch.setitem(demo_module.SETTINGS, "acceleration", 3.0)


def test_all_methods_on_one_scan(small, files, run_json, tmp_path):
    folder = tmp_path / "demo"
    facts = run_json("demo", "--model", files.model, "--model", files.model, "-o", folder)
    assert [item["method"] for item in facts["methods"]] == ["zero-filled", "sense", "mol", "mol"]
    for item in facts["methods"]:
        assert item["psnr"] > 10
        assert 0 < item["ssim"] <= 1
        assert item["status"] == "converged"
    assert facts["methods"][2]["error_bound"] <= 1e-3
    with Image.open(facts["figure"]) as picture:
        assert picture.width > 800
    assert read_scan(facts["scan"]).kspace.shape == (1, 8, *SHAPE)
    assert read_image(facts["reference"]).tensor().shape == (1, 1, *SHAPE)
    page = Path(facts["report"]).read_text()
    assert page.count('class="card verdict') == 4
    assert "256 × 256" in page.split("</title>")[0]
    assert {path.suffix for path in folder.iterdir()} == {".npz", ".npy", ".png", ".html"}


def test_the_table(small, files, run, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "added", replace(METRICS["nmse"], name="added"))
    monkeypatch.setenv("COLUMNS", "120")
    result = run("demo", "--model", files.model, "-o", tmp_path)
    text = result.stdout
    for part in ("Zero-filled", "SENSE", "MOL, tiny", "PSNR", "SSIM", "ADDED", "error bound"):
        assert part in text
    # The legend explains the asterisk where there is one.
    assert ("* conditional" in result.stderr) == (" *" in text)
    assert " *" in text
    assert (tmp_path / "report.html").as_uri() in "".join(result.stderr.split())


def test_the_legend_explains_no_mark_that_is_not_there(small, run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    result = run("demo", "--model", "brain2d-sn", "-o", tmp_path)
    assert " *" not in result.stdout
    assert "conditional" not in result.stderr


def test_its_scan_can_be_reconstructed_and_evaluated(small, files, run_json, tmp_path):
    facts = run_json("demo", "--model", files.model, "-o", tmp_path)
    out = tmp_path / "image.npy"
    run_json("reconstruct", facts["scan"], "--method", "sense", "-o", out)
    found = run_json("evaluate", out, facts["reference"])
    assert found["psnr"] == pytest.approx(facts["methods"][1]["psnr"], abs=0.01)


def test_refusals(files, refused, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "demo"):
        refused("demo", "--model", files.model, "-o", folder, naming=["file"])
    for model, sentence in (("bsds-sr3-sn", "give a model of MRI"), ("brain3d-planes", "volumes")):
        refused("demo", "--model", model, "-o", tmp_path / "new", naming=[model, sentence])
        assert not (tmp_path / "new").exists()
