"""The image that comes with matplotlib."""

import torch

from molrecon.data.sample_image import sample_image


def test_it_shows_a_head():
    image = sample_image()
    assert image.shape == (256, 256)
    assert image.dtype == torch.float32
    assert (float(image.min()), float(image.max())) == (0.0, 1.0)
    # Read with the wrong byte order it would be noise.
    assert float((image[1:] - image[:-1]).abs().mean()) < 0.03
    assert float((image > 0.1).float().mean()) > 0.2
