"""Grey values and maps as PNG: what is read back is what was put in, to the stated step."""

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from molrecon.reports.pixels import REDUCTIONS, grey_png, map_png, planes_of


def decoded(text):
    with Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",)) as picture:
        assert picture.mode == "L"
        return np.asarray(picture).astype(np.int64)


@given(bits=st.sampled_from([16, 12, 10, 8]), top=st.floats(1e-20, 1e20), seed=st.integers(0, 99))
def test_grey_values_come_back_to_half_a_step(bits, top, seed):
    values = top * np.random.default_rng(seed).random((5, 7))
    found = decoded(grey_png(values, top, bits))
    if bits > 8:
        high, low = found[:5], found[5:]
        found = 256 * high + low
    levels = 2**bits - 1
    assert found.shape == values.shape
    assert np.abs(found / levels * top - values).max() <= top * (0.5 / levels + 1e-9)


def test_an_image_of_zeros_is_black():
    assert not decoded(grey_png(np.zeros((3, 4)), 0.0, 8)).any()


@given(low=st.floats(-5, 5), width=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_maps_come_back_to_half_a_step_and_nan_is_zero(low, width, seed):
    values = low + width * np.random.default_rng(seed).random((4, 6))
    values[1, 2] = np.nan
    found = decoded(map_png(values, (low, low + width)))
    assert found[1, 2] == 0
    known = np.isfinite(values)
    assert found[known].min() >= 1
    back = low + (found[known] - 1) / 254 * width
    assert np.abs(back - values[known]).max() <= width * (0.5 / 254 + 1e-6)


def test_values_beyond_the_scale_stand_at_its_ends():
    assert decoded(map_png(np.array([[-1.0, 2.0]]), (0.0, 1.0))).tolist() == [[1, 255]]


@pytest.mark.parametrize("spatial", [(4, 5), (3, 4, 5)])
def test_planes_are_magnitudes_in_order(spatial):
    image = torch.randn(2, 1, *spatial, dtype=torch.complex64)
    found = np.stack(list(planes_of(image)))
    assert np.allclose(found, image.abs().reshape(-1, 4, 5).numpy())


def test_reductions_grow():
    kept = [one.bits / one.step for one in REDUCTIONS]
    assert kept == sorted(kept, reverse=True)
    assert REDUCTIONS[0].text("slice") == ""
    assert all("one frame of 2" in one.text("frame") for one in REDUCTIONS if one.step == 2)
