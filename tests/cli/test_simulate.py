"""``molrecon simulate``."""

import re
from typing import get_args

import nibabel
import numpy as np
import pytest

from molrecon.cli.options import MaskKind
from molrecon.data.coil_maps import combine_coils, estimate_coil_maps
from molrecon.data.formats import read_image, read_scan
from molrecon.data.masks import MASK_KINDS

from .conftest import COILS, SHAPE, SIGMA, phantom


def test_a_full_scan_is_undersampled_as_it_is(files):
    full, under = read_scan(files.full), read_scan(files.under)
    mask = under.mask
    assert int(mask.sum()) == round(np.prod(SHAPE) / 2)
    assert bool((under.kspace == full.kspace * mask).all())
    assert under.coil_maps is None
    assert under.sigma is None


def test_its_reference_rests_on_the_maps_of_the_calibration_region(files):
    full, under = read_scan(files.full), read_scan(files.under)
    maps = estimate_coil_maps(under.kspace, under.mask)
    expected = combine_coils(full.kspace, maps)
    found = read_image(files.reference).tensor()
    assert bool(((found - expected).abs() < 1e-5).all())


def test_an_image_gets_coils_phase_and_noise(files, run_json, tmp_path):
    out, ref = tmp_path / "under.h5", tmp_path / "ref.npy"
    facts = run_json(
        "simulate",
        files.image,
        "-o",
        out,
        "--reference",
        ref,
        "--coils",
        3,
        "--sigma",
        SIGMA,
        "--acceleration",
        1,
        "--include-maps",
    )
    scan, truth = read_scan(out), read_image(ref).tensor()
    assert facts["coils"] == scan.kspace.shape[1] == 3
    assert facts["kind"] == "image"
    assert np.allclose(truth.abs().numpy()[0, 0], phantom().numpy(), atol=1e-6)
    assert float(truth.angle()[truth.abs() > 0].std()) > 0.05
    # Fully sampled, with the true maps: the combined image is the truth with noise sigma.
    error = combine_coils(scan.kspace, scan.coil_maps) - truth
    assert float(error.abs().square().mean().sqrt()) == pytest.approx(SIGMA, rel=0.1)


def test_the_seed_decides(files, run, tmp_path):
    def simulated(name: str, seed: int) -> np.ndarray:
        out = tmp_path / name
        assert (
            run("simulate", files.image, "-o", out, "--seed", seed, "--calibration", 12).exit_code
            == 0
        )
        return read_scan(out).kspace.numpy()

    first = simulated("a.npz", 1)
    assert np.array_equal(first, simulated("b.npz", 1))
    assert not np.array_equal(first, simulated("c.npz", 2))


def test_the_default_noise_is_one_percent_of_the_peak(files, run_json, tmp_path):
    out = tmp_path / "under.npz"
    facts = run_json("simulate", files.image, "-o", out, "--calibration", 12)
    assert facts["sigma"] == pytest.approx(0.01 * float(phantom().max()))
    assert facts["coils"] == 8
    assert read_scan(out).coil_maps is None


def test_a_volume_gives_its_middle_axial_slice(run_json, tmp_path):
    # Voxel axis 1 runs from foot to head here: axis 1 of the array (z, y, x).
    volume = np.zeros((30, 7, 26), np.float32)
    volume[5:20, :, 4:20] = np.arange(1, 8)[None, :, None]
    affine = np.eye(4)[[0, 2, 1, 3]]
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "v.nii.gz")
    ref = tmp_path / "ref.npy"
    options = ("-o", tmp_path / "u.npz", "--reference", ref, "--calibration", 10)
    facts = run_json("simulate", tmp_path / "v.nii.gz", *options)
    assert facts["slice"] == 3
    assert facts["shape"] == [26, 30]
    assert np.abs(read_image(ref).array).max() == pytest.approx(4)
    facts = run_json("simulate", tmp_path / "v.nii.gz", *options, "--slice", 6)
    assert np.abs(read_image(ref).array).max() == pytest.approx(7)


def test_a_slice_of_a_scan(files, run_json, tmp_path):
    full = np.load(files.full)
    np.save(tmp_path / "two.npy", np.stack([full, 2 * full]))
    out = tmp_path / "u.npz"
    facts = run_json(
        "simulate",
        tmp_path / "two.npy",
        "-o",
        out,
        "--slice",
        1,
        "--calibration",
        10,
        "--acceleration",
        3,
    )
    scan = read_scan(out)
    assert facts["slices"] == scan.kspace.shape[0] == 1
    assert facts["coils"] == COILS
    mask = scan.mask.numpy()
    assert np.array_equal(scan.kspace.numpy(), 2 * full[None] * mask)


@pytest.mark.parametrize("kind", ["poisson-disc", "equispaced", "random"])
def test_mask_kinds(files, run_json, tmp_path, kind):
    out = tmp_path / "u.npz"
    facts = run_json(
        "simulate",
        files.full,
        "-o",
        out,
        "--mask-kind",
        kind,
        "--acceleration",
        2,
        "--calibration",
        8,
    )
    assert facts["mask_kind"] == kind
    assert facts["acceleration"] == pytest.approx(2)


def test_the_help_and_the_refusal_list_the_kinds_of_the_registry(files, refused, tmp_path):
    (option,) = (one.help for one in get_args(MaskKind)[1:])
    said = refused("simulate", files.full, "-o", tmp_path / "u.npz", "--mask-kind", "spiral")
    for text in (option, said):
        assert {*re.findall(r"[a-z-]+", text)} >= {*MASK_KINDS}
    words = {*re.findall(r"[a-z-]+", option)}
    assert words - {*MASK_KINDS} <= {"lines", "of", "frames", "or"}


def test_a_mask_in_place_of_an_image_is_said(files, run, tmp_path):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, ::2] = True
    np.save(tmp_path / "mask.npy", mask)
    for source, said in ((tmp_path / "mask.npy", True), (files.image, False)):
        result = run("simulate", source, "--calibration", 8, "-o", tmp_path / "u.npz")
        assert result.exit_code == 0
        assert ("mask.npy holds zeros and ones alone" in result.stderr) == said


def test_refusals(files, refused, tmp_path):
    out = tmp_path / "u.npz"
    refused("simulate", files.under, "-o", out, naming=[files.under, "undersampled already"])
    refused("simulate", files.full, "-o", out, "--coils", 4, naming=["--coils"])
    refused("simulate", files.full, "-o", out, "--sigma", 0.1, naming=["--sigma"])
    refused("simulate", files.image, "-o", out, "--sigma", 0, naming=["--sigma"])
    refused("simulate", files.image, "-o", out, "--sigma", "nan", naming=["--sigma"])
    refused("simulate", files.image, "-o", out, "--coils", 0, naming=["coils"])
    refused(
        "simulate",
        files.image,
        "-o",
        out,
        "--mask-kind",
        "spiral",
        naming=["spiral", "variable-density", "poisson-disc", "equispaced", "random"],
    )
    refused("simulate", files.image, "-o", out, "--acceleration", 0.5, naming=["acceleration"])
    refused("simulate", files.image, "-o", out, "--acceleration", 9, naming=["calibration"])
    refused("simulate", files.image, "-o", out, "--seed", -1, naming=["seed"])
    refused("simulate", files.image, "-o", out, "--slice", 1, naming=["slice 1"])
    refused("simulate", files.full, "-o", out, "--slice", 1, naming=["slice"])
    refused("simulate", files.image, "-o", tmp_path / "u.npy", naming=["u.npy", ".npz"])
    refused("simulate", files.image, "-o", tmp_path / "no" / "u.npz", naming=["does not exist"])
    refused("simulate", files.image, "-o", out, "--reference", tmp_path / "r.txt", naming=["r.txt"])
    refused(
        "simulate",
        files.full,
        "-o",
        out,
        "--calibration",
        4,
        "--reference",
        tmp_path / "r.npy",
        naming=["calibration region"],
    )
