from dataclasses import asdict

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.varied_mri import VariedMRISimulation
from molrecon.operators.fourier import fft_centred

SMALL = VariedMRISimulation(
    size=(24, 24),
    largest=(48, 56),
    pixels=2000,
    coils=(1, 8),
    coil_pixels=12000,
    calibration=(4, 8),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("varied") / "person.npz"
    y, x = np.mgrid[-1:1:80j, -1:1:70j]
    images = (x**2 + y**2 < 0.7) * (1 + 0.3 * np.sin(20 * x))
    np.savez(path, T1w=np.stack([images] * 3))
    return path


@pytest.fixture(scope="module")
def batches(file):
    pool = SMALL.pool([file])
    return [SMALL.sample(pool, seed=0, step=step) for step in range(60)]


def test_batches_depend_on_seed_and_step_alone(file, batches):
    pool = SMALL.pool([file])
    again = SMALL.sample(pool, seed=0, step=7)
    for one, two in zip(asdict(batches[7]).values(), asdict(again).values(), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(again.sigma, SMALL.sample(pool, seed=1, step=7).sigma)


def test_sizes_coil_counts_and_noise_cover_their_ranges_within_the_budget(batches):
    sides, coils = set(), set()
    for batch in batches:
        count, coil, *size = batch.kspace.shape
        assert all(low <= n <= high for low, n, high in zip(SMALL.size, size, SMALL.largest))  # noqa: B905
        assert count * size[0] * size[1] <= 2 * SMALL.pixels
        assert coil == 1 or coil * count * size[0] * size[1] <= SMALL.coil_pixels
        sides |= set(size)
        coils.add(coil)
    assert sides >= {24, 32, 40, 48}
    assert len(coils) > 3
    sigma = torch.cat([batch.sigma for batch in batches])
    assert sigma.min() >= SMALL.sigma[0] * 0.999
    assert sigma.max() <= SMALL.sigma[1] * 1.001
    assert sigma.max() / sigma.min() > 100


def test_what_was_measured_is_the_image_on_the_known_maps_but_for_their_faults(file):
    # Exact maps, known everywhere: y − A x is noise of the level that is said.
    exact = SMALL.model_copy(update={"estimated_share": 0.0, "support_share": 0.0})
    pool = exact.pool([file])
    for step in range(10):
        batch = exact.sample(pool, seed=3, step=step)
        rest = (batch.y - batch.A(batch.image)).abs().square().sum((1, 2, 3))
        samples = batch.mask.sum((1, 2, 3)) * batch.kspace.shape[1]
        level = (rest / samples).sqrt()
        torch.testing.assert_close(level, batch.sigma, rtol=0.2, atol=1e-6)


def test_target_is_free_of_noise(file):
    # Without noise a full scan on the known maps is the target, whatever their faults.
    clean = SMALL.model_copy(update={"sigma": (1e-9, 1e-9), "estimated_share": 1.0})
    pool = clean.pool([file])
    for step in range(10):
        batch = clean.sample(pool, seed=0, step=step)
        torch.testing.assert_close(batch.full_scan, batch.image, rtol=0, atol=1e-5)


def test_acceleration_is_what_the_coils_allow_and_all_kinds_of_masks_come(batches):
    kinds = set()
    for batch in batches:
        for mask in batch.mask[:, 0]:
            lines = [bool((mask == mask.select(axis, 0).unsqueeze(axis)).all()) for axis in (0, 1)]
            kinds.add(tuple(lines))
            assert mask[mask.shape[0] // 2, mask.shape[1] // 2]
            least = 1 / min(SMALL.accelerations[1], 2 + batch.kspace.shape[1])
            # Partial Fourier leaves out up to 0.4 of the samples.
            assert mask.float().mean() > 0.4 * least
    assert {(False, False), (False, True), (True, False)} <= kinds


def test_validation_is_at_the_level_asked_for(file):
    at = SMALL.at(sigma=0.02, acceleration=2.0)
    batch = at.validation([file], seed=0, count=1, size=(40, 32))[0]
    assert batch.sigma.item() == pytest.approx(0.02)
    full = fft_centred(batch.coil_maps * batch.image, 2)
    assert full.shape == batch.kspace.shape


def test_single_coils_have_the_trivial_map(file):
    one = SMALL.model_copy(update={"coils": (1, 1), "support_share": 0.0})
    batch = one.simulate(torch.rand(2, 1, 32, 24), make_generator(0))
    torch.testing.assert_close(batch.coil_maps.abs(), torch.ones(2, 1, 32, 24))


@pytest.mark.parametrize("largest", [(16, 64), (64,)])
def test_largest_crops_below_the_smallest_are_refused(largest):
    with pytest.raises(ValidationError, match="largest"):
        VariedMRISimulation(size=(32, 32), largest=largest)
