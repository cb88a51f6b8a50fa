import numpy as np
import pytest
import torch

from molrecon.data.mixed_images import MixedImages
from molrecon.data.randomness import make_generator
from molrecon.errors import InputError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "person.npz"
    y, x = np.mgrid[-1:1:60j, -1:1:50j]
    images = (x**2 + y**2 < 0.7) * (1 + 0.2 * np.sin(9 * x))
    np.savez(path, T1w=np.stack([images] * 3))
    return path


@pytest.mark.parametrize("procedural", [0.0, 0.5, 1.0])
def test_crops_have_size_range_and_depend_on_the_generator(file, procedural):
    pool = MixedImages([file], procedural=procedural)
    for seed in range(12):
        crop = pool.sample((32, 24), make_generator(seed))
        assert crop.shape == (32, 24)
        assert bool(torch.isfinite(crop).all())
        assert crop.abs().max() < 2.5
        assert torch.equal(crop, pool.sample((32, 24), make_generator(seed)))


def test_share_of_drawn_images_decides_the_source(file, monkeypatch):
    drawn = MixedImages([file], procedural=1.0)
    monkeypatch.setattr(drawn.slices, "sample", None)
    drawn.sample((32, 24), make_generator(0))
    read = MixedImages([file], procedural=0.0)
    monkeypatch.setattr("molrecon.data.mixed_images.procedural_image", None)
    read.sample((32, 24), make_generator(0))


def test_crops_larger_than_every_slice_are_refused(file):
    with pytest.raises(InputError, match="larger"):
        MixedImages([file], procedural=0.5).check((500, 500))
