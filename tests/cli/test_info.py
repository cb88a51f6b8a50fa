"""``molrecon info``."""

import numpy as np
import pytest
import torch

from molrecon.data.formats import write_image
from molrecon.data.geometry import Geometry

from .conftest import COILS, SHAPE, SIGMA


def test_a_scan(files, run_json):
    facts = run_json("info", files.under)
    assert facts["kind"] == "scan"
    assert facts["coils"] == COILS
    assert facts["shape"] == list(SHAPE)
    assert facts["spatial_axes"] == 2
    assert facts["acceleration"] == pytest.approx(2)
    assert facts["calibration"][0] >= 16
    assert facts["sigma"] == pytest.approx(SIGMA, rel=0.4)
    assert facts["missing"] == []


def test_a_full_scan_is_fully_sampled(files, run_json):
    facts = run_json("info", files.full)
    assert facts["sampled"] == 1
    assert facts["calibration"] == list(SHAPE)


def test_what_is_missing_is_said(files, tmp_path, run_json, run):
    kspace = np.load(files.full)
    kspace[:, SHAPE[0] // 2] = 0
    np.save(tmp_path / "holes.npy", kspace)
    facts = run_json("info", tmp_path / "holes.npy")
    assert facts["calibration"] is None
    assert "--coil-maps" in facts["missing"][0]
    assert "--coil-maps" in run("info", tmp_path / "holes.npy").stdout


def test_an_image(tmp_path, run_json, run):
    path = tmp_path / "a.nii.gz"
    write_image(path, torch.ones(1, 1, 4, 6, 5), geometry=Geometry.of_spacing((3.0, 2.0, 1.0)))
    facts = run_json("info", path)
    assert facts["kind"] == "image"
    assert facts["shape"] == [4, 6, 5]
    assert facts["spacing"] == [3.0, 2.0, 1.0]
    text = run("info", path).stdout
    assert "4 × 6 × 5" in text
    (missing,) = facts["missing"]
    assert "'molrecon simulate'" in missing
    assert missing.count(":") == 1
    assert ";" not in missing


def test_the_table_names_the_same_facts(files, run):
    text = run("info", files.under).stdout
    for part in (f"{SHAPE[0]} × {SHAPE[1]}", "50.0% of k-space", "nothing is missing"):
        assert part in text


def test_several_arrays_are_listed(tmp_path, run_json, run, refused, files):
    path = tmp_path / "two.npz"
    np.savez(path, T1=np.ones((8, 8)), T2=np.ones((8, 8)))
    facts = run_json("info", path)
    assert set(facts["arrays"]) == {"T1", "T2"}
    assert "::T1" in facts["missing"][0]
    assert "T2 (float64 (8, 8))" in " ".join(run("info", path).stdout.split())
    assert run_json("info", f"{path}::T2")["kind"] == "image"
    refused("simulate", path, "-o", tmp_path / "scan.npz", naming=["::T1"])


def test_frames_calibrate_together(tmp_path, run, run_json):
    """Each frame has every other line, and two a full centre between them."""
    generator = torch.Generator().manual_seed(0)
    kspace = SIGMA * torch.randn(2, 4, *SHAPE, dtype=torch.complex64, generator=generator)
    for frame in range(4):
        kspace[:, frame, frame % 2 :: 2] = 0
    np.save(tmp_path / "cine.npy", kspace.numpy())
    path = f"{tmp_path / 'cine.npy'}::frames"
    facts = run_json("info", path)
    assert facts["axes"] == "tyx"
    assert facts["shape"] == [4, *SHAPE]
    assert facts["calibration"] == list(SHAPE)
    assert facts["acceleration"] == pytest.approx(2)
    assert facts["sigma"] == pytest.approx(SIGMA, rel=0.1)
    assert "(t, y, x)" in " ".join(run("info", path).stdout.split())


def test_what_is_part_of_a_scan_is_called_what_the_data_check_calls_it(tmp_path, run):
    maps = np.exp(1j * np.arange(8 * 32 * 32).reshape(8, 32, 32) ** 0.5).astype(np.complex64)
    mask = np.arange(32) % 2 == 0
    for name, array, option in (("maps", maps, "--coil-maps"), ("mask", mask, "--mask")):
        np.save(tmp_path / f"{name}.npy", array)
        said = " ".join(run("info", tmp_path / f"{name}.npy").stdout.split())
        assert f"Holds {'coil maps' if name == 'maps' else name}, in" in said
        assert f"with {option}" in said
        assert run("check", tmp_path / f"{name}.npy").exit_code == 2
