"""``molrecon adapt``."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import molrecon
from molrecon.data.coil_maps import estimate_coil_maps
from molrecon.evaluation.certificate import read_certificate

from ..support import strict_model


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A certified model of few weights."""
    return strict_model(tmp_path_factory.mktemp("strict") / "strict.safetensors")


def test_an_adapted_model_reconstructs_at_once_with_its_own_certificate(
    files, strict, run_json, tmp_path
):
    mine = tmp_path / "mine.safetensors"
    facts = run_json("adapt", files.under, "--model", strict, "--steps", 3, "-o", mine)
    assert facts["output"] == str(mine)
    assert facts["certified"] is True
    assert facts["steps"] == 3
    stored = read_certificate(mine).certificate
    assert stored.certified
    assert stored.bound == pytest.approx(molrecon.certified_bound(molrecon.load(mine).network))
    assert facts["certificate"]["sha256"] == stored.sha256
    image = run_json("reconstruct", files.under, "--model", mine, "-o", tmp_path / "image.npy")
    assert image["model"] == str(mine)
    assert image["status"] == "converged"


def test_parts_from_files_of_their_own_serve_as_those_of_the_scan(files, strict, run, tmp_path):
    """Mask and maps given beside k-space alone adapt to the same weights as a scan with both."""
    whole = molrecon.read_scan(files.under)
    whole = replace(whole, coil_maps=estimate_coil_maps(whole.kspace, whole.mask), calibration=None)
    molrecon.write_scan(tmp_path / "whole.npz", whole)
    for name, array in {
        "kspace": whole.kspace[0],
        "mask": whole.mask[0, 0],
        "maps": whole.coil_maps[0],
    }.items():
        np.save(tmp_path / f"{name}.npy", array.numpy())
    parts = ("--mask", tmp_path / "mask.npy", "--coil-maps", tmp_path / "maps.npy")
    common = ("--model", strict, "--steps", 2, "--sigma", 0.01, "-o")
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    assert run("adapt", tmp_path / "whole.npz", *common, one).exit_code == 0
    assert run("adapt", tmp_path / "kspace.npy", *parts, *common, other).exit_code == 0
    found, same = (molrecon.load(path).state_dict() for path in (one, other))
    assert all(torch.equal(found[name], same[name]) for name in found)


def test_calibration_data_serve_where_the_scan_has_no_region(files, strict, refused, run, tmp_path):
    kspace = np.load(files.full)
    np.save(tmp_path / "calibration.npy", kspace[:, 16:32, 12:28])
    mask = np.random.default_rng(0).random(kspace.shape[1:]) < 0.5
    mask[::2, ::2] = False
    np.save(tmp_path / "under.npy", kspace * mask)
    mine = tmp_path / "mine.safetensors"
    common = ("adapt", tmp_path / "under.npy", "--model", strict, "--steps", 1, "-o", mine)
    refused(*common, naming=("calibration",))
    assert run(*common, "--calibration", tmp_path / "calibration.npy").exit_code == 0
    assert molrecon.load(mine).certified


def test_the_time_limit_leaves_the_start_and_says_so(files, strict, run, tmp_path):
    mine = tmp_path / "mine.safetensors"
    result = run("adapt", files.under, "--model", strict, "--time-limit", 0.001, "-o", mine)
    assert result.exit_code == 0
    assert "the time limit was reached" in result.stdout
    assert "was better than the start" in result.stderr
    one, other = (molrecon.load(path).state_dict() for path in (strict, mine))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_interrupt_writes_the_best_so_far(files, strict, run, tmp_path, monkeypatch):
    from molrecon.training.objective import Objective

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "forward", interrupted)
    mine = tmp_path / "mine.safetensors"
    result = run("adapt", files.under, "--model", strict, "-o", mine)
    assert result.exit_code == 130
    assert str(mine) in result.stderr.replace("\n", "")
    assert molrecon.load(mine).certified


def test_wrong_input_is_refused(files, strict, refused, tmp_path):
    mine = tmp_path / "mine.safetensors"
    model = ("--model", strict)
    refused("adapt", files.under, *model, "-o", tmp_path / "mine.pt", naming=("safetensors",))
    refused("adapt", files.under, *model, "-o", strict, naming=(strict,))
    long = tmp_path / f"{'a' * 243}.safetensors"  # its certificate's name would be too long
    refused("adapt", files.under, *model, "-o", long, naming=("too long",))
    refused("adapt", tmp_path / "none.h5", *model, "-o", mine, naming=("none.h5",))
    refused("adapt", files.full, *model, "-o", mine, naming=("too few",))
    refused("adapt", files.under, "--model", "none", "-o", mine, naming=("none",))
    refused("adapt", files.under, *model, "--steps", 0, "-o", mine, naming=("--steps",))
    both = ("--coil-maps", files.full, "--calibration", files.full)
    refused("adapt", files.under, *model, *both, "-o", mine, naming=("leave one out",))
    mask = tmp_path / "mask.npy"
    np.save(mask, np.ones((3, 3), dtype=bool))
    refused("adapt", files.under, *model, "--mask", mask, "-o", mine, naming=(mask,))
    assert not mine.exists()
