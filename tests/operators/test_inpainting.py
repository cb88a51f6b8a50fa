import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.inpainting import Inpainting

from ..support import normal

MASK = torch.arange(20).reshape(1, 1, 4, 5) % 3 == 0


def test_keeps_measured_pixels_and_no_others():
    A = Inpainting(MASK, channels=3, dtype=torch.float64)
    x = normal(2, 3, 4, 5, dtype=torch.float64)
    y = A(x)
    seen = MASK.expand_as(x)
    assert torch.equal(y[seen], x[seen])
    assert (y[~seen] == 0).all()
    assert torch.equal(A(A(x)), y)


def test_missing_pixels_belong_to_the_image():
    """MOL leaves out what is not in the support; here that is what it is asked for."""
    assert Inpainting(MASK).support is None


def test_measurements_of_missing_pixels_do_not_count():
    A = Inpainting(MASK, dtype=torch.float64)
    y = normal(1, 1, 4, 5, dtype=torch.float64)
    assert torch.equal(A.H(y), A.H(y + ~MASK))


def test_a_mask_per_channel_sets_the_channels():
    mask = torch.cat([MASK, ~MASK, MASK], dim=1)
    A = Inpainting(mask, dtype=torch.float64)
    x = normal(1, 3, 4, 5, dtype=torch.float64)
    assert A.shape_in == (3, 4, 5)
    assert torch.equal(A(x), mask * x)


@pytest.mark.parametrize(
    ("mask", "channels", "sentence"),
    [
        (MASK[0, 0], None, r"mask is torch.bool of shape \(4, 5\), expected a real or boolean"),
        (MASK.to(torch.complex64), None, "mask is torch.complex64"),
        (MASK.expand(1, 2, 4, 5), 3, r"mask has shape \(1, 2, 4, 5\), .* 3 or 1"),
        (MASK[..., :0], None, r"mask has shape \(1, 1, 4, 0\)"),
        (MASK[:0], None, r"mask has shape \(0, 1, 4, 5\)"),
        (MASK, 0, "channels is 0"),
        (MASK * math.nan, None, "mask holds NaN"),
        (MASK * 2.0, None, r"mask has values from 0 to 2, expected weights in \[0, 1\]"),
        (MASK.float() - 1, None, "mask has values from -1 to 0"),
        (torch.cat([MASK, MASK & ~MASK]), None, "mask is zero everywhere in a sample"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, channels, sentence):
    with pytest.raises(InputError, match=sentence):
        Inpainting(mask, channels=channels)
