"""Series of frames are written so that they are read as such, in every format that can say it."""

import nibabel
import numpy as np
import pytest
import torch

from molrecon import ImageData, read_image, write_image
from molrecon.data.geometry import Geometry
from molrecon.data.image_items import ImageItems

FRAMES, ROWS, COLUMNS = 4, 6, 5
PLACE = Geometry.of_directions(
    np.array([3.0, -20.0, 7.0]), np.eye(3), (1.5, 2.0, 8.0), (COLUMNS, ROWS, 1)
)
SAYS_IT = ("a.nii", "a.nii.gz", "a.dcm", "a.npz", "a.h5", "a.cfl")


def series(batch: int = 1) -> torch.Tensor:
    shape = (batch, 1, FRAMES, ROWS, COLUMNS)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0j


def assert_same(found: ImageData, image: torch.Tensor) -> None:
    assert found.tensor().shape == image.shape
    torch.testing.assert_close(found.tensor().abs(), image.abs(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SAYS_IT)
def test_a_series_is_read_as_frames(tmp_path, name):
    write_image(tmp_path / name, series(), frames=True)
    found = read_image(tmp_path / name)
    assert found.axes == ("t", "y", "x")
    assert found.frames
    assert_same(found, series())


@pytest.mark.parametrize("name", SAYS_IT)
def test_a_volume_is_read_as_one(tmp_path, name):
    write_image(tmp_path / name, series())
    found = read_image(tmp_path / name)
    assert found.axes == ("z", "y", "x")
    assert_same(found, series())


@pytest.mark.parametrize("name", ["a.nii", "a.dcm", "a.npz", "a.h5"])
def test_frames_lie_at_one_place(tmp_path, name):
    write_image(tmp_path / name, series(), geometry=PLACE, frames=True)
    found = read_image(tmp_path / name)
    assert found.axes == ("t", "y", "x")
    np.testing.assert_allclose(found.geometry.matrix, PLACE.matrix, atol=1e-5)
    assert found.spacing == pytest.approx((2.0, 1.5))


def test_what_cannot_say_it_is_told_by_the_path(tmp_path):
    write_image(tmp_path / "a.npy", series(), frames=True)
    assert read_image(tmp_path / "a.npy").axes == ("z", "y", "x")
    assert read_image(f"{tmp_path / 'a.npy'}::frames").axes == ("t", "y", "x")


def test_of_several_series_the_fourth_dimension_of_nifti_is_time_and_the_third_the_slices(tmp_path):
    images = series(3)
    write_image(tmp_path / "a.nii", ImageItems.of(images, frames=True))
    stored = nibabel.load(tmp_path / "a.nii").get_fdata()
    assert stored.shape == (COLUMNS, ROWS, 3, FRAMES)
    expected = images[:, 0].abs().permute(3, 2, 0, 1).numpy()
    np.testing.assert_allclose(stored, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.cfl", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize(("frames", "first"), [(True, "t"), (False, "z")])
def test_several_series_or_volumes_are_read_as_such(tmp_path, name, frames, first):
    write_image(tmp_path / name, series(3), frames=frames)
    found = read_image(tmp_path / name)
    assert found.axes == ("batch", first, "y", "x")
    assert_same(found, series(3))


def test_frames_stored_in_any_order_are_read_in_that_of_time(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    write_image(tmp_path / "a.dcm", series(), geometry=PLACE, frames=True)
    stored = pydicom.dcmread(tmp_path / "a.dcm")
    groups = list(stored.PerFrameFunctionalGroupsSequence)
    stored.PixelData = stored.pixel_array[::-1].tobytes()
    stored.PerFrameFunctionalGroupsSequence = pydicom.Sequence(groups[::-1])
    stored.save_as(tmp_path / "b.dcm")
    assert_same(read_image(tmp_path / "b.dcm"), series())
