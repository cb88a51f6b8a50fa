import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrecon.data.geometry import Geometry
from molrecon.errors import InputError

PLACED = Geometry.of_directions(
    np.array([3.0, -5.0, 7.0]), np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]), (1, 2, 3), (8, 9, 4)
)


def test_the_centre_is_where_it_was_said_to_be():
    index = np.array([8 // 2, 9 // 2, 4 // 2, 1])
    np.testing.assert_allclose(PLACED.matrix @ index, [-3, 5, 7, 1])
    assert PLACED.spacing == (3, 2, 1)
    step = PLACED.matrix @ np.array([4, 5, 2, 1]) - PLACED.matrix @ index
    np.testing.assert_allclose(step, [0, 0, -2, 0])


@given(st.tuples(*[st.integers(0, 9)] * 3), st.permutations(range(3)))
def test_a_pixel_keeps_its_place_when_the_image_is_cut_or_turned(first, order):
    volume = np.arange(10**3).reshape(10, 10, 10)
    part = volume[tuple(slice(start, None) for start in first)].transpose(order)
    geometry = PLACED.moved(first).reordered(order)
    index = tuple(n - 1 for n in part.shape)
    whole = np.unravel_index(part[index], volume.shape)
    here = geometry.matrix @ [*index[::-1], 1]
    np.testing.assert_allclose(here, PLACED.matrix @ [*whole[::-1], 1])


@pytest.mark.parametrize("affine", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_other_matrices_are_refused(affine):
    with pytest.raises(InputError, match="affine"):
        Geometry(tuple(map(tuple, affine)))


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, 1.0, 1.0, 1.0)])
def test_other_spacings_are_refused(spacing):
    with pytest.raises(InputError, match="two or three positive"):
        Geometry.of_spacing(spacing)
