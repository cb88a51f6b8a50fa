import pytest
import torch

from molrecon.data.procedural import PROCEDURAL, procedural_image
from molrecon.data.randomness import make_generator
from molrecon.data.slices import peak_value


@pytest.mark.parametrize("kind", PROCEDURAL)
@pytest.mark.parametrize("size", [(64, 48), (33, 70)])
def test_images_have_size_range_and_content(kind, size):
    for seed in range(6):
        image = procedural_image(kind, size, make_generator(seed))
        assert image.shape == size
        assert image.dtype == torch.float32
        assert image.min() >= 0
        assert peak_value(image) == pytest.approx(1, abs=1e-4)
        assert image.std() > 0.01


@pytest.mark.parametrize("kind", PROCEDURAL)
def test_images_depend_on_the_generator_alone(kind):
    one, same, other = (procedural_image(kind, (40, 40), make_generator(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_nothing_is_finer_than_the_pixels():
    # Twice as many pixels were drawn; beyond those of the image nothing is left to alias.
    image = procedural_image("gratings", (64, 64), make_generator(3))
    spectrum = torch.fft.fft2(image).abs()
    assert spectrum[32].mean() < spectrum[1:8].mean()
