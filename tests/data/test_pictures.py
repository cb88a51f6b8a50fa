import numpy as np
import pytest
import torch
from PIL import Image

from molrecon.data.formats import read_image
from molrecon.data.pictures import PicturePool, centre, read_picture, whole_blocks
from molrecon.data.randomness import make_generator
from molrecon.errors import InputError


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.png")
    # Every pixel has a value of its own, so that a crop tells where it was cut.
    Image.fromarray(np.arange(20 * 12, dtype=np.uint8).reshape(20, 12)).save(tmp_path / "ramp.png")
    return tmp_path


def test_values_are_the_luminance_over_255(folder):
    ramp = read_picture(folder / "ramp.png")
    assert ramp.dtype == torch.float32
    assert torch.equal((ramp * 255).round(), torch.arange(240.0).reshape(20, 12))
    colour = read_picture(folder / "colour.png")
    assert colour.tolist() == read_image(str(folder / "colour.png")).array.tolist()


def test_crops_are_parts_of_the_picture_in_all_orientations(folder):
    pool = PicturePool([folder / "ramp.png"])
    generator = make_generator(0)
    steps, corners = set(), set()
    for _ in range(200):
        crop = (pool.sample((8, 6), generator) * 255).round()
        assert crop.shape == (8, 6)
        down, right = (crop[1, 0] - crop[0, 0]).item(), (crop[0, 1] - crop[0, 0]).item()
        # Pixels lie 1 apart along rows of the picture and 12 along columns: nothing is resampled.
        assert {abs(down), abs(right)} == {1, 12}
        rows, columns = torch.meshgrid(torch.arange(8), torch.arange(6), indexing="ij")
        assert torch.equal(crop, crop[0, 0] + rows * down + columns * right)
        steps.add((down, right))
        corners.add(crop.min().item())
    assert len(steps) == 8
    assert min(corners) == 0
    assert len(corners) > 30


def test_every_picture_is_drawn(folder):
    pool = PicturePool([folder / "ramp.png", folder / "colour.png"])
    generator = make_generator(0)
    crops = [pool.sample((8, 8), generator) * 255 for _ in range(20)]
    assert {bool((crop.diff(dim=0).abs().round() <= 12).all()) for crop in crops} == {True, False}


def test_cuts(folder):
    image = torch.arange(30).reshape(6, 5)
    assert torch.equal(whole_blocks(image, 4), image[:4, :4])
    assert torch.equal(centre(image, (2, 3)), image[2:4, 1:4])
    assert torch.equal(centre(image, (9, 1)), image[:, 2:3])


def test_refusals(folder):
    with pytest.raises(InputError, match="list of files is empty"):
        PicturePool([])
    np.save(folder / "volume.npy", np.ones((4, 5, 6)))
    with pytest.raises(InputError, match=r"volume\.npy has shape \(4, 5, 6\), but one picture"):
        PicturePool([folder / "volume.npy"])
    (folder / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        PicturePool([folder / "broken.jpg"])
    # Whichever picture is drawn, and however it is turned.
    pool = PicturePool([folder / "colour.png", folder / "ramp.png"])
    with pytest.raises(InputError, match=r"ramp\.png has a side of 12 pixels.*15 × 9"):
        pool.check((15, 9))
    pool.check((12, 9))
