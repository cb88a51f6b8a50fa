"""``molrecon figure``."""

import numpy as np
import pytest
from PIL import Image


def test_a_figure(files, run_json, run, tmp_path):
    image, out = tmp_path / "image.npy", tmp_path / "figure.png"
    np.save(image, 0.9 * np.load(files.reference))
    facts = run_json("figure", image, "--reference", files.reference, "--titles", "full,mine",
                     "--rows", "image,error", "--zoom", "0,20,4,24", "--window", "0,1",
                     "--width", 85, "--dpi", 100, "-o", out)  # fmt: skip
    assert facts["figure"] == str(out)
    with Image.open(out) as picture:
        assert picture.width == pytest.approx(85 / 25.4 * 100, abs=1)
    assert str(out) in run("figure", image, "--dpi", 50, "-o", out).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--zoom", "1,2,3"), ("--zoom", "4 whole numbers")),
        (("--zoom", "0,1.5,0,4"), ("--zoom", "4 whole numbers")),
        (("--window", "low,high"), ("--window",)),
        (("--rows", "error"), ("'error' without a reference",)),
        (("--slice", "7"), ("slice is 7",)),
    ],
)
def test_refusals(files, refused, tmp_path, options, words):
    refused("figure", files.reference, "-o", tmp_path / "f.pdf", *options, naming=words)


def test_an_input_is_not_overwritten(files, refused):
    refused("figure", files.reference, "-o", files.reference, naming=["expected .png"])
