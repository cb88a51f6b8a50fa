from dataclasses import asdict

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from molrecon.data.images import ImagePool
from molrecon.data.randomness import make_generator
from molrecon.data.simulation.parallel_mri import ParallelMRISimulation
from molrecon.data.simulation.volume_mri import VolumeMRISimulation
from molrecon.operators.fourier import fft_centred

CONFIG = ParallelMRISimulation(
    size=(24, 20),
    batch_size=3,
    coils=(4, 6),
    accelerations=(2.0, 4.0),
    calibration=(4, 8),
    sigma=(1e-3, 1e-1),
    masks_per_kind=4,
)

VOLUMES = VolumeMRISimulation(
    size=(8, 8, 8), calibration=(2, 2), accelerations=(2.0, 3.0), masks_per_kind=2
)


def bars(period, shape=(3, 60, 50)):
    """Stripes of one period: images of one subject can be told from those of another."""
    wave = 0.6 + 0.4 * np.cos(2 * np.pi * np.arange(shape[2]) / period)
    # Fine texture fills k-space, so that the stripes keep about their period when resampled.
    return wave + 0.03 * np.random.default_rng(0).random(shape)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subjects")
    for name, period in {"a": 25.0, "b": 5.0}.items():
        np.savez(folder / f"{name}.npz", T1w=bars(period))
    return folder / "a.npz", folder / "b.npz"


@pytest.fixture(scope="module")
def pool(subjects):
    return ImagePool(subjects[:1])


def equal(first, second):
    pairs = zip(asdict(first).values(), asdict(second).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_batches_hold_what_the_configuration_says(pool):
    coil_counts, sigmas = set(), []
    for step in range(20):
        batch = CONFIG.sample(pool, seed=0, step=step)
        coils = batch.kspace.shape[1]
        coil_counts.add(coils)
        sigmas += batch.sigma.tolist()
        assert batch.image.shape == batch.mask.shape == (3, 1, 24, 20)
        assert batch.kspace.shape == batch.coil_maps.shape == (3, coils, 24, 20)
        sampled = batch.mask.float().mean((1, 2, 3))
        assert (sampled > 0.9 / 4).all()
        assert (sampled < 1.1 / 2).all()
        assert batch.mask[:, 0, 12, 10].all()
        assert (batch.kspace[~batch.mask.expand_as(batch.kspace)] == 0).all()
        assert batch.image.abs().max() < 2
    assert coil_counts == {4, 5, 6}
    assert 1e-3 <= min(sigmas) < 3e-3
    assert 3e-2 < max(sigmas) <= 0.1001


def test_residual_is_the_noise(pool):
    config = CONFIG.model_copy(update={"sigma": (0.05, 0.05), "size": (64, 64)})
    batch = config.sample(pool, seed=0, step=0)
    residual = batch.kspace - batch.mask * fft_centred(batch.coil_maps * batch.image, 2)
    sampled = residual[batch.mask.expand_as(residual)]
    assert sampled.abs().square().mean().sqrt().item() == pytest.approx(0.05, rel=0.05)


def test_a_batch_depends_on_seed_and_step_alone(subjects, pool):
    straight = [CONFIG.sample(pool, seed=3, step=step) for step in range(4)]
    resumed_pool = ImagePool(subjects[:1])
    torch.manual_seed(17)
    state = torch.get_rng_state()
    resumed = [CONFIG.sample(resumed_pool, seed=3, step=step) for step in (3, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(straight[3], resumed[0])
    assert equal(straight[2], resumed[1])
    assert not equal(straight[0], straight[1])
    assert not equal(straight[0], CONFIG.sample(pool, seed=4, step=0))


def test_held_out_files_are_never_sampled(subjects, pool):
    def has_fast_stripes(image):
        energy = torch.fft.fft2(image - image.mean()).abs().square()
        low = torch.fft.fftfreq(64).abs() < 0.1
        return energy[low][:, low].sum() < 0.5 * energy.sum()

    config = CONFIG.model_copy(update={"size": (64, 64), "batch_size": 8})
    batches = [config.sample(pool, seed=0, step=step) for step in range(5)]
    crops = torch.cat([batch.image for batch in batches])[:, 0].abs()
    assert not any(has_fast_stripes(crop) for crop in crops)
    both = config.sample(ImagePool(subjects), seed=0, step=0).image[:, 0].abs()
    assert any(has_fast_stripes(crop) for crop in both)


def test_validation_set_is_fixed_and_of_whole_slices(subjects):
    first = CONFIG.validation(subjects, seed=1, count=5, size=(40, 50))
    again = CONFIG.validation(subjects, seed=1, count=5, size=(40, 50))
    other = CONFIG.validation(subjects, seed=2, count=5, size=(40, 50))
    assert len(first) == 5
    assert all(scan.image.shape == (1, 1, 40, 50) for scan in first)
    assert all(map(equal, first, again))
    assert not equal(first[0], other[0])
    # Slices of 60 × 50 are turned to lie along the longer side and shrunk to 40 × 48.
    shown = first[0].image[0, 0].abs() > 0.01
    assert shown.any(1).sum() == 40
    assert shown.any(0).sum() == 48


def test_lines_keep_part_of_the_budget_outside_the_calibration(pool):
    config = CONFIG.model_copy(
        update={"mask_kinds": {"equispaced": 1.0}, "accelerations": (5.0, 5.0)}
    )
    batch = config.sample(pool, seed=0, step=0)
    # 20 columns at 5x leave 4 lines, of which at most 2 are calibration.
    lines = batch.mask[:, 0].all(1)
    assert (lines.sum(1) == 4).all()
    assert (batch.mask[:, 0].any(1) == lines).all()
    assert lines[:, 9:11].all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"coils": (8, 4)},
        {"accelerations": (0.5, 4)},
        {"sigma": (0, 0.1)},
        {"mask_kinds": {}},
        {"mask_kinds": {"spiral": 1.0}},
        {"calibration": (60, 60), "size": (64, 48)},
        {"colis": (4, 8)},
    ],
)
def test_configurations_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ParallelMRISimulation(**wrong)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_maps_end_around_the_object_where_asked(tmp_path, share):
    image = np.zeros((2, 60, 50))
    image[:, 20:40, 15:35] = 1 + 0.1 * np.random.default_rng(0).random((2, 20, 20))
    np.savez(tmp_path / "square.npz", a=image)
    config = CONFIG.model_copy(update={"support_share": share, "size": (56, 56)})
    batch = config.sample(ImagePool([tmp_path / "square.npz"]), seed=0, step=0)
    seen = (batch.coil_maps != 0).any(1, keepdim=True)
    assert seen.all() == (share == 0)
    assert seen[batch.image.abs() > 0.2].all()
    assert (batch.image[~seen] == 0).all()


@pytest.mark.parametrize("simulation", [CONFIG, VOLUMES])
def test_of_an_empty_image_noise_is_measured_everywhere(simulation):
    """Crops may lie beside the object; maps that ended around nothing would stop a training."""
    simulation = simulation.model_copy(update={"support_share": 1.0})
    nothing = torch.zeros(1, 1, *simulation.size)
    batch = simulation.simulate(nothing, make_generator(0))
    assert (batch.coil_maps != 0).any(1).all()
    assert batch.A.H(batch.y).abs().max() > 0
