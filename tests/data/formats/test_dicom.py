"""DICOM in and out."""

import shutil

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molrecon.data.formats import describe, kind_of, read_image, write_image
from molrecon.data.geometry import Geometry
from molrecon.errors import InputError

DIRECTIONS = np.array([[0, 0.6, -0.8], [0, 0.8, 0.6], [1, 0, 0]])


def volume(slices: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(slices)
    return torch.rand(slices, 1, 6, 5, generator=generator) + 0j


def geometry(slices: int) -> Geometry:
    spacing, centre = (1.5, 2.0, 4.0), np.array([10.0, -20.0, 30.0])
    return Geometry.of_directions(centre, DIRECTIONS, spacing, (5, 6, slices))


@pytest.mark.parametrize("slices", [1, 4])
def test_values_and_geometry_come_back(tmp_path, slices):
    image, path = volume(slices), tmp_path / "a.dcm"
    write_image(path, image, geometry=geometry(slices))
    found = read_image(path)
    magnitude = image[:, 0].abs().squeeze(0).numpy()
    np.testing.assert_allclose(found.array, magnitude, atol=magnitude.max() / 65535)
    np.testing.assert_allclose(found.geometry.matrix, geometry(slices).matrix, atol=1e-5)
    assert kind_of(path) == "image"
    assert describe(path)["array"].shape == (slices, 6, 5)


def test_identifiers_are_new_and_nobody_is_named(tmp_path):
    uids = set()
    for name in ("a.dcm", "b.dcm"):
        write_image(tmp_path / name, volume(2))
        dataset = pydicom.dcmread(tmp_path / name)
        uids |= {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID}
        assert not dataset.PatientName
        assert not dataset.PatientID
        assert "PlanePositionSequence" not in dataset.PerFrameFunctionalGroupsSequence[0]
    assert len(uids) == 6


def series(folder, order):
    """Write the slices of a volume as files of one series, in names of another order."""
    image, place = volume(len(order)), geometry(len(order))
    folder.mkdir()
    uid = pydicom.uid.generate_uid()
    for name, number in enumerate(order):
        path = folder / f"{name}.dcm"
        write_image(path, image[number : number + 1], geometry=place.moved((number, 0, 0)))
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = uid
        dataset.save_as(path)
    return image[:, 0].abs().numpy(), place


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(4)))
def test_a_series_is_ordered_by_the_places_of_its_slices(tmp_path, order):
    folder = tmp_path / "series"
    shutil.rmtree(folder, ignore_errors=True)
    expected, place = series(folder, order)
    (folder / "notes.txt").write_text("not DICOM")
    found = read_image(folder)
    np.testing.assert_allclose(found.array, expected, atol=1e-4)
    np.testing.assert_allclose(found.geometry.matrix, place.matrix, atol=1e-4)


def test_two_series_in_a_folder_are_refused(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        write_image(tmp_path / name, volume(1))
    with pytest.raises(InputError, match="2 DICOM series"):
        read_image(tmp_path)


def test_a_missing_slice_is_said(tmp_path):
    series(tmp_path / "series", range(5))
    (tmp_path / "series/2.dcm").unlink()
    found = read_image(tmp_path / "series")
    assert found.geometry is None
    assert "not equally far apart" in found.notes[-1]


def test_without_the_package_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    write_image(tmp_path / "a.dcm", volume(1))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(InputError, match=r"pip install 'molrecon\[mri\]'"):
        read_image(tmp_path / "a.dcm")
