"""The page: what it holds, and that it is safe and whole."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

import molrecon
from molrecon import DataCheck, Finding, InputError, report
from molrecon.reports.chart import chart
from molrecon.reports.content import Panel, Report, Section, Trace
from molrecon.reports.markup import markup
from molrecon.reports.page import page
from molrecon.reports.report import write_report
from molrecon.reports.sources import section_of, trace_of

from .conftest import Reader, read_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[2J<!--"


@pytest.fixture(scope="module")
def made(sense, scan, truth, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    zero = molrecon.reconstruct(scan, "zero-filled")
    assert report([sense, zero], path, reference=truth) == path
    return path.read_text(encoding="utf-8")


def test_texts(made, sense):
    root, _ = read_page(made)
    words = {one.all("h3")[0].text: one for one in root.all("article", class_="verdict")}
    assert list(words) == ["sense Proved", "zero-filled No guarantee"]
    assert "proved" in words["sense Proved"].attributes["class"].split()
    assert "none" in words["zero-filled No guarantee"].attributes["class"].split()
    assert root.all("title")[0].text == root.all("h1")[0].text == "phantom.npz"
    (shown, _) = root.all("dl")
    names = [one.text for one in shown.all("dt")]
    values = [one.text for one in shown.all("dd")]
    for name, value in sense.summary():
        assert values[names.index(name)] == value


def test_images_and_errors(made, sense, truth):
    _, (data,) = read_page(made)
    assert [one["title"] for one in data["panels"]] == ["reference", "sense", "zero-filled"]
    assert (data["height"], data["width"], data["bits"]) == (32, 24, 16)
    expected = [truth.abs()[0, 0], sense.image.abs()[0, 0]]
    for panel, image in zip(data["panels"], expected, strict=False):
        (png,) = panel["planes"]
        with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
            found = np.asarray(picture).astype(float)
        values = (256 * found[:32] + found[32:]) / 65535 * data["top"]
        assert np.abs(values - image.numpy()).max() <= data["top"] / 65535
    score = molrecon.psnr(sense.image.abs(), truth.abs()).value
    assert f"PSNR {score:.2f} dB" in data["panels"][1]["caption"]
    assert data["peak"] == pytest.approx(float(truth.abs().max()))
    errors = [(one.abs() - truth.abs()).abs().numpy() for one in (sense.image,)]
    assert data["limit"] <= max(map(np.max, errors)) * 2
    assert data["limit"] > 0


def test_maps_of_noise_lie_over_their_image_alone(made, sense):
    _, (data,) = read_page(made)
    assert [one["name"] for one in data["overlays"]] == ["noise", "SNR", "g-factor"]
    assert all(list(one["planes"]) == ["1"] for one in data["overlays"])
    noise = data["overlays"][0]
    assert "2 draws" in noise["meaning"]
    assert noise["low"] == 0
    assert 0 < noise["high"] <= float(sense.noise_map.max())


def test_it_needs_nothing_else(made):
    root, _ = read_page(made)
    assert not root.all("link") + root.all("img") + root.all("iframe")
    for one in root.all():
        assert not {"src", "href"} & one.attributes.keys()
        assert not any(name.startswith("on") for name in one.attributes)
    assert "url(" not in root.all("style")[0].text
    assert "@import" not in root.all("style")[0].text
    for called in ("fetch(", "XMLHttpRequest", "import(", "http:", "https:", "innerHTML"):
        assert called not in root.all("script")[1].text


def test_only_the_script_of_the_package_may_run(made):
    root, _ = read_page(made)
    data, script = root.all("script")
    assert data.attributes["type"] == "application/json"
    (policy,) = [
        one.attributes["content"]
        for one in root.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    hashed = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}';" in policy
    assert policy.startswith("default-src 'none';")
    assert script.text == (files("molrecon.reports") / "assets" / "report.js").read_text("utf-8")


def test_hostile_names_are_texts(sense, tmp_path):
    finding = Finding(HOSTILE, "warning", HOSTILE, HOSTILE, HOSTILE)
    hostile = replace(
        sense,
        **{"source": HOSTILE, "method": HOSTILE, "assumed": {HOSTILE: HOSTILE}},
        check=DataCheck((finding,)),
        coil_maps=HOSTILE,
    )
    failed = Panel(HOSTILE, None, failure=HOSTILE)
    root, (data,) = read_page(report([hostile, failed], tmp_path / "r.html").read_text("utf-8"))
    clean = Reader(page(Report("x", (section_of([sense]),)))).root
    assert len(root.all("script")) == len(clean.all("script")) == 2
    assert not root.all("img")
    for one in root.all():
        assert not any(name.startswith("on") for name in one.attributes)
    for text in (root.all("h1")[0].text, root.all("title")[0].text, data["panels"][0]["title"]):
        assert HOSTILE.replace("\x1b", "\\x1b") in text
    assert "\x1b" not in root.text
    assert data["panels"][1]["failure"].startswith("</script>")


def test_controls_have_names(made):
    """For screen readers: a label around, or a name of their own."""
    root, _ = read_page(made)
    labelled = {id(one) for label in root.all("label") for one in label.all()}
    for tag in ("input", "select"):
        for one in root.all(tag):
            named = id(one) in labelled or "aria-label" in one.attributes
            assert named or one.attributes["name"] == "plane"  # named by the script
    for one in root.all("button"):
        assert "aria-label" in one.attributes or one.text.strip()
    assert all(one.attributes.get("aria-label") for one in root.all("svg"))
    assert root.all("html")[0].attributes["lang"] == "en"


def test_the_data_check_is_a_table(sense):
    findings = (
        Finding("spikes", "warning", "2 samples stand out", "stripes", "remove them (despike)"),
        Finding("coils", "note", "one is weak", "less to see", "nothing"),
    )
    root, _ = read_page(
        page(Report("x", (section_of([replace(sense, check=DataCheck(findings))]),)))
    )
    (table,) = [one for one in root.all("table") if "data check" in one.all("caption")[0].text]
    rows = [[cell.text for cell in row.all("td")] for row in table.all("tbody")[0].all("tr")]
    assert rows == [[one.seen, one.meaning, one.settle] for one in findings]
    assert [one.text for one in table.all("tbody")[0].all("th")] == [
        "spikes (doubt)", "coils (note)",
    ]  # fmt: skip


def test_a_contradicted_scan_is_not_proved(sense):
    check = DataCheck((Finding("mask", "refused", "zeros", "a wrong mask", "correct it"),))
    root, _ = read_page(page(Report("x", (section_of([replace(sense, check=check)]),))))
    (verdict,) = root.all("article", class_="verdict")
    assert "conditional" in verdict.attributes["class"].split()
    assert "Proved" not in verdict.text
    assert "which the data contradict (mask)" in verdict.text


def test_files_are_read_and_nothing_is_said_of_their_error(sense, truth, tmp_path):
    sense.save(tmp_path / "sense.npy")
    molrecon.write_image(tmp_path / "truth.npy", truth)
    path = report(tmp_path / "sense.npy", tmp_path / "r.html", reference=tmp_path / "truth.npy")
    root, (data,) = read_page(path.read_text("utf-8"))
    (verdict,) = root.all("article", class_="verdict")
    assert "none" in verdict.attributes["class"].split()
    assert "Proved" not in root.all("main")[0].text
    assert [one["title"] for one in data["panels"]] == ["reference", "sense.npy"]
    assert "PSNR" in data["panels"][1]["caption"]


def test_another_unit_is_remarked(sense, truth):
    section = section_of([sense], 1000 * truth)
    assert "different units" in section.remarks[0]
    assert not section_of([sense], truth).remarks


def test_the_size_is_kept_and_said(tmp_path):
    image = torch.rand(1, 1, 12, 64, 64)
    molrecon.write_image(tmp_path / "noise.npy", image.to(torch.complex64))
    whole = report(tmp_path / "noise.npy", tmp_path / "whole.html")
    _, (data,) = read_page(whole.read_text("utf-8"))
    assert (data["bits"], len(data["names"])) == (16, 12)
    assert data["names"][3] == "slice 3"
    bits, kept = [], []
    for megabytes in (0.13, 0.09, 0.05):
        small = report(tmp_path / "noise.npy", tmp_path / "small.html", megabytes=megabytes)
        root, (data,) = read_page(small.read_text("utf-8"))
        pictures = sum(len(png) for png in data["panels"][0]["planes"])
        assert pictures <= 1e6 * megabytes
        bits.append(data["bits"])
        kept.append(len(data["names"]))
        assert re.search(rf"in {data['bits']} bits", root.all("main")[0].text)
        if kept[-1] < 12:
            step = -(-12 // kept[-1])
            assert f"one slice of {step}" in root.all("main")[0].text
            assert data["names"] == [f"slice {n}" for n in range(0, 12, step)]
    assert bits == sorted(bits, reverse=True)
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < 12
    with pytest.raises(InputError, match=r"more than 0\.001 MB"):
        report(tmp_path / "noise.npy", tmp_path / "small.html", megabytes=0.001)


def test_wrong_input(sense, truth, tmp_path):
    with pytest.raises(InputError, match=r"expected \.html"):
        report(sense, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="shown is empty"):
        report([], tmp_path / "report.html")
    with pytest.raises(InputError, match="type int"):
        report([3], tmp_path / "report.html")
    with pytest.raises(InputError, match="same shape"):
        report(sense, tmp_path / "report.html", reference=truth[..., :-2])
    with pytest.raises(InputError, match="no image to show"):
        section_of([Panel("a", None)])
    assert not list(tmp_path.iterdir())


def test_equal_titles_are_told_apart(sense):
    assert [one.title for one in section_of([sense, sense, sense]).panels] == [
        "sense", "sense (2)", "sense (3)",
    ]  # fmt: skip


def test_several_sections_have_viewers_of_their_own(sense, tmp_path):
    sections = tuple(section_of([sense], title=name) for name in ("first", "second"))
    path = write_report(Report("both", sections), tmp_path / "r.html")
    root, data = read_page(path.read_text("utf-8"))
    assert [one.attributes["data-section"] for one in root.all("div", class_="viewer")] == [
        "0",
        "1",
    ]
    assert [one["title"] for one in data] == ["first", "second"]


@pytest.mark.parametrize(
    ("shape", "letters", "names"),
    [
        ((1, 1, 4, 4), "yx", ("slice 0",)),
        ((3, 1, 4, 4), "yx", ("slice 0", "slice 1", "slice 2")),
        ((1, 1, 2, 4, 4), "tyx", ("frame 0", "frame 1")),
        ((2, 1, 2, 4, 4), "zyx", tuple(f"volume {i}, slice {z}" for i in (0, 1) for z in (0, 1))),
    ],
)
def test_names_of_planes(shape, letters, names):
    axes = molrecon.Axes(letters)
    assert Section("x", (Panel("a", torch.ones(shape)),), axes=axes).planes == names


def test_the_chart_shows_every_iteration():
    trace = Trace("slice 0", (1e-1, 1e-3, 1e-2), (float("inf"), 1e0, 1e-2))
    root = Reader(markup(chart(trace, "mol"))).root
    residual, bound = root.all("g", class_="line")
    heights = [float(one.attributes["cy"]) for one in residual.all("circle")]
    assert heights[0] < heights[2] < heights[1]
    # A logarithmic axis: equal ratios are equal distances.
    assert heights[1] - heights[2] == pytest.approx(heights[2] - heights[0], abs=0.2)
    assert len(bound.all("circle")) == 2
    rows = root.all("tbody")[0].all("tr")
    assert [one.all("th")[0].text for one in rows] == ["1", "2", "3"]
    assert rows[0].all("td")[1].text == "–"


def test_the_trace_of_a_solve_is_shown(scan):
    model = molrecon.load("brain2d-sn")
    found = molrecon.reconstruct(scan, model, tol=0.05, device="cpu")
    solution = found.solutions[0]
    trace = trace_of(solution, "slice 0")
    assert len(trace.residuals) == len(trace.bounds) == int(solution.iterations[0])
    assert float(solution.relative_residual[0]) in trace.residuals
    root, _ = read_page(page(Report("x", (section_of([found]),))))
    assert len(root.all("figure", class_="chart")) == 1
