"""Lines that lie elsewhere than the trajectory says: found, and right ones left alone."""

import math
from dataclasses import replace

import pytest
import torch

from molrecon import SENSE, NonCartesianMRI, NonCartesianScan, radial_trajectory, reconstruct
from molrecon.data.check.line_agreement import CloseLines, _LeftOut
from molrecon.data.check.lines import CERTAIN, DOUBTFUL, LEAST, ONE, ONE_LEAST, agreement_of
from molrecon.data.check.peaks import delay_of_peaks
from molrecon.data.check.samples import check_samples
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.data.trajectories import make_trajectory, turned
from molrecon.errors import InputError

SHAPE = (48, 48)
KINDS = ("radial", "golden-angle", "spiral")


def measured(kind="golden-angle", acceleration=3.0, coils=4, sigma=0.01, seed=0, **changes):
    """A scan of some ellipses with a slow phase, which lie anywhere in the field of view."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    image = torch.zeros(SHAPE)
    for _ in range(5):
        a, b, c, d, size = torch.rand(5, generator=generator)
        radius = torch.hypot((y - a + 0.5) / (0.2 + 0.4 * c), (x - b + 0.5) / (0.2 + 0.4 * d))
        image = image + (0.3 + size) * torch.sigmoid(12 * (1 - radius))
    phase = torch.rand(3, generator=generator)
    image = torch.polar(image / image.max(), 2 * phase[0] + phase[1] * x - phase[2] * y)
    maps = torch.ones(1, 1, *SHAPE, dtype=torch.complex64)
    if coils > 1:
        maps = simulate_coil_maps(SHAPE, coils, generator=generator)[None]
    trajectory = make_trajectory(kind, SHAPE, acceleration)
    samples = NonCartesianMRI(maps, trajectory)(image[None, None])
    samples = add_noise(samples, sigma, generator=generator)
    return NonCartesianScan(samples, trajectory, SHAPE, **changes), maps


def shuffled(trajectory, seed=0):
    return trajectory[
        torch.randperm(len(trajectory), generator=torch.Generator().manual_seed(seed))
    ]


def found(scan):
    return {one.name: one for one in check_samples(scan).findings}


@pytest.mark.parametrize("kind", KINDS)
def test_right_and_shuffled_lines_lie_far_apart_on_both_sides_of_the_threshold(kind):
    right, wrong, single = [], [], []
    for seed in range(16):
        acceleration = (1.2, 2, 4, 8)[seed % 4]
        coils, sigma = (1, 2, 6, 12)[seed // 4], (1e-4, 3e-3, 1e-2, 5e-2)[(seed + seed // 4) % 4]
        scan, _ = measured(kind, acceleration, coils, sigma, seed)
        own = agreement_of(scan)
        other = agreement_of(replace(scan, trajectory=shuffled(scan.trajectory, seed)))
        assert own.told(LEAST)
        assert other.told(LEAST)
        right.append(own.unexplained)
        wrong.append(other.unexplained)
        single += own.apart(ONE / 2, ONE_LEAST)
    assert max(right) < DOUBTFUL / 3
    assert min(wrong) > DOUBTFUL * 3
    assert sorted(wrong)[1] > CERTAIN
    assert not single


def test_what_is_predicted_is_the_fit_of_the_other_lines():
    scan, _ = measured()
    places = scan.trajectory[:, 40:56]
    y = scan.kspace[0].to(torch.complex128).permute(1, 2, 0)[:, 40:56]
    noise, width = 1e-2, 16
    errors = _LeftOut(places, noise).errors(y)
    grid = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / width
    pixels = torch.cartesian_prod(grid, grid)
    waves = torch.exp(-2j * math.pi * (places @ pixels.T)) / width
    for line in (0, 7):
        others = [one for one in range(len(y)) if one != line]
        rows, values = waves[others].flatten(0, 1), y[others].flatten(0, 1)
        normal = rows.mH @ rows + noise * torch.eye(width**2)
        fit = torch.linalg.solve(normal, rows.mH @ values)
        expected = y[line] - waves[line] @ fit
        assert torch.allclose(errors[line], expected, atol=1e-6 * float(y.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_lines_in_another_order_are_refused_and_never_proved(kind):
    scan, _ = measured(kind)
    wrong = replace(scan, trajectory=shuffled(scan.trajectory))
    assert found(wrong)["lines"].severity == "refused"
    with pytest.raises(InputError, match="another order"):
        reconstruct(wrong, SENSE(1), device="cpu")
    known = {"device": "cpu", "tol": 1e-2}
    assert not reconstruct(wrong, SENSE(1), force=True, **known).guarantee.proved
    assert reconstruct(scan, SENSE(1), **known).guarantee.proved


def test_other_angles_and_directions_are_found():
    scan, _ = measured("golden-angle")
    count = len(scan.trajectory)
    others = {
        "even angles": radial_trajectory(SHAPE, count),
        "a quarter more": _spokes(count, 137.5),
        "the small golden angle": _spokes(count, 68.75),
        "every other line turned round": torch.where(
            (torch.arange(count) % 2 == 0)[:, None, None], scan.trajectory, -scan.trajectory
        ),
    }
    for name, trajectory in others.items():
        assert found(replace(scan, trajectory=trajectory))["lines"].severity == "refused", name


def _spokes(count, degrees):
    angles = torch.arange(count, dtype=torch.float64) * math.radians(degrees)
    along = torch.arange(96, dtype=torch.float64) / 96 - 0.5
    return torch.stack([angles.sin(), angles.cos()], -1)[:, None] * along[None, :, None] * 48


@pytest.mark.parametrize("line", [3, 17])
def test_a_single_wrong_line_is_named_and_nothing_is_proved(line):
    scan, _ = measured("golden-angle", acceleration=2)
    trajectory = scan.trajectory.clone()
    trajectory[line] = -trajectory[line]
    wrong = replace(scan, trajectory=trajectory)
    warning = found(wrong)["lines"]
    assert warning.severity == "warning"
    assert f"the line {line} is not what" in warning.seen
    assert not reconstruct(wrong, SENSE(1), device="cpu", tol=1e-2).guarantee.proved


def test_spokes_moved_on_by_one_leave_one_that_runs_the_other_way():
    scan, _ = measured("radial", coils=6)
    warning = found(replace(scan, trajectory=scan.trajectory.roll(1, 0)))["lines"]
    assert warning.severity == "warning"


def test_what_all_lines_have_in_common_is_not_seen():
    """Such a trajectory is right for an object that is turned, mirrored or transposed."""
    scan, _ = measured("golden-angle")
    own = agreement_of(scan)
    for change in (
        scan.trajectory.flip(-1),
        -scan.trajectory,
        scan.trajectory * torch.tensor([1.0, -1.0]),
        turned(scan.trajectory, SHAPE, math.pi / 2),
    ):
        other = agreement_of(replace(scan, trajectory=change))
        # Which of the samples of equal distance give the noise is a matter of rounding.
        assert torch.allclose(own.own, other.own, rtol=0.03)
        assert torch.allclose(own.other, other.other, rtol=0.03)


def test_coil_maps_see_axes_that_are_exchanged_or_mirrored():
    scan, maps = measured("golden-angle", coils=6)
    given = replace(scan, coil_maps=maps)
    assert not found(given)
    for change, words in (
        (scan.trajectory.flip(-1), "y and x exchanged"),
        (scan.trajectory * torch.tensor([1.0, -1.0]), "mirrored along x"),
    ):
        finding = found(replace(given, trajectory=change))["coil maps"]
        assert finding.severity == "refused"
        assert words in finding.seen
        assert "trajectory" in finding.settle
    frames = given.in_frames(20, 10)
    assert not found(frames)
    assert "coil maps" in found(replace(frames, trajectory=frames.trajectory.flip(-1)))


@pytest.mark.parametrize("kind", ["radial", "golden-angle"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_delay_is_told_with_its_size(kind, by):
    scan, _ = measured(kind, acceleration=2)
    late = replace(scan, kspace=scan.kspace.roll(by, -1))
    finding = found(late)["delays"]
    assert finding.severity == "warning"
    assert f"moved by {-by:+g} samples" in finding.seen


def of_phase(kind, vector, coils=4, sigma=0.01, flat=False):
    """A scan of an object with a linear phase, by cycles per field of view along y and x."""
    scan, maps = measured(kind, 2, coils)
    y, x = torch.meshgrid(*(torch.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    image = torch.sigmoid(8 * (1 - torch.hypot(y / 14, x / (14 if flat else 10)))) + 0j
    if not flat:
        image = image + 0.6 * torch.sigmoid(8 * (1 - torch.hypot((y - 6) / 4, (x + 5) / 5)))
    phase = torch.exp(2j * math.pi * (vector[0] * y / SHAPE[0] + vector[1] * x / SHAPE[1]))
    made = NonCartesianMRI(maps, scan.trajectory)((image * phase).to(maps.dtype)[None, None])
    made = add_noise(made, sigma, generator=torch.Generator().manual_seed(0))
    return replace(scan, kspace=made)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vector", [(3, 0), (-2, 2.5)])
@pytest.mark.parametrize("coils", [1, 4])
def test_a_linear_phase_of_the_object_is_no_delay(kind, vector, coils):
    assert not found(of_phase(kind, vector, coils))


def test_a_phase_is_no_delay_where_lines_are_too_alike_to_be_compared():
    """There the peaks are all that tells: an object's lie at a vector, a delay's at a distance."""
    loud = {"coils": 1, "sigma": 0.5, "flat": True}
    moved = of_phase("golden-angle", (0, 3), **loud)
    power = moved.kspace.abs().square().sum((0, 1))
    assert delay_of_peaks(power, moved.trajectory) is None
    late = of_phase("golden-angle", (0, 0), **loud).kspace.roll(5, -1)
    power = late.abs().square().sum((0, 1))
    assert abs(delay_of_peaks(power, moved.trajectory) - 5) < 0.5
    both = moved.kspace.roll(-5, -1).abs().square().sum((0, 1))
    assert abs(delay_of_peaks(both, moved.trajectory) + 5) < 1


@pytest.mark.parametrize("by", [-10, 10])
def test_a_large_delay_is_told_by_the_peaks(by):
    scan, _ = measured("golden-angle", acceleration=2)
    finding = found(replace(scan, kspace=scan.kspace.roll(by, -1)))["delays"]
    assert f"moved by {-by:+g} samples" in finding.seen


def wrong_arms(trajectory, case):
    changed = trajectory.clone()
    if case == "another arm":
        changed[5] = trajectory[12]
    elif case == "the other way":
        changed[5] = -trajectory[5]
    elif case == "two exchanged":
        changed[[5, 12]] = trajectory[[12, 5]]
    else:
        changed[[5, 6]] = trajectory[[6, 5]]
    return changed


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ("another arm", "the line 5 is not"),
        ("the other way", "the line 5 is not"),
        ("two exchanged", "the lines 5, 12 are not"),
        ("neighbours exchanged", "the lines 5, 6 are not"),
    ],
)
def test_few_wrong_arms_of_a_spiral_are_named(case, named):
    scan, _ = measured("spiral", coils=8)
    wrong = found(replace(scan, trajectory=wrong_arms(scan.trajectory, case)))
    assert wrong["lines"].severity == "warning"
    assert named in wrong["lines"].seen
    assert "delays" not in wrong


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_another_phase_is_named(kind):
    scan, _ = measured(kind, coils=8)
    kspace = scan.kspace.clone()
    kspace[:, :, 5] *= -1
    assert "the line 5 is not" in found(replace(scan, kspace=kspace))["lines"].seen


@pytest.mark.parametrize("kind", KINDS)
def test_empty_lines_are_named_and_nothing_else_is_found(kind):
    scan, maps = measured(kind, coils=8)
    kspace = scan.kspace.clone()
    kspace[:, :, 5] = 0
    findings = found(replace(scan, kspace=kspace, coil_maps=maps))
    assert list(findings) == ["empty lines"]
    assert "the line 5 holds zeros alone" in findings["empty lines"].seen


def test_it_is_said_where_nothing_can_be_told():
    few, maps = measured("radial", acceleration=30)
    assert "not checked" in found(replace(few, coil_maps=maps))["lines not checked"].meaning
    y, x = torch.meshgrid(*(torch.arange(48.0) - 24 for _ in range(2)), indexing="ij")
    disc = (torch.hypot(y, x) < 16)[None, None] + 0j
    spokes = radial_trajectory(SHAPE, 30)
    alike = NonCartesianMRI(torch.ones(1, 1, *SHAPE) + 0j, spokes)(disc)
    alike = add_noise(alike, 0.003, generator=torch.Generator().manual_seed(0))
    for trajectory in (spokes, shuffled(spokes)):
        note = found(NonCartesianScan(alike, trajectory, SHAPE))["lines not checked"]
        assert note.severity == "note"
        assert "hardly more than noise" in note.seen


def test_a_loud_coil_hides_nothing_and_a_dead_one_is_no_trouble():
    scan, _ = measured("golden-angle", coils=4)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(scan.kspace[:, 0].shape, dtype=torch.complex64, generator=generator)
    kspace = scan.kspace.clone()
    kspace[:, 0] += 3 * noise
    kspace[:, 1] = 0
    loud = replace(scan, kspace=kspace)
    assert agreement_of(loud).unexplained < DOUBTFUL / 3
    assert agreement_of(replace(loud, trajectory=shuffled(scan.trajectory))).unexplained > CERTAIN


def test_frames_are_compared_each_within_itself():
    scan, _ = measured("golden-angle", acceleration=1.2)
    frames = scan.in_frames(12, 6)
    assert not found(frames)
    order = torch.tensor([5, 0, 7, 2, 9, 1, 11, 3, 8, 4, 10, 6])
    assert found(replace(frames, trajectory=frames.trajectory[:, order]))["lines"]


def test_three_dimensions():
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    ways = ways / ways.norm(dim=1, keepdim=True)
    trajectory = ways[:, None] * (torch.arange(32) / 2 - 8)[None, :, None]
    block = torch.zeros(1, 1, 16, 16, 16, dtype=torch.complex64)
    block[..., 3:9, 4:13, 6:14] = 1
    y = NonCartesianMRI(torch.ones_like(block), trajectory)(block)
    y = add_noise(y, 0.003, generator=generator)
    assert CloseLines.of(y, trajectory).agreement().unexplained < DOUBTFUL / 3
    assert CloseLines.of(y, shuffled(trajectory)).agreement().unexplained > CERTAIN
