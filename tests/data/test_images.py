import numpy as np
import pytest
import torch

from molrecon.data.images import ImagePool
from molrecon.data.randomness import make_generator
from molrecon.errors import InputError


def ball(shape, peak=500.0):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return peak * (sum(axis**2 for axis in axes) < 0.7) * (1 + 0.2 * np.sin(9 * axes[-1]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    np.savez(folder / "volume.npz", T1w=ball((40, 36, 30)))
    images = np.stack([ball((60, 50))] * 4).astype(np.uint16)
    np.savez(folder / "slices.npz", T1w=images, FLAIR=images // 2)
    return folder / "volume.npz", folder / "slices.npz"


def test_pool_counts_and_indexes_every_slice(files):
    pool = ImagePool(files)
    assert len(pool) == sum(len(stack.indices) for stack in pool.stacks)
    assert pool.slice(0).shape == (36, 30)
    assert pool.slice(len(pool) - 1).shape == (60, 50)
    for i in range(len(pool)):
        image = pool.slice(i)
        assert image.dtype == torch.float32
        assert image.flatten().kthvalue(round(0.999 * image.numel())).values == pytest.approx(1)
    with pytest.raises(IndexError):
        pool.slice(len(pool))


def test_crops_have_size_range_and_content(files):
    pool = ImagePool(files)
    generator = make_generator(0)
    crops = [pool.sample((32, 24), generator) for _ in range(150)]
    assert all(crop.shape == (32, 24) and crop.dtype == torch.float32 for crop in crops)
    peaks = torch.tensor([crop.max() for crop in crops])
    assert peaks.max() < 1.7
    assert peaks.median() > 0.4
    assert min(crop.min() for crop in crops) > -0.4
    nearly_empty = sum((crop > 0.05).float().mean() < 0.05 for crop in crops)
    assert nearly_empty < 0.15 * len(crops)


def test_crops_larger_than_the_slice_are_padded_with_zeros(files):
    pool = ImagePool(files[:1])
    crop = pool.sample((160, 160), make_generator(1))
    assert crop.shape == (160, 160)
    assert (crop.abs() > 0.1).any()
    assert (crop.abs() < 0.05).float().mean() > 0.5


def test_values_are_scaled_by_the_whole_slice_not_by_the_crop(tmp_path):
    image = np.full((64, 64), 0.25)
    image[:4, :4] = 1.0
    np.savez(tmp_path / "dim.npz", a=image[None])
    pool = ImagePool([tmp_path / "dim.npz"])
    generator = make_generator(2)
    options = {"gammas": (1.0, 1.0), "amplitudes": (1.0, 1.0)}
    medians = [pool.sample((16, 16), generator, **options).median() for _ in range(20)]
    assert torch.stack(medians).median() == pytest.approx(0.25, abs=0.02)


def test_the_generator_alone_decides(files):
    pool = ImagePool(files)
    first = pool.sample((32, 32), make_generator(3))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert torch.equal(pool.sample((32, 32), make_generator(3)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(pool.sample((32, 32), make_generator(4)), first)


def test_files_are_not_changed_by_sampling(files):
    pool = ImagePool(files)
    before = [stack.volume.clone() for stack in pool.stacks]
    pool.sample((32, 32), make_generator(0))
    assert all(
        torch.equal(stack.volume, kept) for stack, kept in zip(pool.stacks, before, strict=True)
    )


def test_an_empty_list_of_files_is_refused():
    with pytest.raises(InputError, match="empty"):
        ImagePool([])


def test_crops_larger_than_every_image_are_refused(files):
    pool = ImagePool(files)
    pool.check((60, 50))
    pool.check((50, 60))
    with pytest.raises(InputError, match=r"4096 × 20 .* largest has 60 × 50"):
        pool.check((4096, 20))
