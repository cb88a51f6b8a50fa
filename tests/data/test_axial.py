"""Slices of image files."""

import numpy as np
import pytest

from molrecon.data.axial import axial_axis, axial_slices
from molrecon.data.formats import ImageData
from molrecon.data.geometry import Geometry
from molrecon.errors import InputError

VOLUME = np.arange(1, 61, dtype=np.float32).reshape(3, 4, 5)


@pytest.mark.parametrize("voxel_axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_affine_tells_the_axial_axis(voxel_axis, sign):
    rng = np.random.default_rng(0)
    affine = 0.1 * rng.standard_normal((4, 4))
    affine[:3, voxel_axis] = [0.2, 0.1, 2 * sign]
    image = ImageData.from_array(VOLUME, "v", geometry=Geometry(tuple(map(tuple, affine))))
    assert axial_axis(image) == 2 - voxel_axis
    slices, number = axial_slices(image)
    assert number == VOLUME.shape[2 - voxel_axis] // 2
    assert np.array_equal(slices[0, 0], np.take(VOLUME, number, 2 - voxel_axis))


def test_images_and_stacks_are_taken_whole():
    slices, number = axial_slices(ImageData.from_array(VOLUME[0], "i"))
    assert number is None
    assert np.array_equal(slices[0, 0], VOLUME[0])
    slices, number = axial_slices(ImageData.from_array(VOLUME[:, None], "s"))
    assert number is None
    assert np.array_equal(slices[:, 0], VOLUME)
    slices, number = axial_slices(ImageData.from_array(VOLUME[:, None], "s"), 2)
    assert number == 2
    assert np.array_equal(slices[0, 0], VOLUME[2])


def test_refusals():
    with pytest.raises(InputError, match="0 to 2"):
        axial_slices(ImageData.from_array(VOLUME, "v"), 3)
    with pytest.raises(InputError, match="stack of volumes"):
        axial_slices(ImageData.from_array(np.stack([VOLUME, VOLUME])[:, None], "v"))
    hollow = VOLUME.copy()
    hollow[1] = 0
    with pytest.raises(InputError, match="zero throughout"):
        axial_slices(ImageData.from_array(hollow, "v"))
