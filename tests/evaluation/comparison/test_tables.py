"""Tables against the numbers they are made of."""

import csv
import math
import re
import statistics
from dataclasses import replace
from itertools import groupby

import pytest

from molrecon.evaluation.comparison.config import BootstrapConfig
from molrecon.evaluation.comparison.store import Record, slug
from molrecon.evaluation.comparison.summary import Moments, summarise
from molrecon.evaluation.comparison.tables import (
    Heading,
    columns,
    differences_csv,
    latex,
    markdown,
    results_csv,
)

HEADING = Heading("A & B_c", "What 100 % means", "molrecon", "A machine.", "2020-01-01")


def record(method: str, image: int, psnr: float, group: str = "g", **values) -> Record:
    scores = {name: {"psnr": psnr, "ssim": psnr / 50, "nmse": 1 / psnr} for name in CONVENTIONS}
    return Record(
        key=f"{method}{image}",
        image_set="set",
        image=f"image {image}",
        condition="4×",
        group=group,
        method=method,
        scores=scores,
        solve={"status": "converged", "iterations": image, "network_evaluations": 2 * image},
        seconds_per_slice=0.1 * image,
        peak_memory=10**6 * image,
        **values,
    )


CONVENTIONS = ("molrecon", "published")
RECORDS = [
    record(method, image, psnr + image, group=f"subject {image // 2}")
    for image in range(1, 7)
    for method, psnr in (("first", 30.0), ("second", 31.5))
]


def sections(records=RECORDS, **options):
    return summarise(
        records, ["first", "second"], "molrecon", BootstrapConfig(resamples=300, **options)
    )


def test_summary_numbers_follow_from_the_csv(settings, tmp_path, run):
    result = run(settings, tmp_path / "out")
    with (tmp_path / "out/table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.records)
    table = (tmp_path / "out/table.md").read_text()
    by_method = {
        name: list(group)
        for name, group in groupby(sorted(rows, key=lambda r: r["method"]), lambda r: r["method"])
    }
    for name, group in by_method.items():
        values = [float(row["psnr"]) for row in group]
        psnr = f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"
        similarity = [float(row["ssim"]) for row in group]
        ssim = f"{statistics.fmean(similarity):.4f} ± {statistics.stdev(similarity):.4f}"
        iterations = f"{statistics.fmean(float(row['iterations']) for row in group):.1f}"
        (line,) = re.findall(rf"^\| {name} \|.*$", table, re.MULTILINE)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:4] == [str(len(group)), psnr, ssim]
        assert cells[6] == iterations
        tex = psnr.replace("±", r"$\pm$")
        assert tex in (tmp_path / "out/table.tex").read_text()
    images = {row["image"] for row in rows}
    pairs = [
        {row["method"]: float(row["psnr"]) for row in rows if row["image"] == image}
        for image in images
    ]
    mean = statistics.fmean(pair["SENSE"] - pair["zero-filled"] for pair in pairs)
    with (tmp_path / "out/differences.csv").open(newline="") as file:
        difference = next(row for row in csv.DictReader(file) if row["metric"] == "psnr")
    assert float(difference["mean_difference"]) == pytest.approx(mean)
    assert float(difference["low"]) <= mean <= float(difference["high"])
    assert (difference["units"], difference["unit"]) == ("2", "group")
    assert difference["resamples"] == "200"
    assert f"{mean:+.2f} [" in table
    assert "200 resamples of the 2 scans or subjects" in table


def test_known_differences():
    (section,) = sections()
    psnr = section.differences[0]
    assert (psnr.metric, psnr.method, psnr.other) == ("psnr", "second", "first")
    assert psnr.interval.mean == pytest.approx(1.5)
    assert (psnr.interval.low, psnr.interval.high) == pytest.approx((1.5, 1.5))
    assert psnr.interval.units == 4
    assert section.rows[0].figures["psnr"].mean == pytest.approx(33.5)
    assert section.rows[0].figures["peak_memory"].mean == pytest.approx(3.5e6)


def test_only_common_images_are_paired():
    failed = [replace(RECORDS[0], failure="no luck", scores={}), *RECORDS[1:]]
    (section,) = sections(failed)
    assert section.rows[0].images == 5
    assert section.differences[0].interval.images == 5
    assert section.differences[0].interval.mean == pytest.approx(1.5)
    everything = [replace(one, failure="no luck", scores={}) for one in RECORDS]
    (section,) = sections(everything)
    assert section.differences == ()
    assert "| first | 0 † | – |" in markdown(HEADING, [section], everything)
    assert "first on set: image 1 and 5 other images: no luck" in markdown(
        HEADING, [section], everything
    )


def test_what_did_not_converge_is_said():
    records = [replace(RECORDS[0], solve={"status": "iteration limit"}), *RECORDS[1:]]
    (section,) = sections(records)
    assert section.rows[0].images == 6
    assert "first did not reach its tolerance on 1 images" in markdown(HEADING, [section], records)


def test_the_baseline_chooses_the_pairs():
    records = [*RECORDS, *(record("third", image, 40.0) for image in range(1, 7))]
    parts = summarise(
        records, ["first", "second", "third"], "molrecon", BootstrapConfig(resamples=100)
    )
    every = markdown(HEADING, parts, records)
    chosen = markdown(replace(HEADING, baseline="third"), parts, records)
    assert "second − first" in every
    assert "second − first" not in chosen
    assert "third − second" in chosen
    assert differences_csv(parts).count("second,first") == 3


def test_conditions_stand_side_by_side():
    """With the smallest difference to the baseline over all images of the set."""
    harder = [
        replace(
            one,
            condition="8×",
            image=f"{one.image}, 8×",
            scores={
                name: {**of, "psnr": of["psnr"] - (12 if one.method == "second" else 10)}
                for name, of in one.scores.items()
            },
        )
        for one in RECORDS
    ]
    both = [*RECORDS, *harder]
    text = markdown(replace(HEADING, baseline="first"), sections(both), both)
    lines = text.splitlines()
    start = lines.index("## set: PSNR / dB under all conditions") + 2
    assert lines[start] == "| Method | 4× | 8× | Smallest difference to first |"
    assert lines[start + 2 : start + 4] == [
        "| first | 33.50 | 23.50 | – |",
        "| second | 35.00 | 23.00 | -0.50 |",
    ]
    assert "Smallest" not in markdown(HEADING, sections(), RECORDS)


def test_range_and_averaging_are_stated():
    for convention, words in (("molrecon", "maximum of the reference"), ("published", "range 2")):
        heading = replace(HEADING, convention=convention)
        for text in (
            markdown(heading, sections(), RECORDS),
            latex(heading, sections(), RECORDS),
        ):
            assert words in text
            assert "standard deviation over images" in text
        assert f",{convention}," in results_csv(RECORDS, convention)


def test_latex_is_escaped_and_balanced():
    records = [replace(one, method=one.method + "_{x}&%") for one in RECORDS]
    parts = summarise(
        records, ["first_{x}&%", "second_{x}&%"], "molrecon", BootstrapConfig(resamples=100)
    )
    text = latex(HEADING, parts, records)
    assert r"first\_\{x\}\&\%" in text
    assert r"A \& B\_c" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    between = len(columns()) - 1
    lines = body.strip().splitlines()
    assert all(len(re.findall(r"(?<!\\)&", line)) == between for line in lines)
    assert text.isascii()


def test_moments():
    assert Moments.of([1.0, 3.0, None]) == Moments(2.0, math.sqrt(2))
    assert math.isnan(Moments.of([1.0]).deviation)
    assert math.isnan(Moments.of([]).mean)
    assert Moments.of([1.0, math.inf]).mean == math.inf


def test_file_names():
    assert slug("4×, variable-density: σ = 1 %") == "4-variable-density-σ-1"
    assert slug("../../etc") == "etc"
    assert slug("///") == "unnamed"
    assert len(f"{slug('σ' * 300)}-{'0' * 16}.json".encode()) <= 255
