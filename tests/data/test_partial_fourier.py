"""Where an edge of k-space is missing, and the phase of the image."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon import make_mask, simulate_coil_maps
from molrecon.data.masks.partial_fourier import partial_fourier
from molrecon.data.partial_fourier import missing_edge, smooth_phase
from molrecon.data.phase import simulate_phase
from molrecon.operators.fourier import fft_centred


@given(
    # Less than `FEWEST` missing lines, a quarter of 28, cannot be told from a random mask.
    shape=st.tuples(st.integers(28, 60), st.integers(28, 60)),
    share=st.floats(0.55, 0.75),
    axis=st.integers(0, 1),
    low_end=st.booleans(),
)
def test_what_was_left_out_is_found(shape, share, axis, low_end):
    full = torch.ones(shape, dtype=torch.bool)
    mask = partial_fourier(full, share, axis=axis, low_end=low_end)
    edge, axes = missing_edge(mask[None, None], 2)
    assert axes == (axis - 2,)
    # The lowest frequency of an even length is on one side alone, and no edge for that.
    missing = ~mask
    if shape[axis] % 2 == 0 and low_end:
        missing = missing & (torch.arange(shape[axis]) > 0).reshape((-1, 1) if axis == 0 else (-1,))
    assert torch.equal(edge[0, 0], missing)


@pytest.mark.parametrize("kind", ["variable-density", "poisson-disc", "equispaced", "random"])
@pytest.mark.parametrize("acceleration", [2, 4])
def test_masks_without_a_missing_edge_have_none(kind, acceleration):
    for seed in range(5):
        mask = make_mask(kind, (96, 80), acceleration=acceleration, calibration=16, seed=seed)
        assert missing_edge(mask[None, None], 2)[1] == ()


def test_resolution_is_no_edge():
    mask = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    mask[..., 10:31, :] = True
    assert missing_edge(mask, 2)[1] == ()
    mask[..., :28, :] = False
    mask[..., 18:40, :] = True
    assert missing_edge(mask, 2)[1] == (-2,)


def test_the_smooth_phase_of_an_image_is_found():
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps((48, 40), 4, generator=generator)[None]
    phase = simulate_phase((48, 40), generator=generator, strength=0.7)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 40), indexing="ij")
    body = torch.sigmoid(20 * (0.7 - (x**2 + y**2).sqrt()))
    mask = partial_fourier(torch.ones(48, 40, dtype=torch.bool), 0.75, axis=0, low_end=True)
    kspace = fft_centred(maps * (body * phase), 2) * mask
    found = smooth_phase(kspace, mask[None, None], maps, 2)
    inside = body > 0.5
    assert float((found[0, 0] * phase.conj()).angle()[inside].abs().max()) < 0.2
    torch.testing.assert_close(found.abs(), torch.ones(1, 1, 48, 40))
    sets = smooth_phase(kspace, mask[None, None], torch.stack([maps, maps], dim=1), 2)
    torch.testing.assert_close(sets[:, :1], found)
