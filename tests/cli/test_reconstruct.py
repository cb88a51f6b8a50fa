"""``molrecon reconstruct``."""

import hashlib
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

import molrecon
from molrecon.data.formats import read_image, read_scan
from molrecon.data.scan import Scan
from molrecon.errors import ConvergenceError, InputError
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.reconstructors.methods import METHODS

from .conftest import COILS, SHAPE, tiny_model

KEYS = [
    "method",
    "model",
    "status",
    "iterations",
    "network_evaluations",
    "normal_evaluations",
    "relative_residual",
    "error_bound",
    "certified",
    "lam",
    "sigma",
    "seconds",
]


def test_mol(files, run, run_json, tmp_path):
    out = tmp_path / "image.npy"
    facts = run_json("reconstruct", files.under, "--model", files.model, "-o", out)
    assert [key for key in KEYS if key not in facts] == []
    assert facts["method"] == "mol"
    assert facts["model"] == str(files.model)
    assert facts["status"] == "converged"
    assert 0 < facts["error_bound"] <= 1e-3
    assert facts["network_evaluations"] >= 1
    assert facts["certified"] is False
    assert facts["sigma"] > 0
    assert facts["lam"] > 0
    assert facts["seconds"] > 0
    assert facts["version"] == molrecon.__version__
    assert facts["weights_sha256"] == hashlib.sha256(files.model.read_bytes()).hexdigest()
    assert np.load(out).shape == SHAPE
    assert np.load(out).dtype == np.complex64
    # What made it stands beside it.
    made = run_json("info", out)["made_by"]
    assert made["scan"] == str(files.under)
    assert made["settings"]["weights_sha256"] == facts["weights_sha256"]
    assert made["facts"]["error_bound"] == facts["error_bound"]
    assert "weights sha256" in " ".join(run("info", out).stdout.split())


def operator(scan: Scan) -> CartesianMRI:
    mask = scan.mask
    return CartesianMRI(molrecon.estimate_coil_maps(scan.kspace, mask), mask)


def test_it_is_the_library_that_computes(files, run_json, tmp_path):
    out = tmp_path / "image.npy"
    run_json("reconstruct", files.under, "--model", files.model, "--sigma", 0.02, "-o", out)
    scan = read_scan(files.under)
    with torch.no_grad():
        model = molrecon.load(files.model)
        expected = model(scan.kspace, operator(scan), sigma=0.02, tol=1e-3).value
    assert np.allclose(np.load(out), expected[0, 0].numpy(), atol=1e-5)


def test_the_strength_is_chosen_as_the_library_does(files, run_json, tmp_path):
    out = tmp_path / "image.npy"
    common = ("reconstruct", files.under, "--model", files.model, "--sigma", 0.02, "-o", out)
    facts = run_json(*common, "--strength", "auto")
    image = np.load(out)
    found = molrecon.reconstruct(
        read_scan(files.under), model=str(files.model), sigma=0.02, strength="auto", device="cpu"
    )
    assert np.array_equal(image, found.image[0, 0].numpy())
    expected = found.tunings[0].facts()
    for name in ("strength", "tried", "residuals", "bounds"):
        assert facts["tuning"][name] == pytest.approx(expected[name], rel=1e-12)
    assert len(facts["tuning"]["tried"]) >= 3
    run_json(*common, "--strength", facts["tuning"]["strength"])
    assert np.linalg.norm(np.load(out) - image) <= 2e-3 * np.linalg.norm(image)
    assert run_json(*common)["tuning"] is None


def test_the_tolerance_is_the_bound(files, run_json, tmp_path):
    out = tmp_path / "image.npy"
    loose, tight = (
        run_json("reconstruct", files.under, "--model", files.model, "--tol", tol, "-o", out)
        for tol in (3e-2, 1e-4)
    )
    assert tight["error_bound"] <= 1e-4 < loose["error_bound"] <= 3e-2
    assert tight["iterations"] > loose["iterations"]


def test_sense_and_zero_filled(files, run_json, tmp_path):
    out = tmp_path / "image.npy"
    scan = read_scan(files.under)
    A = operator(scan)
    facts = run_json("reconstruct", files.under, "--method", "sense", "-o", out)
    assert facts["certified"] is True
    assert facts["error_bound"] <= 1e-3
    assert facts["model"] is None
    expected = molrecon.SENSE()(scan.kspace, A).value[0, 0].numpy()
    assert np.linalg.norm(np.load(out) - expected) <= 1e-3 * np.linalg.norm(expected)
    facts = run_json("reconstruct", files.under, "--method", "zero-filled", "-o", out)
    assert facts["error_bound"] is None
    assert facts["network_evaluations"] == 0
    assert np.allclose(np.load(out), A.H(scan.kspace)[0, 0].numpy(), atol=1e-6)


def test_given_maps_and_mask_are_used(files, run_json, tmp_path):
    scan = read_scan(files.under)
    mask = scan.mask.numpy()
    maps = molrecon.estimate_coil_maps(scan.kspace, scan.mask).numpy()
    np.save(tmp_path / "kspace.npy", np.load(files.full))
    np.save(tmp_path / "mask.npy", mask[0, 0])
    np.savez(tmp_path / "maps.npz", coil_maps=maps)
    common = ("--method", "sense", "-o")
    run_json("reconstruct", files.under, *common, tmp_path / "a.npy")
    facts = run_json(
        "reconstruct",
        tmp_path / "kspace.npy",
        "--mask",
        tmp_path / "mask.npy",
        "--coil-maps",
        tmp_path / "maps.npz",
        *common,
        tmp_path / "b.npy",
    )
    assert "maps.npz" in facts["coil_maps"]
    assert np.allclose(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"), atol=1e-6)


def test_slices_are_reconstructed_one_by_one(files, run_json, tmp_path):
    under = read_scan(files.under)
    np.savez(
        tmp_path / "two.npz",
        kspace=torch.cat([under.kspace, 3 * under.kspace]).numpy(),
        mask=under.mask.numpy(),
    )
    out = tmp_path / "image.npy"
    facts = run_json("reconstruct", tmp_path / "two.npz", "--model", files.model, "-o", out)
    assert len(facts["slices"]) == 2
    assert facts["error_bound"] == max(item["error_bound"] for item in facts["slices"])
    assert facts["slices"][1]["sigma"] == pytest.approx(3 * facts["slices"][0]["sigma"], rel=1e-3)
    images = np.load(out)
    assert images.shape == (2, 1, *SHAPE)
    assert np.allclose(images[1], 3 * images[0], atol=5e-3 * np.abs(images).max())


def test_a_single_coil_needs_no_calibration_region(files, run_json, tmp_path):
    kspace = np.load(files.full)[0]
    kspace[::2] = 0
    np.save(tmp_path / "one.npy", kspace)
    facts = run_json(
        "reconstruct", tmp_path / "one.npy", "--method", "sense", "-o", tmp_path / "image.npy"
    )
    assert "one coil" in facts["coil_maps"]


@pytest.mark.parametrize("extension", [".npz", ".h5", ".cfl", ".nii.gz", ".png"])
def test_output_formats(files, run_json, tmp_path, extension):
    out = tmp_path / f"image{extension}"
    run_json("reconstruct", files.under, "--method", "zero-filled", "-o", out)
    assert read_image(out).tensor().shape == (1, 1, *SHAPE)


def test_the_table_says_how_far_to_trust_it(files, run, tmp_path):
    result = run("reconstruct", files.under, "--model", files.model, "-o", tmp_path / "i.npy")
    text = " ".join((result.stdout + result.stderr).split())
    assert "at most" in text
    assert "conditional" in text
    assert "not" in result.stderr
    assert f"{COILS} coils" in text


def test_a_solve_that_fails_writes_nothing(files, run, tmp_path):
    model = tiny_model(tmp_path / "stiff.safetensors", forward={"max_iterations": 1})
    out = tmp_path / "image.npy"
    result = run("reconstruct", files.under, "--model", model, "--tol", 1e-6, "-o", out)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "iteration limit" in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()


RIVALS = {
    "modl": {"network": {"kind": "cnn", "features": 4, "layers": 2, "residual": True}},
    "admm-net": {"network": {"kind": "cnn", "features": 4, "layers": 2, "residual": True}},
    "de-grad": {"network": {"kind": "kernel-normalised", "features": 4, "layers": 2}},
    "mnm-mol": {"network": {"kind": "cnn", "features": 4, "layers": 2}},
    "unet": {"network": {"kind": "unet", "features": 2}},
}


@pytest.mark.parametrize("method", RIVALS)
def test_other_learned_methods(method, files, run_json, run, refused, tmp_path):
    config = molrecon.ModelConfig.model_validate({"method": method, **RIVALS[method]})
    path = molrecon.save(config.build(), tmp_path / "rival.safetensors", config)
    common = ("reconstruct", files.under, "--model", path, "-o", tmp_path / "image.npy")
    facts = run_json(*common, "--method", method)
    assert (facts["method"], facts["status"]) == (method, "converged")
    assert np.isfinite(np.load(tmp_path / "image.npy")).all()
    bounded = method == "mnm-mol"
    assert (facts["error_bound"] is not None) is bounded
    text = run(*common, "--method", method).stdout
    assert ("not known: the method bounds no distance" in text) is not bounded
    assert run_json(*common)["method"] == method
    refused(
        *common, "--method", "mol", naming=[f"trained for the method {method}", "mol is wanted"]
    )


def test_maps_beside_what_they_are_estimated_from_are_refused(files, refused, tmp_path):
    common = ("reconstruct", files.under, "-o", tmp_path / "image.npy", "--method", "sense")
    both = ("--coil-maps", files.full, "--calibration", files.full)
    refused(*common, *both, naming=["--coil-maps is given beside calibration", "leave one out"])


@pytest.mark.parametrize("method", ["tikhonov", "l1-wavelet", "tv"])
def test_methods_without_a_model(method, files, run_json, tmp_path):
    out = tmp_path / "image.npy"
    facts = run_json("reconstruct", files.under, "--method", method, "-o", out)
    assert (facts["method"], facts["model"], facts["status"]) == (method, None, "converged")
    assert facts["sigma"] > 0
    assert facts["lam"] > 0
    assert np.load(out).shape == SHAPE


def test_the_help_names_every_method(run):
    text = run("reconstruct", "--help").stdout
    assert [name for name in METHODS if name not in text] == []


def test_steps_of_the_preparation_are_options_and_listed(files, run_json, run, tmp_path):
    out = tmp_path / "image.npy"
    scan = read_scan(files.under)
    noise = 0.02 * torch.randn(COILS, 400, dtype=torch.complex64)
    molrecon.write_scan(tmp_path / "scan.h5", replace(scan, noise=noise))
    arguments = ("reconstruct", tmp_path / "scan.h5", "--method", "sense", "-o", out)
    steps = {one["name"]: one for one in run_json(*arguments, "--coils", 2)["steps"]}
    assert steps["prewhitening"]["taken"]
    assert "made 2 virtual ones" in steps["coil compression"]["text"]
    off = ("--no-whiten", "--keep-readout", "--coils", "auto", "--compression", "svd")
    steps = {one["name"]: one for one in run_json(*arguments, *off)["steps"]}
    assert [steps[name]["text"] for name in ("prewhitening", "readout")] == ["turned off"] * 2
    refused = run(*arguments, "--coils", "many")
    assert refused.exit_code == 2
    assert "expected a whole number from 1, or 'auto'" in refused.stderr


def test_the_proved_gain_is_what_was_asked(files, run_json, run, refused, tmp_path):
    out = tmp_path / "image.npy"
    asked = ("reconstruct", files.under, "--model", "brain2d-sn", "-o", out, "--sigma", 0.02)
    own, facts = run_json(*asked), run_json(*asked, "--robust", 3)
    assert own["robust"] is None
    assert own["robustness"] > 3 == facts["robust"]
    assert 2.9 < facts["robustness"] <= 3
    assert facts["certified"] is True
    assert facts["monotonicity"] > own["monotonicity"]
    text = run(*asked, "--robust", 3).stdout
    assert "at most 3 was asked for" in " ".join(text.split())
    assert "nothing was changed" not in " ".join(text.split())
    unchanged = run(*asked, "--robust", 1e9).stdout
    assert "which its own is: nothing was changed" in " ".join(unchanged.split())
    with pytest.raises(InputError, match="robust is"):
        molrecon.reconstruct(files.under, robust=0.5)
    out = tmp_path / "other.npy"
    asked = ("reconstruct", files.under, "-o", out)
    refused(*asked, "--robust", 1, naming=["--robust is 1, expected more than 1"])
    refused(*asked, "--robust", 3, "--method", "tikhonov", naming=["--robust is 3", "tikhonov"])


def test_noise_map(files, run_json, run, tmp_path):
    out, noise = tmp_path / "image.npy", tmp_path / "noise.npy"
    asked = ("reconstruct", files.under, "--model", files.model, "-o", out, "--sigma", 0.02)
    facts = run_json(*asked, "--noise-map", noise, "--draws", 8)
    scan = read_scan(files.under)
    A = operator(scan)
    expected = molrecon.noise_map(
        molrecon.load(files.model), scan.kspace, A, sigma=0.02, count=8, batch=1
    )
    found = np.load(noise)
    assert found.dtype == np.float32
    assert found.shape == SHAPE
    assert np.abs(found - expected.std[0, 0].numpy()).max() < 0.1 * found.max()
    assert facts["noise_map"]["draws"] == 8
    assert facts["noise_map"]["relative_standard_error"] == pytest.approx(14**-0.5)
    assert facts["noise_map"]["median_snr"] > 1
    text = run(*asked, "--noise-map", noise, "--draws", 2).stdout
    assert "from 2 replicas" in " ".join(text.split())


def test_a_map_that_cannot_be_made_leaves_the_image(files, run, tmp_path):
    pytest.importorskip("sigpy")
    out, noise = (tmp_path / f"{name}.npy" for name in ("image", "noise"))
    asked = ("reconstruct", files.under, "--method", "tv", "-o", out, "--sigma", 0.02)
    assert run(*asked).exit_code == 0
    expected = np.load(out)
    out.unlink()
    failing = ConvergenceError("The change cannot be told.")
    with patch("molrecon.pipeline.pixel_maps.noise_map", side_effect=failing):
        result = run(*asked, "--noise-map", noise, "--snr-map", tmp_path / "snr.npy")
    assert result.exit_code == 3
    assert "no map of the noise: The change cannot be told." in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert (np.load(out) == expected).all()
    assert not noise.exists()
    assert not (tmp_path / "snr.npy").exists()


def test_maps_of_snr_and_g_factor(files, run_json, tmp_path):
    out, snr, g_factor = (tmp_path / f"{name}.npy" for name in ("image", "snr", "g"))
    asked = ("reconstruct", files.under, "--method", "sense", "-o", out, "--sigma", 0.02)
    facts = run_json(*asked, "--snr-map", snr, "--g-factor", g_factor, "--draws", 8)["noise_map"]
    scan = read_scan(files.under)
    expected = molrecon.noise_map(
        molrecon.SENSE(), scan.kspace, operator(scan), sigma=0.02, count=8
    )
    found = np.load(g_factor).real
    assert found == pytest.approx(expected.g_factor[0, 0].numpy(), rel=1e-2)
    assert np.load(snr).real == pytest.approx(expected.snr[0, 0].numpy(), rel=2e-2, abs=5e-3)
    image = np.abs(np.load(out))
    bright = image > 0.1 * image.max()
    assert facts["median_g_factor"] == pytest.approx(float(np.median(found[bright])), rel=0.05)
    assert not (tmp_path / "noise.npy").exists()


def test_share_of_the_data(files, run_json, run, tmp_path):
    out, share, report = (tmp_path / name for name in ("image.npy", "share.npy", "r.html"))
    asked = ("reconstruct", files.under, "--method", "sense", "-o", out, "--share", share)
    facts = run_json(*asked, "--report", report)
    scan = read_scan(files.under)
    expected = molrecon.data_share(molrecon.SENSE(), scan.kspace, operator(scan)).pixels[0, 0]
    found = np.load(share).real
    assert found.shape == SHAPE
    # Both are of random probes of the same seed; solves differ by where they start.
    assert np.abs(found - expected.numpy()).max() < 0.05
    bright = np.abs(np.load(out)) > 0.1 * np.abs(np.load(out)).max()
    assert facts["share_map"]["median"] == pytest.approx(float(np.median(found[bright])), abs=0.01)
    assert '"share of the data"' in report.read_text()
    text = " ".join(run(*asked).stdout.split())
    assert f"{facts['share_map']['median']:.0%} in the median of bright pixels" in text


def test_share_of_the_data_is_refused_before_work(files, refused, tmp_path):
    asked = ("reconstruct", files.under, "--method", "sense", "-o", tmp_path / "image.npy")
    refused(*asked, "--share", tmp_path / "share.xyz", naming=["share.xyz"])
    refused(*asked, "--share", tmp_path / "image.npy", naming=["image.npy"])


def test_noise_map_is_refused_before_work(files, refused, tmp_path):
    out = tmp_path / "image.npy"
    asked = ("reconstruct", files.under, "--model", files.model, "-o", out)
    refused(*asked, "--noise-map", tmp_path / "noise.xyz", naming=["noise.xyz"])
    refused(*asked, "--noise-map", out, naming=["image.npy"])
    for draws in (1, 0, -4):
        said = ["--draws is", draws, "expected at least 2"]
        refused(*asked, "--noise-map", tmp_path / "n.npy", "--draws", draws, naming=said)
        refused(*asked, "--g-factor", tmp_path / "n.npy", "--draws", draws, naming=said)
    refused(*asked, "--snr-map", tmp_path / "snr.xyz", naming=["snr.xyz"])
    refused(*asked, "--snr-map", tmp_path / "n.npy", "--g-factor", tmp_path / "n.npy", naming=["n"])
    wanted = (*asked, "--noise-map", tmp_path / "n.npy")
    refused(*wanted, "--sigma", 0, naming=["--sigma is 0"])
    refused(*wanted, "--max-memory", 1e-4, naming=["memory"])
    refused(*asked, "--noise-map", tmp_path / "no" / "n.npy", naming=["n.npy"])
