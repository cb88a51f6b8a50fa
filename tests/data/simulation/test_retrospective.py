"""Retrospective undersampling."""

import pytest
import torch

from molrecon.data.axes import Axes
from molrecon.data.coil_maps import combine_coils
from molrecon.data.scan import Scan
from molrecon.data.simulation import simulate_coil_maps
from molrecon.data.simulation.retrospective import reference_image, undersample
from molrecon.errors import InputError

SHAPE = (24, 20)


def full_scan(batch: int = 1, **parts: torch.Tensor) -> Scan:
    generator = torch.Generator().manual_seed(0)
    return Scan(
        torch.randn((batch, 3, *SHAPE), dtype=torch.complex64, generator=generator), **parts
    )


def test_exactly_the_samples_of_the_mask_remain():
    full = full_scan(2)
    under = undersample(full, 3, calibration=8, seed=5)
    mask = under.mask
    assert [int(item.sum()) for item in mask] == [160, 160]
    assert torch.equal(mask[0], mask[-1])
    assert torch.equal(under.kspace, full.kspace * mask)
    assert bool(mask[..., 8:16, 6:14].all())
    again = undersample(full, 3, calibration=8, seed=5)
    assert torch.equal(again.kspace, under.kspace)
    assert not torch.equal(undersample(full, 3, calibration=8, seed=6).kspace, under.kspace)


def test_maps_of_the_scan_make_the_reference():
    maps = simulate_coil_maps(SHAPE, 3, generator=torch.Generator().manual_seed(1))[None]
    full = full_scan(coil_maps=maps)
    under = undersample(full, 2, calibration=8)
    assert torch.equal(reference_image(full, under), combine_coils(full.kspace, maps))


def test_zero_padding_stays_unmeasured():
    kspace = full_scan().kspace.clone()
    kspace[..., :4] = 0
    under = undersample(Scan(kspace), 2, calibration=8)
    assert not bool(under.mask[..., :4].any())


def test_an_undersampled_scan_is_refused():
    under = undersample(full_scan(), 2, calibration=8)
    with pytest.raises(InputError, match="undersampled already"):
        undersample(under, 2, calibration=8)


def test_no_calibration_region_no_reference():
    full = full_scan()
    with pytest.raises(InputError, match="calibration region"):
        reference_image(full, undersample(full, 4, calibration=2))


def test_frames_take_masks_of_their_own():
    kspace = torch.randn(1, 3, 4, *SHAPE, dtype=torch.complex64)
    with pytest.raises(InputError, match="one of frames"):
        undersample(Scan(kspace, axes=Axes("tyx")), 3, calibration=8)
