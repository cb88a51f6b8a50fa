"""``molrecon convert``, and files of scanners from end to end."""

import nibabel
import numpy as np
import pydicom
import pytest
import torch

from molrecon.data.formats import read_image, read_scan, write_image, write_scan
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan

from ..data.formats.sound_files import COLUMNS, LINES, fastmri, kspace, twix

SENSE = ("--method", "sense", "--sigma", 0.01)


@pytest.mark.parametrize("extension", [".npz", ".h5"])
def test_a_scan_keeps_what_its_file_tells(run_json, tmp_path, extension):
    source, target = twix(tmp_path / "a.dat"), tmp_path / f"b{extension}"
    facts = run_json("convert", source, target)
    assert facts["kind"] == "scan"
    found, expected = read_scan(target), read_scan(source)
    assert torch.equal(found.kspace, expected.kspace)
    assert (found.geometry, found.image_shape) == (expected.geometry, (LINES, COLUMNS // 2))


@pytest.mark.parametrize("extension", [".dcm", ".nii.gz", ".h5", ".npz"])
def test_an_image_keeps_its_geometry(run, tmp_path, extension):
    place = Geometry.of_directions(np.ones(3), np.eye(3), (1.0, 2.0, 3.0), (6, 5, 4))
    write_image(tmp_path / "a.nii", torch.rand(4, 1, 5, 6) + 0j, geometry=place)
    target = tmp_path / f"b{extension}"
    assert run("convert", tmp_path / "a.nii", target).exit_code == 0
    np.testing.assert_allclose(read_image(target).geometry.matrix, place.matrix, atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("b.nii.gz", "NIfTI image"), ("b.npy", "NumPy .npy")])
def test_a_scan_cannot_become_an_image(refused, tmp_path, name, kind):
    source = twix(tmp_path / "a.dat")
    refused("convert", source, tmp_path / name, naming=[kind, ".npz", "reconstruct an image"])


def test_the_field_of_view_and_pixels_of_the_file_reach_the_image(run_json, tmp_path):
    source, out = fastmri(tmp_path / "a.h5"), tmp_path / "o.nii.gz"
    facts = run_json("reconstruct", source, *SENSE, "-o", out)
    steps = {step["name"]: step for step in facts["steps"]}
    assert "cut to 10 × 24" in steps["readout"]["text"]
    image = nibabel.load(out)
    assert image.shape == (COLUMNS, LINES // 2, 2)
    np.testing.assert_allclose(image.header.get_zooms(), (2, 2, 5))
    scores = run_json("evaluate", out, f"{source}::reconstruction_rss")
    assert scores["psnr"] is not None


def test_place_goes_from_an_image_through_its_scan_to_the_image(run, tmp_path):
    place = Geometry.of_directions(
        np.array([7.0, 8.0, 9.0]), np.eye(3)[[1, 0, 2]], (1.0, 1.0, 4.0), (40, 48, 3)
    )
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 40), indexing="ij")
    body = (x**2 + y**2 < 0.6) + 0j
    write_image(tmp_path / "a.nii.gz", body.expand(3, 1, 48, 40), geometry=place)
    scan, out = tmp_path / "scan.npz", tmp_path / "o.nii.gz"
    run("simulate", tmp_path / "a.nii.gz", "--slice", 2, "--acceleration", 1.5, "-o", scan)
    assert run("reconstruct", scan, *SENSE, "-o", out).exit_code == 0
    found = read_image(out).geometry
    np.testing.assert_allclose(found.matrix, place.moved((2, 0, 0)).matrix, atol=1e-5)


def test_calibration_from_a_file_of_its_own(run_json, run, tmp_path):
    data = torch.from_numpy(kspace(48, 40, coils=4))[None]
    write_scan(tmp_path / "under.npz", Scan(data * (torch.arange(40) % 2 == 0)))
    np.save(tmp_path / "acs.npy", data[0, :, :, 8:32].numpy())
    arguments = ("reconstruct", tmp_path / "under.npz", *SENSE, "-o", tmp_path / "o.npy")
    assert run(*arguments).exit_code == 2
    facts = run_json(*arguments, "--calibration", tmp_path / "acs.npy")
    assert "measured by themselves" in facts["coil_maps"]


def test_a_scan_is_simulated_of_a_dicom_series(run_json, tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    place = Geometry.of_directions(np.zeros(3), np.eye(3), (2.0, 2.0, 5.0), (40, 48, 3))
    uid = pydicom.uid.generate_uid()
    for number in range(3):
        path = folder / f"{3 - number}.dcm"
        image = (1 + number) * torch.ones(1, 1, 48, 40, dtype=torch.complex64)
        write_image(path, image, geometry=place.moved((number, 0, 0)))
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = uid
        dataset.save_as(path)
    arguments = ("simulate", folder, "--slice", 2, "--acceleration", 1, "--sigma", 1e-6)
    facts = run_json(*arguments, "-o", tmp_path / "a.npz", "--reference", tmp_path / "r.nii.gz")
    assert facts["kind"] == "image"
    reference = read_image(tmp_path / "r.nii.gz")
    np.testing.assert_allclose(reference.array, 3, rtol=1e-4)
    np.testing.assert_allclose(reference.geometry.matrix, place.moved((2, 0, 0)).matrix, atol=1e-5)
