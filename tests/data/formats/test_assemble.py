import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon.data.scan import Scan
from molrecon.errors import InputError


def scan(*shape: int) -> Scan:
    generator = torch.Generator().manual_seed(0)
    return Scan(torch.randn(*shape, dtype=torch.complex64, generator=generator), source="a.npy")


@given(st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(2, 5), min_size=2, max_size=3))
def test_masks_of_every_accepted_shape_agree(batch, coils, spatial):
    full = scan(batch, coils, *spatial)
    lines = np.arange(spatial[-1]) % 2 == 0
    mask = np.broadcast_to(lines, spatial)
    forms = [
        lines,
        mask,
        mask[None],
        mask[None, None].astype(float),
        np.broadcast_to(mask, (batch, *spatial)),
        np.broadcast_to(mask, (batch, 1, *spatial)) * 255,
    ]
    for form in forms:
        masked = full.with_mask(form, source="m.npy")
        assert torch.equal(masked.kspace, full.kspace * torch.from_numpy(lines.copy()))
        assert masked.mask.shape[1:] == (1, *spatial)
        assert torch.equal(masked.mask.expand(batch, 1, *spatial)[0, 0], masked.mask[0, 0])


@given(st.integers(1, 3), st.integers(1, 3))
def test_maps_with_and_without_a_batch(batch, coils):
    maps = scan(batch, coils, 4, 5).kspace.numpy()
    full = scan(batch, coils, 4, 5)
    np.testing.assert_array_equal(full.with_coil_maps(maps, source="m").coil_maps, maps)
    one = full.with_coil_maps(maps[0], source="m").coil_maps
    np.testing.assert_array_equal(one, maps[:1])


def test_a_single_map_of_a_single_coil():
    maps = scan(1, 1, 4, 5).kspace.numpy()
    found = scan(2, 1, 4, 5).with_coil_maps(maps[0, 0], source="m").coil_maps
    np.testing.assert_array_equal(found, maps)


def test_messages_name_the_file_of_the_mask_or_maps():
    full = scan(2, 3, 4, 5)
    with pytest.raises(InputError, match=r"mask of m\.npy has shape \(4, 6\)"):
        full.with_mask(np.ones((4, 6)), source="m.npy")
    with pytest.raises(InputError, match=r"coil maps of m\.npy have 2 coils"):
        full.with_coil_maps(np.ones((2, 4, 5)), source="m.npy")


def test_a_mask_that_misses_all_samples_is_refused():
    mask = np.arange(5) < 2
    half = scan(1, 2, 4, 5).with_mask(mask, source="m.npy")
    with pytest.raises(InputError, match=r"k-space of a\.npy: found zeros everywhere"):
        half.with_mask(~mask, source="n.npy")
