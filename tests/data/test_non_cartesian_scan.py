from dataclasses import replace

import pytest
import torch

from molrecon.data.check.samples import check_samples
from molrecon.data.gridded_centre import central_width, gridded_centre
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.simulation import simulate_coil_maps
from molrecon.data.trajectories import make_trajectory, radial_trajectory, spiral_trajectory
from molrecon.errors import InputError
from molrecon.operators.fourier import centred_slices, fft_centred
from molrecon.operators.non_cartesian_mri import NonCartesianMRI

from ..support import normal

SHAPE = (32, 36)


def scan_of(trajectory, coils=4, **changes):
    """Noise-free samples of a smooth object behind coil maps."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    image = torch.sigmoid(12 * (0.7 - torch.hypot(y, x)))[None, None] + 0j
    maps = simulate_coil_maps(SHAPE, coils, generator=torch.Generator().manual_seed(0))[None]
    samples = NonCartesianMRI(maps, trajectory)(image)
    return NonCartesianScan(samples, trajectory, SHAPE, **changes), image, maps


@pytest.mark.parametrize("kind", ["radial", "golden-angle", "spiral"])
def test_the_centre_on_the_grid_is_that_of_the_coil_images(kind):
    trajectory = make_trajectory(kind, SHAPE, 1)
    scan, image, maps = scan_of(trajectory)
    centre = gridded_centre(scan.kspace.flatten(2), trajectory.reshape(-1, 2), SHAPE)
    whole = fft_centred(maps * image, 2)
    width = centre.shape[-1]
    expected = whole[(..., *centred_slices(SHAPE, (width, width)))]
    factor = torch.vdot(centre.flatten(), expected.flatten()) / centre.norm() ** 2
    assert width == central_width(trajectory.reshape(-1, 2), SHAPE) >= 16
    assert (factor * centre - expected).norm() < 0.03 * expected.norm()


def test_the_centre_of_few_spokes_is_as_wide_as_they_are_dense():
    # At the distance r, n spokes are πr/n apart, and a point between two is half as far from each:
    # the corner of a block of width w is the first that no sample shows.
    for n in (14, 20, 28):
        width = central_width(radial_trajectory((96, 96), n).reshape(-1, 2), (96, 96))
        assert width <= 24
        assert width >= min(24, int(2 * 0.8 * 2 * n / torch.pi / 2**0.5) - 1)
    with pytest.raises(InputError, match="give the coil maps"):
        central_width(radial_trajectory((96, 96), 3).reshape(-1, 2), (96, 96))


def test_frames_are_parts_of_the_lines():
    trajectory = radial_trajectory(SHAPE, 12, golden=True)
    scan, _, _ = scan_of(trajectory)
    frames = scan.in_frames(5, step=3)
    assert frames.shape == (3, *SHAPE)
    assert frames.axes.time
    for number, start in enumerate((0, 3, 6)):
        one = frames.frame(number)
        assert torch.equal(one.kspace, scan.kspace[:, :, start : start + 5])
        assert torch.equal(one.trajectory, trajectory[start : start + 5])
    with pytest.raises(InputError, match="has 12 lines"):
        scan.in_frames(13)
    with pytest.raises(InputError, match="no slice of lines"):
        frames.in_frames(2)


def test_frames_leave_no_lines_out_between_them_and_say_how_many_at_the_end():
    scan, _, _ = scan_of(radial_trajectory(SHAPE, 12, golden=True))
    with pytest.raises(InputError, match="expected from 1 to 5 lines from one frame to the next"):
        scan.in_frames(5, step=6)
    with pytest.raises(InputError, match="expected from 1 to 5 lines from one frame to the next"):
        scan.in_frames(5, step=0)
    with pytest.raises(InputError, match="frames of 0 lines were asked for"):
        scan.in_frames(0)
    frames = scan.in_frames(5)
    assert frames.unframed == 2
    assert frames.lines_text.endswith("(2 lines are in no frame)")
    assert scan.in_frames(4).unframed == 0
    assert "no frame" not in frames.frame(0).lines_text


def test_frames_of_one_straight_line_are_refused():
    scan, _, _ = scan_of(radial_trajectory(SHAPE, 12, golden=True))
    with pytest.raises(InputError, match="one straight line"):
        scan.in_frames(1)
    with pytest.raises(InputError, match=r"the file calls its lines frames \(dynamic\)"):
        replace(scan, shape=(12, *SHAPE))
    arms, _, _ = scan_of(spiral_trajectory(SHAPE, 4))
    assert len(arms.in_frames(1).trajectory) == 4


def test_the_share_of_a_complete_grid_is_all():
    axes = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (8, 6))
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    scan = NonCartesianScan(normal(1, 2, 8, 6, dtype=torch.complex64), grid, (8, 6))
    assert scan.share == 1
    assert NonCartesianScan(scan.kspace[:, :, ::2], grid[::2], (8, 6)).share == 0.5


@pytest.mark.parametrize(
    ("change", "name", "severity"),
    [
        (lambda y: y, None, None),
        (lambda y: y.roll(y.shape[-1] // 2, -1), "trajectory", "refused"),
        (lambda y: normal(*y.shape, dtype=y.dtype), "trajectory", "warning"),
        (lambda y: y.roll(5, -1), "delays", "warning"),
        (lambda y: y * (torch.arange(4) > 0)[:, None, None], "coils", "warning"),
    ],
)
def test_samples_that_are_not_where_the_trajectory_says_are_found(change, name, severity):
    scan, _, _ = scan_of(radial_trajectory(SHAPE, 40))
    made = NonCartesianScan(change(scan.kspace), scan.trajectory, SHAPE)
    found = {one.name: one.severity for one in check_samples(made).findings}
    assert found.get(name, severity) in (severity, "refused")
    assert bool(found) == (name is not None)


def test_a_spike_and_a_missing_centre_are_found():
    scan, _, maps = scan_of(radial_trajectory(SHAPE, 40))
    kspace = scan.kspace.clone()
    kspace[0, 0, 3, 7] += 1e3
    spiked = NonCartesianScan(kspace, scan.trajectory, SHAPE)
    assert "spikes" in {one.name for one in check_samples(spiked).findings}
    few, _, _ = scan_of(radial_trajectory(SHAPE, 4))
    assert check_samples(few).contradictions[0].name == "centre"
    given = NonCartesianScan(few.kspace, few.trajectory, SHAPE, coil_maps=maps)
    assert not check_samples(given).contradictions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kspace": torch.ones(1, 4, 5, 72) + 0j}, r"has 12 × 72 positions, but 5 × 72 samples"),
        ({"shape": (16, 16)}, "reaches 18 cycles per field of view along axis 1"),
        ({"shape": (5, *SHAPE)}, r"correct the matrix \(matrix\)"),
        ({"coil_maps": torch.ones(1, 3, *SHAPE) + 0j}, "coil maps of the scan: found"),
        ({"sigma": -1.0}, "expected a positive number"),
        ({"kspace": torch.full((1, 4, 12, 72), torch.nan) + 0j}, "NaN"),
        ({"kspace": torch.ones(1, 4, 12, 72)}, "expected complex64"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    arguments = {
        "kspace": torch.ones(1, 4, 12, 72) + 0j,
        "trajectory": radial_trajectory(SHAPE, 12),
        "shape": SHAPE,
    }
    with pytest.raises(InputError, match=words):
        NonCartesianScan(**arguments | changes)
