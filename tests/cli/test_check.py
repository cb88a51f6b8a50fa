"""``molrecon check``."""

import json

import numpy as np
import pytest


def test_a_right_scan(files, run, run_json):
    assert run("check", files.under).exit_code == 0
    facts = run_json("check", files.under)
    assert facts["summary"].startswith("no contradiction found")
    assert all(one["severity"] == "note" for one in facts["findings"])


def test_findings_name_the_option_that_settles_them(files, run, tmp_path):
    kspace = np.load(files.full)
    np.save(tmp_path / "corner.npy", np.fft.ifftshift(kspace, axes=(1, 2)))
    found = run("check", tmp_path / "corner.npy")
    assert found.exit_code == 2
    assert "(--centre)" in " ".join(found.stdout.split())
    for place in ("corner", "auto", "0,0"):
        assert run("check", tmp_path / "corner.npy", "--centre", place).exit_code == 0


def test_info_check_and_reconstruct_agree(files, run, refused, tmp_path):
    kspace = np.load(files.full)
    last = np.moveaxis(kspace, 0, -1)
    np.save(tmp_path / "last.npy", last)
    kspace[0, 5, 6] = 20 * np.abs(kspace).max()
    np.save(tmp_path / "spike.npy", kspace)
    out = ("--method", "sense", "-o", tmp_path / "image.npy")
    for name, option in (("last.npy::axes=y,x,coil", ()), ("spike.npy", ("--despike",))):
        path = tmp_path / name
        wrong = str(path).partition("::")[0]
        assert run("check", wrong).exit_code == 2
        told = json.loads(run("info", wrong, "--json").stdout)["check"]
        assert [one["severity"] for one in told][:1] == ["refused"]
        assert "settle what is refused" in " ".join(run("info", wrong).stdout.split())
        refused("reconstruct", wrong, *out, naming=[told[0]["seen"][:30]])
        assert run("check", path, *option).exit_code == 0
        result = run("reconstruct", path, *option, *out)
        assert result.exit_code == 0
        assert "no contradiction found" in " ".join(result.stdout.split())
        (tmp_path / "image.npy").unlink()


def test_a_forced_result_says_what_contradicts_it(files, run_json, tmp_path):
    scan = np.load(files.under)
    whole = dict(scan) | {"mask": np.ones(scan["kspace"].shape[-2:], bool)}
    np.savez(tmp_path / "ones.npz", **whole)
    out = ("--method", "sense", "--force", "-o", tmp_path / "image.npy")
    facts = run_json("reconstruct", tmp_path / "ones.npz", *out)
    assert facts["certified"] is False
    assert "contradict (mask)" in facts["rests_on"]
    assert facts["check"][0]["severity"] == "refused"


@pytest.mark.parametrize("place", ["middle", "1", "1,2,3", "-1,0"])
def test_no_place_of_zero_frequency(files, refused, place):
    refused("check", files.under, "--centre", place, naming=["centre"])
