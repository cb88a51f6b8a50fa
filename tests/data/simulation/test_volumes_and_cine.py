from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from molrecon.data.randomness import make_generator
from molrecon.data.simulation.cine_mri import CineMRISimulation
from molrecon.data.simulation.measured_maps import read_measured_maps, resized_maps, varied_maps
from molrecon.data.simulation.moving_mri import MovingMRISimulation
from molrecon.data.simulation.volume_mri import VolumeMRISimulation
from molrecon.data.volumes import SeriesPool, VolumePool
from molrecon.errors import InputError
from molrecon.operators.dynamic_mri import DynamicMRI

COMMON = {"coils": (3, 4), "accelerations": (2.0, 4.0), "calibration": (3, 6), "masks_per_kind": 3}
VOLUME = VolumeMRISimulation(size=(14, 12, 10), batch_size=2, **COMMON)
CINE = CineMRISimulation(size=(5, 20, 16), batch_size=2, **COMMON)


def ball(shape, radius=0.8):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = sum(axis**2 for axis in axes) < radius
    return inside * (1 + 0.3 * np.sin(7 * axes[-1])) + 0.1 * inside * np.sin(11 * axes[0])


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    for name, shape in {"a": (30, 36, 32), "b": (20, 24, 22)}.items():
        nibabel.save(
            nibabel.Nifti1Image(ball(shape).astype(np.float32), np.eye(4)),
            folder / f"{name}.nii.gz",
        )
    return folder / "a.nii.gz", folder / "b.nii.gz"


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    for name in "ab":
        frames = [ball((40, 36), 0.5 + 0.03 * t) for t in range(9)]
        np.savez(folder / f"{name}.npz", img=np.stack(frames))
    return folder / "a.npz", folder / "b.npz"


def equal(first, second):
    names = first.tensors
    return all(torch.equal(first.tensors[name], second.tensors[name]) for name in names)


def simulated(simulation, files):
    return [simulation.sample(simulation.pool(files), seed=1, step=step) for step in range(6)]


def test_volumes_are_undersampled_along_two_axes_and_read_out_fully(volumes):
    counts = set()
    for batch in simulated(VOLUME, volumes):
        coils = batch.kspace.shape[1]
        counts.add(coils)
        assert batch.image.shape == batch.mask.shape == (2, 1, 14, 12, 10)
        assert batch.coil_maps.shape == (2, coils, 14, 12, 10)
        assert (batch.mask == batch.mask[..., :1]).all()
        share = batch.mask.float().mean((1, 2, 3, 4))
        assert ((share > 0.9 / 4) & (share < 1.1 / 2)).all()
        for mask in batch.mask[:, 0, :, :, 0]:
            assert mask[6:9, 5:8].all()
            assert mask.sum(0).float().std() > 0
            assert mask.sum(1).float().std() > 0
    assert counts == {3, 4}


def test_frames_have_lines_of_their_own_and_share_their_maps(series):
    for batch in simulated(CINE, series):
        coils = batch.kspace.shape[1]
        assert batch.image.shape == batch.mask.shape == (2, 1, 5, 20, 16)
        assert batch.coil_maps.shape == (2, coils, 1, 20, 16)
        assert batch.kspace.shape == (2, coils, 5, 20, 16)
        assert isinstance(batch.A, DynamicMRI)
        assert (batch.mask == batch.mask[..., :1]).all()
        lines = batch.mask[..., 0].sum(3)
        assert (lines == lines[:, :, :1]).all()
        assert (batch.mask[:, :, 0] != batch.mask[:, :, 1]).any()


@pytest.mark.parametrize("simulation", [VOLUME, CINE], ids=["volume", "cine"])
def test_residual_is_the_noise_and_the_full_scan_is_the_image_with_it(simulation, volumes, series):
    files = volumes if simulation is VOLUME else series
    quiet = simulation.model_copy(update={"sigma": (0.05, 0.05)})
    for batch in simulated(quiet, files)[:2]:
        residual = (batch.y - batch.A(batch.image))[batch.mask.expand_as(batch.y)]
        assert residual.abs().square().mean().sqrt().item() == pytest.approx(0.05, rel=0.05)
        seen = (batch.coil_maps != 0).any(1, keepdim=True).expand_as(batch.image)
        noise = (batch.full_scan - batch.image)[seen]
        assert noise.abs().square().mean().sqrt().item() == pytest.approx(0.05, rel=0.1)
        assert (batch.full_scan[~seen] == 0).all()


@pytest.mark.parametrize("simulation", [VOLUME, CINE], ids=["volume", "cine"])
def test_batches_depend_on_seed_and_step_alone(simulation, volumes, series):
    files = volumes if simulation is VOLUME else series
    straight = simulated(simulation, files)
    again = simulation.sample(simulation.pool(files), seed=1, step=4)
    assert equal(straight[4], again)
    assert not equal(straight[4], simulation.sample(simulation.pool(files), seed=2, step=4))


def test_the_phase_changes_little_with_time(series):
    # Over a whole image it turns by several radians.
    config = CINE.model_copy(update={"phase": (1.0, 1.0), "sigma": (1e-6, 1e-6)})
    for batch in simulated(config, series):
        image = batch.image
        turned = (image[:, :, 1:] * image[:, :, :-1].conj()).angle()
        shown = (image[:, :, 1:].abs() > 0.3) & (image[:, :, :-1].abs() > 0.3)
        assert turned[shown].abs().max() < 0.6


def test_validation_is_of_whole_volumes_and_of_middle_frames(volumes, series):
    found = VOLUME.validation(volumes, seed=0, count=5, size=(24, 24, 24))
    assert [tuple(batch.image.shape[2:]) for batch in found] == [(24, 24, 24), (20, 24, 22)]
    assert all(map(equal, found, VOLUME.validation(volumes, seed=0, count=5, size=(24, 24, 24))))
    (one,) = CINE.validation(series, seed=0, count=1, size=(5, 20, 20))
    assert one.image.shape == (1, 1, 5, 20, 20)
    # Frames 2 to 6 of the growing disc, as they are.
    area = (one.image[0, 0].abs() > 0.3).sum((1, 2)).float()
    assert (area.diff() > 0).all()


def test_slices_are_set_in_motion(volumes):
    """Series from files that have none, with all that a cine simulation draws."""
    simulation = MovingMRISimulation(size=(6, 12, 10), batch_size=2, procedural=0.3, **COMMON)
    moving = []
    for batch in simulated(simulation, volumes):
        assert batch.image.shape == batch.mask.shape == (2, 1, 6, 12, 10)
        assert isinstance(batch.A, DynamicMRI)
        moving += [one.abs().std(0).max().item() for one in batch.image[:, 0]]
    assert max(moving) > 0.05
    assert equal(*(simulation.sample(simulation.pool(volumes), seed=1, step=2) for _ in range(2)))
    (one,) = simulation.validation(volumes, seed=0, count=1, size=(6, 12, 10))
    (again,) = simulation.validation(volumes, seed=0, count=1, size=(6, 12, 10))
    assert one.image.shape == (1, 1, 6, 12, 10)
    assert equal(one, again)
    # 22 pixels and a margin of 8 on both sides are more than the smaller volume has.
    with pytest.raises(InputError, match="larger"):
        simulation.pool(volumes[1:]).check((6, 22, 22))


def test_crops_larger_than_the_data_are_refused(volumes, series):
    with pytest.raises(InputError, match=r"200 × 8 × 8 are larger than the volumes"):
        VolumePool(volumes).check((200, 8, 8))
    with pytest.raises(InputError, match="larger than the series"):
        SeriesPool(series).check((10, 8, 8))
    VolumePool(volumes).check((30, 36, 30))
    SeriesPool(series).check((9, 36, 36))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (VolumeMRISimulation, {"size": (24, 24)}),
        (VolumeMRISimulation, {"mask_kinds": {"equispaced": 1.0}}),
        (CineMRISimulation, {"mask_kinds": {"variable-density": 1.0}}),
        (CineMRISimulation, {"calibration": (8, 30), "size": (40, 64, 24)}),
    ],
)
def test_configurations_that_make_no_sense_are_refused(kind, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        kind(**wrong)


def smooth_maps(coils=4, n=24):
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    centres = [(-1, -1), (-1, 1), (1, -1), (1, 1)][:coils]
    parts = [torch.polar(torch.exp(-((y - a) ** 2 + (x - b) ** 2) / 3), a * x) for a, b in centres]
    maps = torch.stack(parts).to(torch.complex64)
    return maps / maps.abs().square().sum(0).sqrt()


def save(maps: torch.Tensor, folder: Path) -> str:
    np.save(folder / "maps.npy", maps.movedim(0, -1).numpy())
    return str(folder / "maps.npy")


def test_measured_maps_are_continued_smoothly_where_they_are_noise(tmp_path):
    maps = smooth_maps(n=64)
    noisy = 2.7 * maps.clone()
    noise = torch.randn(4, 64, 20, dtype=torch.complex64, generator=make_generator(0))
    noisy[:, :, :20] = noise
    read = read_measured_maps(save(noisy, tmp_path))
    assert read.abs().square().sum(0).sub(1).abs().max() < 1e-5
    # Far from the noise they are what was measured, and nowhere is there a jump.
    assert (read - maps)[:, 10:54, 30:54].abs().max() < 0.01
    assert read.diff(dim=2).abs().max() < 0.15
    assert (noise / noise.abs().square().sum(0).sqrt()).diff(dim=2).abs().max() > 1


def test_parts_of_maps_have_the_size_asked_for_and_unit_sum_of_squares():
    maps = smooth_maps()
    for seed in range(4):
        part = varied_maps(maps, (40, 30), generator=make_generator(seed))
        assert part.shape == (4, 40, 30)
        assert part.abs().square().sum(0).sub(1).abs().max() < 1e-5
    torch.testing.assert_close(resized_maps(maps, (24, 24)), maps, atol=1e-5, rtol=1e-5)


def test_series_get_the_measured_maps(series, tmp_path):
    config = CINE.model_copy(update={"coil_maps": save(smooth_maps(), tmp_path)})
    for batch in simulated(config, series)[:2]:
        assert batch.coil_maps.shape == (2, 4, 1, 20, 16)


@pytest.mark.parametrize(
    "array",
    [np.ones((4, 5, 6)), np.ones((4, 5), complex), np.full((2, 4, 4), np.nan + 0j), "text"],
)
def test_what_is_no_set_of_maps_is_refused(array, tmp_path):
    path = tmp_path / "maps.npy"
    if isinstance(array, str):
        path.write_text(array)
    else:
        np.save(path, array)
    with pytest.raises(InputError, match=r"maps\.npy"):
        read_measured_maps(str(path))
