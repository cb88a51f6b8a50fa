"""``molrecon probe``."""

import numpy as np
import pytest

import molrecon
from molrecon.data.formats import read_scan

from .conftest import SHAPE
from .test_reconstruct import operator


def test_one_command(files, run_json, tmp_path):
    out, share = tmp_path / "kept.npy", tmp_path / "share.npz"
    facts = run_json(
        "probe", files.under, "--model", files.model, "--against", "sense", "--size", "1.5,2",
        "--contrast", 0.1, "--map", out, "--share", share, "--sigma", 0.02, "--shifts", 6,
    )  # fmt: skip
    assert [one["name"] for one in facts["methods"]] == ["tiny", "sense"]
    for one in facts["methods"]:
        assert [probe["size"] for probe in one["probes"]] == [1.5, 2]
        for probe in one["probes"]:
            assert probe["contrast"] == 0.1
            assert probe["solves"] == 6
            assert 0 < probe["recovery_least"] <= probe["recovery_low"] <= probe["recovery"] < 1.1
        assert 0 < one["share"]["pixels"] <= 1
    maps = np.load(out)
    assert maps.shape == (4, 1, *SHAPE)
    with np.load(share) as archive:
        shares = archive["image"].real
    assert shares.shape == (4, 1, *SHAPE)
    assert 0 <= shares.min() < shares.max() <= 1

    scan = read_scan(files.under)
    expected = molrecon.probe_lesions(
        molrecon.load(files.model), scan.kspace, operator(scan), size=1.5, contrast=0.1,
        sigma=0.02, shifts=6,
    )  # fmt: skip
    kept = expected.recovery.nan_to_num(0)[0, 0].numpy()
    assert np.abs(maps[0, 0].real - kept).max() < 0.02


def test_the_table(files, run):
    result = run("probe", files.under, "--model", "sense", "--size", 1.5, "--contrast", 0.05)
    assert result.exit_code == 0
    assert "sense, 1.5 pixels, 0.05" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--size", "big"), "--size"),
        (("--contrast", "-1"), "contrast"),
        (("--map", "kept.xyz"), "kept.xyz"),
        (("--size", "40"), "size"),
        (("--shifts", "0"), "shifts"),
        (("--size", "0"), "size"),
        (("--size", "nan"), "size"),
        (("--contrast", "inf"), "contrast"),
        (("--sigma", "0"), "--sigma"),
        (("--slice", "7"), "--slice is 7"),
        (("--seed", "-1"), "--seed is -1"),
        (("--max-memory", "0"), "--max-memory is 0"),
        (("--share", "share.xyz"), "share.xyz"),
        (("--against", "sense"), "sense twice"),
    ],
)
def test_refuses_what_cannot_be(options, word, files, refused):
    refused("probe", files.under, "--model", "sense", *options, naming=[word])


def test_refuses_a_scan_without_tissue_or_calibration(files, refused, tmp_path):
    empty = tmp_path / "empty.npy"
    np.save(empty, np.zeros_like(np.load(files.full)))
    refused("probe", empty, "--model", "sense", naming=["empty.npy"])
    refused("probe", tmp_path / "none.npz", naming=["none.npz"])
    refused("probe", files.under, "--model", "nowhere", naming=["nowhere"])
    refused("probe", files.under, "--model", "modl", naming=["modl", "needs a model"])
