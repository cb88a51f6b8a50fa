import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon.data.positions import settle_positions
from molrecon.data.trajectories import radial_trajectory, spiral_trajectory
from molrecon.errors import InputError

SHAPE = (40, 48)
SPOKES = radial_trajectory(SHAPE, 11)
FACTORS = {"radians": 2 * math.pi, "cycles": 1.0}


@pytest.mark.parametrize("unit", FACTORS)
@pytest.mark.parametrize("made", [SPOKES, spiral_trajectory(SHAPE, 3)], ids=["radial", "spiral"])
def test_the_unit_is_found_from_the_range(unit, made):
    stored = made / torch.tensor(SHAPE) * FACTORS[unit]
    found = settle_positions(stored, "a scan", matrix=SHAPE)
    assert torch.allclose(found.trajectory, made, rtol=0, atol=1e-10)
    assert "by its range" in found.notes[0]


def test_cycles_per_field_of_view_tell_the_matrix():
    found = settle_positions(SPOKES.numpy(), "a scan")
    assert found.shape == SHAPE
    assert torch.equal(found.trajectory, SPOKES)


@pytest.mark.parametrize("factor", [1e3, 1e300])
def test_an_image_of_more_pixels_along_an_axis_than_samples_is_refused(factor):
    assert settle_positions(SPOKES * 10, "a scan").shape[1] == 10 * SHAPE[1]
    with pytest.raises(InputError, match="of more pixels along an axis than the scan has samples"):
        settle_positions(SPOKES * factor, "a scan")


def test_cycles_per_metre_need_the_field_of_view():
    stored = SPOKES / 0.24
    found = settle_positions(stored, "a scan", unit="metres", field_of_view=240)
    assert torch.allclose(found.trajectory, SPOKES)
    with pytest.raises(InputError, match=r"give its size in mm \(field_of_view\)"):
        settle_positions(stored, "a scan", unit="metres")


@pytest.mark.parametrize("size", [0.0, -250.0, float("nan"), float("inf")])
def test_the_field_of_view_is_a_size(size):
    stored = torch.rand(3, 20, 2) - 0.5
    with pytest.raises(InputError, match=r"field_of_view is .*, expected a positive number"):
        settle_positions(stored, "a scan", unit="metres", field_of_view=size)


def test_a_third_coordinate_of_zeros_is_dropped():
    flat = torch.cat([SPOKES, torch.zeros(*SPOKES.shape[:-1], 1)], -1)
    assert torch.equal(settle_positions(flat, "a scan").trajectory, SPOKES)


@given(st.sampled_from(sorted(FACTORS)), st.floats(0.6, 1), st.integers(12, 300))
def test_a_named_unit_and_the_one_found_agree(unit, part, pixels):
    stored = radial_trajectory((pixels, pixels), 5) / pixels * FACTORS[unit] * part
    named = settle_positions(stored, "a scan", matrix=(pixels, pixels), unit=unit)
    found = settle_positions(stored, "a scan", matrix=(pixels, pixels))
    assert torch.equal(named.trajectory, found.trajectory)


NAN = SPOKES.clone()
NAN[0, 3] = torch.nan


@pytest.mark.parametrize(
    ("stored", "given", "words"),
    [
        (NAN, {}, "holds NaN or infinite values"),
        (SPOKES / 48, {}, r"does not tell how many pixels .* \(matrix\)"),
        (SPOKES, {"matrix": (32, 32)}, r"reaches 19.8 cycles .* beyond the 16 that 32 pixels hold"),
        (SPOKES, {"matrix": (400, 400)}, r"its unit cannot be told; give it \(unit\)"),
        (SPOKES, {"matrix": (40, 48, 4)}, "matrix is 40 × 48 × 4, expected the pixels along the 2"),
        (SPOKES, {"unit": "inches"}, "unit is 'inches', expected one of radians"),
        (SPOKES * 0, {}, "is zero along an axis"),
        (SPOKES[..., :1], {}, "expected real positions"),
        (SPOKES / 48, {"matrix": (40, 48), "unit": "radians"}, None),
    ],
)
def test_what_does_not_fit_is_refused(stored, given, words):
    if words is None:
        # A named unit is believed: such samples lie near the centre.
        assert settle_positions(stored, "a scan", **given).trajectory.abs().max() < 5
        return
    with pytest.raises(InputError, match=words):
        settle_positions(stored, "a scan", **given)


def test_one_wild_line_or_sample_does_not_make_the_matrix():
    spokes = radial_trajectory((64, 64), 100)
    line, sample = spokes.clone(), spokes.clone()
    line[7] *= 16
    sample[3, 5] = torch.tensor([500.0, 3.0])
    for wild in (line, sample):
        with pytest.raises(InputError, match=r"of its samples lie beyond half .* \(matrix\)"):
            settle_positions(wild, "a scan")
    assert settle_positions(spokes, "a scan").shape == (64, 64)
