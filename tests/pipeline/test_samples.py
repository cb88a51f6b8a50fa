from dataclasses import replace

import pytest
import torch

from molrecon import SENSE, NonCartesianScan, Preparation, Scan, radial_trajectory, reconstruct
from molrecon.data.formats.samples import write_samples
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.errors import InputError
from molrecon.evaluation.metrics import psnr
from molrecon.linear.status import Status
from molrecon.operators.non_cartesian_mri import NonCartesianMRI

SHAPE, SIGMA = (32, 32), 0.01


@pytest.fixture(scope="module")
def made():
    """A scan along spokes of a disc with a bar, its image and its maps."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    disc = torch.sigmoid(20 * (0.8 - torch.hypot(y, x)))
    image = (disc * (0.6 + 0.4 * ((x - 0.1).abs() < 0.15)))[None, None] + 0j
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(SHAPE, 6, generator=generator)[None]
    A = NonCartesianMRI(maps, radial_trajectory(SHAPE, 24, golden=True))
    y = add_noise(A(image), SIGMA, generator=generator)
    return NonCartesianScan(y, A.trajectory, SHAPE), image, maps


def test_a_scan_along_spokes_becomes_its_image(made, model):
    scan, image, maps = made
    found = reconstruct(scan, "tikhonov", device="cpu")
    assert psnr(found.image, image).value > 25
    assert sorted(found.assumed) == ["coil maps", "noise"]
    assert abs(found.facts()["noise"]["sigma"] / SIGMA - 1) < 0.15
    assert found.guarantee.proved
    assert "24 lines of 64 samples" in str(found)
    given = replace(scan, coil_maps=maps, sigma=SIGMA)
    known = reconstruct(given, model=model, device="cpu")
    assert not known.assumed
    assert known.facts()["error_bound"] <= 1e-3


def test_the_answer_is_that_of_the_operator_in_python(made):
    scan, _, maps = made
    given = replace(scan, coil_maps=maps, sigma=SIGMA)
    found = reconstruct(given, SENSE(10), tol=1e-4, device="cpu")
    expected = SENSE(10)(scan.kspace, NonCartesianMRI(maps, scan.trajectory), tol=1e-4)
    assert torch.equal(found.image, expected.value)


def test_slices_and_frames_are_solved_one_by_one(made, model, tmp_path):
    scan, _, _ = made
    both = replace(scan, kspace=torch.cat([scan.kspace, 2 * scan.kspace]))
    one, two = (reconstruct(one, "sense", device="cpu") for one in (scan, both))
    assert torch.allclose(two.image[1], 2 * two.image[0], rtol=1e-4, atol=1e-5)
    assert torch.allclose(one.image[0], two.image[0], rtol=1e-4, atol=1e-5)
    frames = scan.in_frames(12)
    write_samples(tmp_path / "frames.npz", frames)
    series = reconstruct(
        tmp_path / "frames.npz", model=model, device="cpu", output=tmp_path / "a.npz"
    )
    assert series.image.shape == (1, 1, 2, *SHAPE)
    assert series.places == ("series 0, frame 0", "series 0, frame 1")
    assert series.taken_apart
    frame = reconstruct(series_frame(frames, 1), model=model, sigma=SIGMA, device="cpu")
    whole = reconstruct(frames, model=model, sigma=SIGMA, device="cpu")
    assert torch.allclose(whole.image[:, :, 1].abs(), frame.image.abs(), atol=0.2)


def series_frame(frames, number):
    return frames.frame(number)


def test_noise_samples_whiten_the_coils(made):
    scan, _, _ = made
    generator = torch.Generator().manual_seed(3)
    mixing = torch.eye(6) + 0.3 * torch.rand(6, 6, generator=generator)
    noise = torch.randn(6, 4000, generator=generator, dtype=torch.complex64) * SIGMA
    coloured = torch.tensordot(mixing + 0j, noise, 1)
    found = reconstruct(replace(scan, noise=coloured), "sense", device="cpu")
    assert next(step for step in found.steps if step.name == "prewhitening").taken
    assert found.noises[0] is None


def test_a_noise_map_and_a_contradiction(made):
    scan, _, maps = made
    given = replace(scan, coil_maps=maps, sigma=SIGMA)
    found = reconstruct(given, SENSE(10), noise_draws=4, share=True, device="cpu")
    assert found.share_map.shape == found.image.shape
    assert 0.5 < found.facts()["share_map"]["median"] <= 1
    assert found.noise_map.shape == found.image.shape
    assert found.snr_map.shape == found.image.shape
    assert found.g_factor_map is None
    with pytest.raises(InputError, match=r"no map of the g-factor .* samples on a grid"):
        found.save_map("g-factor", "g.npy")
    wrong = replace(given, kspace=given.kspace.roll(32, -1))
    with pytest.raises(InputError, match="The data check refuses"):
        reconstruct(wrong, "sense", device="cpu")
    forced = reconstruct(wrong, "sense", force=True, device="cpu")
    assert not forced.guarantee.proved


def test_what_cannot_be_done_is_refused(made):
    scan, _, _ = made
    with pytest.raises(InputError, match="strength is auto"):
        reconstruct(scan, "tikhonov", strength="auto", device="cpu")
    with pytest.raises(InputError, match=r"intensity is given, but .* is not Cartesian"):
        reconstruct(scan, "sense", intensity=True, device="cpu")
    with pytest.raises(InputError, match="coils is given"):
        reconstruct(scan, "sense", preparation=Preparation(coils=2), device="cpu")
    few = NonCartesianScan(scan.kspace[:, :, :3], scan.trajectory[:3], SHAPE)
    with pytest.raises(InputError, match=r"shows the centre .* \(coil_maps\)"):
        reconstruct(few, "sense", device="cpu")
    with pytest.raises(InputError, match="the axes y, x, but brain3d-planes"):
        reconstruct(scan, model="brain3d-planes", device="cpu")


def test_a_limit_of_time_ends_a_solve_with_the_bound_that_it_reached(made, model):
    scan, _, maps = made
    given = replace(scan, coil_maps=maps, sigma=SIGMA).in_frames(12, 6)
    exact = reconstruct(given, model=model, tol=1e-6, device="cpu")
    hasty = reconstruct(given, model=model, latency=1e-6, device="cpu")
    for one, other in zip(hasty.solutions, exact.solutions, strict=True):
        assert int(one.iterations) == 1
        assert one.status == (Status.TIME_LIMIT,)
        away = (one.value - other.value).norm() / one.value.norm()
        assert 1e-3 < float(away) <= float(one.error_bound)
    assert hasty.facts()["status"] == "time limit"
    solve = dict(hasty.summary())["Solve"]
    assert solve.startswith("time limit: 1 iterations")
    assert "the limit of its time" in solve.lower()
    assert "iteration limit" not in str(hasty)
    patient = reconstruct(given, model=model, latency=1e6, device="cpu")
    assert patient.facts()["status"] == "converged"
    assert patient.facts()["error_bound"] <= 1e-3


def test_a_frame_begins_at_the_one_before(made, model):
    scan, _, maps = made
    given = replace(scan, coil_maps=maps, sigma=SIGMA)
    still = replace(
        given,
        kspace=torch.stack([given.kspace] * 2, 2),
        trajectory=torch.stack([given.trajectory] * 2),
        shape=(2, *SHAPE),
        coil_maps=maps.unsqueeze(2),
    )
    first, second = reconstruct(still, model=model, device="cpu").solutions
    assert second.network_evaluations < first.network_evaluations


def test_a_limit_of_time_is_for_equations_and_lines(made, model):
    scan, _, _ = made
    with pytest.raises(InputError, match=r"latency is 1, but .* has no bound"):
        reconstruct(scan, "sense", latency=1, device="cpu")
    with pytest.raises(InputError, match="latency is -1"):
        reconstruct(scan, model=model, latency=-1, device="cpu")
    grid = Scan(torch.ones(1, 2, 8, 8, dtype=torch.complex64))
    with pytest.raises(InputError, match="expected a scan along lines"):
        reconstruct(grid, model=model, latency=1, device="cpu")


@pytest.mark.parametrize("unit", [1e-36, 1e-20, 1e20, 1e34])
def test_no_unit_of_the_samples_matters(made, model, unit):
    """Coil maps, noise and image are those of the same scan in another unit."""
    scan, _, _ = made
    other = replace(scan, kspace=(scan.kspace.to(torch.complex128) * unit).to(torch.complex64))
    one, two = (reconstruct(each, model=model, device="cpu") for each in (scan, other))
    scaled = two.image.to(torch.complex128) / unit
    assert (scaled - one.image).norm() < 1e-4 * one.image.norm()
    assert two.facts()["noise"]["sigma"] == pytest.approx(unit * one.facts()["noise"]["sigma"])
    assert two.guarantee.proved == one.guarantee.proved


@pytest.mark.parametrize("part", ["real", "imag", "magnitude"])
def test_one_part_of_the_samples_is_no_scan(made, part):
    scan, _, _ = made
    values = {"real": scan.kspace.real, "imag": 1j * scan.kspace.imag}
    half = replace(scan, kspace=values.get(part, scan.kspace.abs()) + 0j)
    with pytest.raises(InputError, match=r"all values of k-space are (real|imaginary)"):
        reconstruct(half, "sense", device="cpu")
