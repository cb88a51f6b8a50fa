"""Samples that are left out to be predicted."""

from dataclasses import replace

import pytest
import torch

from molrecon import Scan, make_mask
from molrecon.errors import InputError
from molrecon.pipeline.left_out import distance_ratio, left_out_samples, missing_like
from molrecon.pipeline.tuning import SHARE

SHAPE = (48, 40)


def scan(mask=None):
    """Return a scan through a mask, by default of variable density with a centre of 16 × 16."""
    if mask is None:
        mask = make_mask("variable-density", SHAPE, 2, calibration=16, seed=3)
    generator = torch.Generator().manual_seed(1)
    kspace = torch.randn(1, 2, *SHAPE, generator=generator, dtype=torch.complex64)
    return Scan(kspace * mask, mask[None, None])


def lines():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[::2] = True
    mask[18:30] = True
    return mask


def test_left_out_samples_are_a_share_outside_the_centre_and_depend_on_the_mask_alone():
    part = scan()
    left_out = left_out_samples(part, SHARE)
    assert not bool((left_out & ~part.mask).any())
    assert not bool(left_out[..., 16:32, 12:28].any())
    outside = int(part.mask.sum()) - 16 * 16
    assert SHARE * outside * 0.8 < int(left_out.sum()) <= SHARE * outside
    assert torch.equal(left_out, left_out_samples(replace(part, kspace=2 * part.kspace), SHARE))
    whole = left_out_samples(scan(lines()), SHARE)[0, 0]
    assert torch.equal(whole.any(1), whole.all(1))
    assert not bool(whole[18:30].any())
    few = lines()
    few[:18] = few[30:] = False
    few[40:42] = True
    with pytest.raises(InputError, match="has 2 sampled lines outside its calibration region"):
        left_out_samples(scan(few), SHARE)
    with pytest.raises(InputError, match="too few to leave some out"):
        left_out_samples(scan(mask=torch.ones(SHAPE, dtype=torch.bool)), SHARE)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_without_a_line_of_a_lattice_there_is_a_hole_of_its_spacing(step):
    """The line is a step from its neighbours; the missing ones, by hand, step² / 4 (rounded)."""
    mask = torch.zeros(96, 40, dtype=torch.bool)
    mask[::step] = True
    kspace = torch.ones(1, 1, 96, 40, dtype=torch.complex64) * mask
    part = Scan(kspace, mask[None, None])
    one = torch.zeros_like(part.mask)
    one[..., 48 // step * step, :] = True
    gaps = [min(n, step - n) for n in range(1, step)]
    # Behind the last line of 96 the samples have no neighbour on the other side.
    last = [n % step for n in range(96 - step + 1, 96)]
    missing = (sum(gaps) * (96 // step - 1) + sum(last)) / (len(gaps) * (96 // step))
    assert distance_ratio(part, one) == pytest.approx(step / missing, rel=1e-5)


def test_random_samples_left_out_lie_no_farther_than_the_missing_ones():
    part = scan()
    assert distance_ratio(part, left_out_samples(part, SHARE)) < 1.2
    whole = Scan(torch.ones(1, 1, *SHAPE, dtype=torch.complex64), torch.ones(1, 1, *SHAPE) > 0)
    assert distance_ratio(whole, whole.mask & False) == 0


def test_left_out_weights_stand_for_what_is_missing():
    """Their mean over draws is the number of missing samples for each one that was measured."""
    share = 0.4
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.3
    mask[20:28, 16:24] = True
    part = scan(mask)
    weights = torch.stack([missing_like(part, share, draw)[0, 0] for draw in range(400)])
    assert not bool(weights[:, ~mask].any())
    assert not bool(weights[:, 20:28, 16:24].any())
    assert (weights > 0).float().mean(0)[mask].sum() / (mask.sum() - 64) == pytest.approx(
        share, abs=0.03
    )
    # Away from the dense centre, where all have the same density.
    outer = torch.ones(SHAPE, dtype=torch.bool)
    outer[10:38, 6:34] = False
    found = weights.mean(0)[outer].sum()
    assert float(found) == pytest.approx(float((outer & ~mask).sum()), rel=0.15)


def test_of_few_lines_some_are_always_left_out():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[::6] = True
    mask[20:28] = True
    part = scan(mask)
    counts = {int((missing_like(part, 0.4, n)[0, 0, :, 0] > 0).sum()) for n in range(60)}
    free = int(mask[:, 0].sum()) - 8
    assert counts <= {int(0.4 * free), int(0.4 * free) + 1}
    assert min(counts) > 0


def test_dense_neighbourhoods_are_left_out_less_often():
    mask = make_mask("variable-density", (64, 64), 4, calibration=16, seed=0)
    kspace = torch.ones(1, 1, 64, 64, dtype=torch.complex64)
    part = Scan(kspace * mask, mask[None, None])
    often = torch.stack([(missing_like(part, 0.3, n)[0, 0] > 0) for n in range(100)]).float()
    y, x = torch.meshgrid(torch.arange(64) - 32, torch.arange(64) - 32, indexing="ij")
    radius = (y**2 + x**2).sqrt()
    near, far = mask & (radius > 11.5) & (radius < 14), mask & (radius > 22)
    assert often.mean(0)[near].mean() < 0.7 * often.mean(0)[far].mean()


def test_left_out_weights_depend_on_the_mask_and_the_draw_and_take_lines_whole():
    part = scan(lines())
    one = missing_like(part, 0.3, 1)
    assert torch.equal(one, missing_like(replace(part, kspace=2 * part.kspace), 0.3, 1))
    assert not torch.equal(one, missing_like(part, 0.3, 2))
    assert torch.equal(one[0, 0].amax(1), one[0, 0].amin(1))
    with pytest.raises(InputError, match="too few to leave some out"):
        missing_like(scan(torch.ones(SHAPE, dtype=torch.bool)), 0.3, 0)
