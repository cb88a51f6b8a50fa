"""The calibration region found is fully sampled, centred and cannot grow."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.calibration import calibration_region, crop_calibration
from molrecon.data.masks import MASK_KINDS, make_mask
from molrecon.errors import InputError
from molrecon.operators.fourier import centred_slices


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(kind for kind in MASK_KINDS if not MASK_KINDS[kind].frames)),
    shape=st.tuples(st.integers(24, 50), st.integers(24, 50)),
    calibration=st.integers(8, 12),
    seed=st.integers(0, 1000),
)
def test_region_is_full_and_maximal(
    kind: str, shape: tuple[int, int], calibration: int, seed: int
) -> None:
    mask = make_mask(kind, shape, 2, calibration=calibration, seed=seed)
    region = calibration_region(mask[None, None])
    widths = [part.stop - part.start for part in region]

    assert region == centred_slices(shape, widths)
    assert bool(mask[region].all())
    for axis in range(2):
        wider = [width + (other == axis) for other, width in enumerate(widths)]
        assert wider[axis] > shape[axis] or not bool(mask[centred_slices(shape, wider)].all())
    assert min(widths) >= min(calibration, *shape)


def test_lines_give_the_whole_readout() -> None:
    mask = torch.zeros(1, 1, 33, 40, dtype=torch.bool)
    mask[..., 14:26] = True

    assert calibration_region(mask) == (slice(0, 33), slice(14, 26))


def test_region_of_a_batch_is_sampled_in_every_item() -> None:
    mask = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    mask[0, 0, 10:30, 10:30] = True
    mask[1, 0, 14:26, 8:32] = True

    assert calibration_region(mask) == (slice(14, 26), slice(10, 30))


def test_fully_sampled_volume() -> None:
    assert calibration_region(torch.ones(1, 1, 9, 4, 12)) == (
        slice(0, 9),
        slice(0, 4),
        slice(0, 12),
    )


def test_crop_keeps_zero_frequency_at_the_centre() -> None:
    kspace = torch.zeros(2, 3, 41, 30, dtype=torch.complex64)
    kspace[..., 20, 15] = 1
    mask = torch.ones(1, 1, 41, 30, dtype=torch.bool)
    cropped = crop_calibration(kspace, mask, 24)

    assert cropped.shape == (2, 3, 24, 24)
    assert torch.equal(cropped.abs().nonzero()[0, 2:], torch.tensor([12, 12]))
    assert float(cropped.abs().sum()) == 6
    assert crop_calibration(kspace, mask, 100).shape == kspace.shape


@pytest.mark.parametrize("width", [0, 1, 7])
def test_a_narrow_or_missing_region_is_refused(width: int) -> None:
    mask = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    mask[(0, 0, *centred_slices((40, 40), (width, width)))] = True
    mask[..., 0] = True

    with pytest.raises(InputError, match=f"{width} × {width} samples.*give the coil maps"):
        calibration_region(mask)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="mask: found shape"):
        crop_calibration(torch.zeros(1, 2, 32, 32), torch.ones(1, 1, 32, 31, dtype=torch.bool))
