"""``molrecon report``, and the reports that other commands write."""

import numpy as np

from molrecon.reports.verdict import GAIN_SCOPE

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
    assert [one["name"] for one in data["overlays"]] == ["noise", "SNR", "g-factor"]
    (verdict,) = root.all("article")
    assert verdict.all("strong")[0].text == "Conditional"
    assert len(root.all("figure", class_="chart")) == 1


def test_probe(files, run_json, tmp_path):
    out = tmp_path / "report.html"
    facts = run_json("probe", files.under, "--model", "sense", "--size", 2, "--contrast", 0.1,
                     "--shifts", 2, "--sigma", 0.02, "--report", out)  # fmt: skip
    assert facts["report"] == str(out)
    root, (data,) = read_page(out.read_text("utf-8"))
    assert [one["name"] for one in data["overlays"]] == [
        "kept of 2 pixels, contrast 0.1", "share of the data",
    ]  # fmt: skip
    assert all((one["low"], one["high"]) == (0, 1) for one in data["overlays"])
    assert data["overlay"] == 0
    assert root.all("article")[0].all("strong")[0].text == "Proved"
    (table,) = root.all("table")
    assert len(table.all("tbody")[0].all("tr")) == 1


def test_attack(files, run_json, tmp_path):
    out = tmp_path / "report.html"
    common = ("attack", "sense", files.under, "--epsilon", "0.05,0.01", "-o", tmp_path / "o",
              "--restarts", 1, "--steps", 2, "--report", out)  # fmt: skip
    facts = run_json(*common)
    assert facts["files"]["report"] == str(out)
    assert titles(out) == ["sense, unperturbed", "worst error of 1 %", "worst error of 5 %"]
    root, _ = read_page(out.read_text("utf-8"))
    (verdict,) = root.all("article")
    assert verdict.all("strong")[0].text == "Proved"
    assert f"{facts['methods'][0]['bound']:.3g} times" in verdict.text
    assert GAIN_SCOPE in [one.text for one in root.all("p", class_="note")]
    rows = root.all("table")[-1].all("tbody")[0].all("tr")
    assert [row.all("td")[1].text for row in rows] == ["worst", "gaussian"] * 2
    run_json(*common, "--reference", files.reference)
    assert titles(out) == [
        "reference",
        "sense, unperturbed",
        "worst error of 1 %",
        "worst error of 5 %",
    ]


def test_compare(files, run_json, tmp_path):
    out = tmp_path / "report.html"
    config = tmp_path / "compare.yaml"
    config.write_text(f"""
name: small
root: {files.reference.parent}
image_sets:
  - {{kind: full-scans, name: scans, files: [full.npy], accelerations: [2], calibration: 12}}
methods: [{{method: sense}}, {{method: zero-filled}}]
""")
    facts = run_json("compare", config, "-o", tmp_path / "o", "--workers", 1, "--report", out)
    assert facts["files"]["report"] == str(out)
    root, (data,) = read_page(out.read_text("utf-8"))
    assert [one["title"] for one in data["panels"]] == ["reference", "sense", "zero-filled"]
    # A result that is kept in a file is not called proved.
    assert [one.all("strong")[0].text for one in root.all("article")] == [
        "Conditional", "No guarantee",
    ]  # fmt: skip
    (table,) = root.all("table")
    heads = table.all("thead")[0].all("th")
    assert "Contrast kept / %" not in [one.text for one in heads]  # nothing was probed
    numbers = [one.attributes.get("class") == "number" for one in heads]
    assert numbers == [False, *[True] * (len(heads) - 1)]


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
