"""``molrecon report``, and the reports that other commands write."""

import numpy as np

from ..reports.conftest import read_page


def titles(path):
    _, (data,) = read_page(path.read_text("utf-8"))
    return [one["title"] for one in data["panels"]]


def test_images_of_files(files, run_json, tmp_path):
    image, out = tmp_path / "image.npy", tmp_path / "report.html"
    np.save(image, np.load(files.reference) * 0.9)
    facts = run_json("report", image, files.reference, "--reference", files.reference, "-o", out)
    assert facts["report"] == str(out)
    assert facts["bytes"] == out.stat().st_size
    assert titles(out) == ["reference", "image.npy", "reference.npy"]


def test_reconstruct(files, run_json, tmp_path):
    image, out = tmp_path / "image.npy", tmp_path / "report.html"
    facts = run_json("reconstruct", files.under, "--method", "sense", "-o", image, "--report", out)
    assert facts["report"] == str(out)
    assert titles(out) == ["sense", "zero-filled"]
    root, _ = read_page(out.read_text("utf-8"))
    assert [one.all("strong")[0].text for one in root.all("article")] == ["Proved", "No guarantee"]
    run_json("reconstruct", files.under, "--model", files.model, "-o", image, "--report", out,
             "--beside", "", "--noise-map", tmp_path / "std.npy", "--draws", 2)  # fmt: skip
    root, (data,) = read_page(out.read_text("utf-8"))
    assert [one["title"] for one in data["panels"]] == ["mol, tiny"]
    assert [one["name"] for one in data["overlays"]] == ["noise"]
    (verdict,) = root.all("article")
    assert verdict.all("strong")[0].text == "Conditional"
    assert len(root.all("figure", class_="chart")) == 1


def test_wrong_input_is_refused_before_work_starts(files, run, tmp_path):
    image = tmp_path / "image.npy"
    wrong = {
        ("--report", tmp_path / "report.pdf"): "expected .html",
        ("--report", files.under): "expected .html",
        ("--report", tmp_path / "r.html", "--beside", "nothing-known"): "nothing-known",
    }
    for options, sentence in wrong.items():
        result = run("reconstruct", files.under, "-o", image, *options)
        assert result.exit_code == 2
        assert sentence in result.stderr.replace("\n", "")
    result = run("report", files.reference, "-o", tmp_path / "none" / "report.html")
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())
