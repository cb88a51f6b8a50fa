import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon.data.masks.partial_fourier import partial_fourier
from molrecon.errors import InputError


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    share=st.floats(0.51, 1.0),
    axis=st.integers(0, 1),
    low_end=st.booleans(),
)
def test_one_end_is_left_out_and_the_centre_stays(shape, share, axis, low_end):
    n = shape[axis]
    kept = partial_fourier(torch.ones(shape, dtype=torch.bool), share, axis=axis, low_end=low_end)
    along = kept.all(dim=1 - axis)
    torch.testing.assert_close(kept.any(dim=1 - axis), along)
    assert along[n // 2]
    count = int(along.sum())
    assert count == max(n // 2 + 1, round(share * n))
    assert bool((along[n - count :] if low_end else along[:count]).all())
    # Whatever is left out has its mirror image, by which phases are told, among what was kept.
    for place in range(1, n):
        mirror = 2 * (n // 2) - place
        if not along[place] and 0 <= mirror < n:
            assert along[mirror]


def test_samples_that_were_not_taken_are_not_added():
    mask = torch.rand(9, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    kept = partial_fourier(mask, 0.6, axis=-1, low_end=True)
    assert not bool((kept & ~mask).any())
    torch.testing.assert_close(kept[:, 3:], mask[:, 3:])


@pytest.mark.parametrize("share", [0.5, 1.1, float("nan")])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(InputError, match="partial Fourier"):
        partial_fourier(torch.ones(4, 4, dtype=torch.bool), share, axis=0, low_end=True)
