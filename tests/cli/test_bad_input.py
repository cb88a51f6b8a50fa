"""Every kind of bad input to a reconstruction: one sentence, exit code 2, nothing written."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from molrecon.data.formats import read_scan

from .conftest import COILS, SHAPE

SENSE = ("--method", "sense")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "image.npy"


@pytest.mark.parametrize("name", ["none.npz", "none.cfl", "none.h5", "none.npy", "none"])
def test_missing_file(refused, tmp_path, out, name):
    refused("reconstruct", tmp_path / name, *SENSE, "-o", out, naming=["none"])
    refused("info", tmp_path / name, naming=["none"])
    refused("simulate", tmp_path / name, "-o", tmp_path / "u.npz", naming=["none"])
    refused("evaluate", tmp_path / name, tmp_path / name, naming=["none"])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_file(files, refused, tmp_path, out, share):
    content = files.under.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(content[: int(share * len(content))])
    refused("reconstruct", path, *SENSE, "-o", out, naming=["cut.npz"])
    refused("info", path, naming=["cut.npz"])


@pytest.mark.parametrize("name", ["notes.txt", "notes.npz", "notes.h5", "notes.cfl", "notes.npy"])
def test_foreign_file(refused, tmp_path, out, name):
    path = tmp_path / name
    path.write_text("Dear diary,\n")
    refused("reconstruct", path, *SENSE, "-o", out, naming=["notes"])
    refused("info", path, naming=["notes"])


def test_an_image_is_not_a_scan(files, refused, out):
    refused("reconstruct", files.image, *SENSE, "-o", out, naming=[files.image, "complex"])


def test_a_complex_image_is_no_scan(files, refused, run, tmp_path, out):
    np.save(tmp_path / "complex.npy", np.load(files.image) * np.exp(0.5j))
    image = tmp_path / "complex.npy"
    naming = ["looks like an image", "simulate a scan", "(--force)"]
    refused("reconstruct", image, *SENSE, "-o", out, naming=naming)
    assert run("reconstruct", image, *SENSE, "-o", out, "--force").exit_code == 0
    np.save(tmp_path / "coil.npy", np.load(files.full)[:1])
    result = run("reconstruct", tmp_path / "coil.npy", *SENSE, "-o", out)
    assert result.exit_code == 0
    assert "looks like an image" not in " ".join(result.stderr.split())


def test_a_reference_without_a_calibration_region(files, refused, run, tmp_path):
    common = ("simulate", files.full, "--calibration", 0, "-o", tmp_path / "u.npz")
    said = refused(
        *(*common, "--reference", tmp_path / "r.npy"), naming=["--reference", "--calibration is 0"]
    )
    assert "give the coil maps" not in said
    assert run(*common).exit_code == 0


def test_nan(files, refused, tmp_path, out):
    kspace = np.load(files.full)
    kspace[0, 3, 3] = np.nan
    np.save(tmp_path / "nan.npy", kspace)
    refused("reconstruct", tmp_path / "nan.npy", *SENSE, "-o", out, naming=["nan.npy", "NaN"])
    refused("info", tmp_path / "nan.npy", naming=["nan.npy", "NaN"])


def test_mask_of_another_shape(files, refused, tmp_path, out):
    np.save(tmp_path / "mask.npy", np.ones((SHAPE[0], SHAPE[1] + 1), bool))
    refused(
        "reconstruct",
        files.full,
        "--mask",
        tmp_path / "mask.npy",
        *SENSE,
        "-o",
        out,
        naming=["mask.npy", SHAPE[1], SHAPE[1] + 1],
    )


def test_no_calibration_region(files, refused, tmp_path, out):
    mask = np.ones(SHAPE, bool)
    mask[SHAPE[0] // 2] = False
    np.save(tmp_path / "mask.npy", mask)
    refused(
        "reconstruct",
        files.full,
        "--mask",
        tmp_path / "mask.npy",
        *SENSE,
        "-o",
        out,
        naming=["calibration region", "give the coil maps"],
    )


def test_maps_of_another_coil_count(files, refused, tmp_path, out):
    np.save(tmp_path / "maps.npy", np.ones((COILS + 1, *SHAPE), np.complex64))
    refused(
        "reconstruct",
        files.under,
        "--coil-maps",
        tmp_path / "maps.npy",
        *SENSE,
        "-o",
        out,
        naming=["maps.npy", COILS, COILS + 1],
    )


def test_unknown_model(files, refused, out):
    refused(
        "reconstruct", files.under, "--model", "heart9d", "-o", out, naming=["heart9d", "shipped"]
    )


@pytest.mark.parametrize("change", ["header", "weights", "settings", "foreign", "truncated"])
def test_weights_that_do_not_fit_their_header(files, refused, tmp_path, out, change):
    path = tmp_path / "changed.safetensors"
    content = files.model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["molrecon"])
    tensors = load_file(files.model)
    match change:
        case "header":
            header["config"]["network"]["features"] = 5
        case "weights":
            tensors.popitem()
        case "settings":
            header["config"]["weight"]["lam0"] = -1
        case "foreign":
            header = {"unrelated": True}
    save_file(tensors, path, metadata={"molrecon": json.dumps(header)})
    if change == "truncated":
        path.write_bytes(content[:-40])
    refused("reconstruct", files.under, "--model", path, "-o", out, naming=["changed.safetensors"])


@pytest.mark.parametrize("sigma", [0, -1, "nan", "inf"])
def test_sigma(files, refused, out, sigma):
    refused(
        "reconstruct",
        files.under,
        "--model",
        files.model,
        "--sigma",
        sigma,
        "-o",
        out,
        naming=["--sigma", sigma],
    )


@pytest.mark.parametrize("tol", [0, -1, "nan"])
def test_tolerance(files, refused, out, tol):
    refused(
        "reconstruct",
        files.under,
        "--model",
        files.model,
        "--tol",
        tol,
        "-o",
        out,
        naming=["--tol", tol],
    )


def test_a_stored_sigma_that_is_not_positive(files, refused, tmp_path, out):
    kspace = read_scan(files.under).kspace.numpy()
    np.savez(tmp_path / "scan.npz", kspace=kspace, sigma=np.array(-2.0))
    refused("reconstruct", tmp_path / "scan.npz", *SENSE, "-o", out, naming=["scan.npz", "sigma"])


@pytest.mark.parametrize("name", ["no/image.npy", "image.xyz", "image", "."])
def test_output_that_cannot_be_written(files, refused, tmp_path, name):
    # Refused before any work: the scan, which does not exist, is not even looked at.
    refused("reconstruct", tmp_path / "none.npz", *SENSE, "-o", tmp_path / name, naming=[name[-9:]])


@pytest.mark.parametrize("option", [("--processes", 2), ("--processes", 0), ("--retry",)])
def test_options_of_many_scans_are_refused_for_one(files, refused, out, option):
    refused("reconstruct", files.under, *SENSE, "-o", out, *option, naming=[option[0], "folder"])


def test_a_file_without_arrays(refused, tmp_path, out):
    with h5py.File(tmp_path / "bare.h5", "w"):
        pass
    said = refused("info", tmp_path / "bare.h5", naming=["bare.h5"])
    assert "only" not in said


def test_unknown_method_and_device(files, refused, out):
    refused(
        "reconstruct",
        files.under,
        "--method",
        "magic",
        "-o",
        out,
        naming=["magic", "mol", "sense", "zero-filled"],
    )
    refused(
        "reconstruct",
        files.under,
        *SENSE,
        "--device",
        "abacus",
        "-o",
        out,
        naming=["abacus", "cuda"],
    )
    refused(
        "reconstruct", files.under, *SENSE, "--device", "cuda:99", "-o", out, naming=["cuda:99"]
    )


def test_a_volume_for_a_model_of_slices(files, refused, tmp_path, out):
    kspace = np.random.default_rng(0).standard_normal((1, 2, 10, 12, 14)).astype(np.complex64)
    kspace[..., 0, 1, 2] = 0  # undersampled along every axis
    np.save(tmp_path / "volume.npy", kspace)
    refused(
        "reconstruct",
        tmp_path / "volume.npy",
        "--model",
        files.model,
        "-o",
        out,
        naming=["volume.npy", "3 spatial axes", "tiny.safetensors"],
    )


def test_an_existing_output_stays_as_it_was(files, refused, tmp_path, out):
    out.write_text("precious")
    refused("reconstruct", tmp_path / "none.npz", *SENSE, "-o", out)
    assert out.read_text() == "precious"


def test_the_input_is_never_replaced(files, refused, run, tmp_path):
    scan = tmp_path / "scan.npz"
    scan.write_bytes(files.under.read_bytes())
    linked = tmp_path / "linked.npz"
    linked.symlink_to(scan)
    for name in (scan, linked):
        refused("reconstruct", scan, *SENSE, "-o", name, naming=[name, "another name"])
    refused("reconstruct", f"{scan}::kspace", *SENSE, "-o", scan, naming=["another name"])
    refused("simulate", scan, "-o", scan, naming=["another name"])
    both = tmp_path / "both.npz"
    refused("simulate", files.full, "-o", both, "--reference", both, naming=["another name"])


def test_either_file_of_a_bart_pair_is_the_input(refused, tmp_path):
    np.zeros(16 * 16, np.complex64).tofile(tmp_path / "scan.cfl")
    (tmp_path / "scan.hdr").write_text("# Dimensions\n16 16 1 1\n")
    for name in ("scan", "scan.cfl", "scan.hdr"):
        out = tmp_path / "scan.cfl"
        refused("reconstruct", tmp_path / name, *SENSE, "-o", out, naming=["another name"])


def test_usage_errors_are_one_sentence_too(files, refused, out):
    refused("reconstruct", files.under, naming=["--output", "--help"])
    refused("reconstruct", naming=["SCAN", "reconstruct --help"])
    refused("reconstruct", files.under, "-o", out, "--sigma", "much", naming=["--sigma"])
    refused("reconstruct", files.under, "-o", out, "--colour", 1, naming=["--colour"])
    refused("nonsense", naming=["nonsense", "--help"])
    refused("--colour", naming=["--colour", "--help"])


def test_k_space_too_small_for_coil_maps(refused, tmp_path, out):
    np.save(tmp_path / "point.npy", np.ones((4, 1, 1), np.complex64))
    refused("reconstruct", tmp_path / "point.npy", *SENSE, "-o", out, naming=["1 × 1", "::axes="])


def test_a_mask_of_one_value_that_is_no_mask(files, refused, tmp_path, out):
    np.save(tmp_path / "half.npy", np.full(SHAPE, 0.5))
    mask = ("--mask", tmp_path / "half.npy")
    refused("reconstruct", files.under, *mask, *SENSE, "-o", out, naming=["half.npy", "0.5"])


def test_weights_that_are_not_finite(files, refused, tmp_path, out):
    path = tmp_path / "bad.safetensors"
    tensors = load_file(files.model)
    content = files.model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors["network.0.weight" if "network.0.weight" in tensors else min(tensors)][...] = np.nan
    save_file(tensors, path, metadata=metadata)
    refused("reconstruct", files.under, "--model", path, "-o", out, naming=[path.name, "NaN"])


def test_a_model_for_a_method_that_uses_none(files, refused, out):
    refused(
        *("reconstruct", files.under, *SENSE, "--model", files.model, "-o", out),
        naming=["--model", "sense"],
    )


def test_a_tolerance_that_rounding_cannot_meet(files, run, tmp_path, out):
    result = run("reconstruct", files.under, *SENSE, "--tol", 1e-12, "-o", out)
    assert result.exit_code == 3
    assert "stagnated" in result.stderr
    assert not out.exists()


def test_names_of_arrays_cannot_steer_the_terminal(tmp_path, run):
    name = "\x1b]0;owned\x07\x9b31m"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(2):
            file[f"{name}{number}"] = np.ones((4, 4), np.complex64)
    for arguments in (["info"], ["info", "--json"], ["reconstruct", "-o", str(tmp_path / "o.npy")]):
        command, *options = arguments
        done = run(command, str(tmp_path / "a.h5"), *options)
        shown = done.output + getattr(done, "stderr", "")
        assert "owned" in shown
        assert not any(letter in shown for letter in "\x1b\x07\x9b")
