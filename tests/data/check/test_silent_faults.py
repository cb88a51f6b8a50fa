"""Faults under which an equation is solved as exactly as ever, and the image is wrong."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molrecon import Scan, check, make_mask, simulate_acquisition
from molrecon.data.check.calibration import correlation
from molrecon.data.check.coils import dead_coils
from molrecon.data.check.maps import coils_apart, low_resolution
from molrecon.data.check.spikes import find_spikes
from molrecon.data.sample_image import sample_image
from molrecon.operators.fourier import fft_centred, ifft_centred

sys.path.insert(0, str(Path(__file__).parent))

from faulty_scans import FULL, measure

SHAPE = (64, 56)


@pytest.fixture(scope="module")
def lines():
    return measure(shape=SHAPE, calibration=16, acceleration=2, seed=1)


@pytest.fixture(scope="module")
def full():
    return measure(shape=SHAPE, sampling=FULL, seed=1)


def scan_of(kspace, maps=None, **parts):
    """Return a scan of arrays without a batch."""
    maps = None if maps is None else torch.from_numpy(np.ascontiguousarray(maps))[None]
    return Scan(torch.as_tensor(kspace)[None], coil_maps=maps, **parts)


def found(scan):
    return {one.name: one.severity for one in check(scan).findings if one.severity != "note"}


def test_numbers_without_a_phase_are_refused(lines):
    kspace = torch.from_numpy(lines.kspace)
    parts = {
        "real": kspace.real + 0j,
        "imaginary": 1j * kspace.imag,
        "magnitude": kspace.abs() + 0j,
        "both as coils": torch.cat([kspace.real, kspace.imag]) + 0j,
    }
    assert found(scan_of(kspace)) == {}
    for part in parts.values():
        assert found(scan_of(part))["kind"] == "refused"


@pytest.mark.parametrize("axes", [(-1,), (-2,), (-1, -2)])
def test_an_image_moved_by_half_the_field_of_view_is_named(lines, axes):
    kspace = torch.from_numpy(lines.kspace)
    for axis in axes:
        n = kspace.shape[axis]
        kspace = kspace * (1 - 2 * (torch.arange(n) % 2)).reshape(-1, *[1] * (-axis - 1))
    doubts = check(scan_of(kspace)).doubts
    assert [one.name for one in doubts] == ["field of view"]
    where = " and ".join("yx"[axis] for axis in sorted(axes))
    assert f"both ends along {where}, and" in doubts[0].seen


def test_zeros_that_became_rounding_errors_are_refused(lines, full):
    there_and_back = fft_centred(ifft_centred(torch.from_numpy(lines.kspace), 2), 2)
    assert float((there_and_back != 0).float().mean()) > 0.99
    assert found(scan_of(there_and_back)) == {"mask": "refused"}
    mask = torch.from_numpy(lines.mask)
    assert found(scan_of(there_and_back * mask, mask=mask[None, None])) == {}
    # What falls off smoothly, however far, was measured.
    place = torch.arange(56) - 28
    quiet = full.image.shape
    narrow = (
        torch.exp(-(place**2) / 30.0) * torch.exp(-((torch.arange(64) - 32) ** 2) / 30.0)[:, None]
    )
    assert narrow.shape == quiet
    assert "mask" not in found(scan_of((narrow * (1 + 0.1j))[None]))


def test_a_readout_that_ends_in_rounding_errors_is_refused(full):
    kspace = torch.from_numpy(full.full).clone()
    kspace[..., -12:] *= 1e-7
    assert found(scan_of(kspace)) == {"mask": "refused"}


def test_a_line_of_another_gain_is_found(lines, full):
    outer = int(lines.mask[0].nonzero()[0][1])
    for scan, line in (
        (lines, (..., outer)),
        (full, (..., 10)),
        (full, (..., 47, slice(None))),
    ):
        assert "spikes" not in found(scan_of(scan.kspace))
        kspace = torch.from_numpy(scan.kspace).clone()
        kspace[line] *= 20
        assert "spikes" in found(scan_of(kspace))
        spikes = find_spikes(kspace[None].abs(), 2)
        expected = torch.zeros_like(spikes)
        expected[line] = True
        assert torch.equal(spikes, expected & (kspace[:1] != 0)[None])


def test_maps_that_are_moved_are_refused_by_how_much(lines):
    moved = check(scan_of(lines.kspace, np.roll(lines.maps, 10, -1))).contradictions
    assert [one.name for one in moved] == ["coil maps"]
    pixels = int(moved[0].seen.split("moved by ")[1].split(" pixels along x")[0])
    assert abs(pixels + 10) <= 56 / 16


@pytest.mark.parametrize("coil", range(8))
def test_an_empty_map_is_named(lines, coil):
    maps = lines.maps.copy()
    maps[coil] = 0
    scan = scan_of(lines.kspace, maps)
    assert coils_apart(*low_resolution(scan)) == [coil]
    assert found(scan).keys() == {"coil maps"}


@pytest.mark.parametrize("pair", [(0, 1), (2, 6), (3, 4)])
def test_maps_of_two_coils_exchanged_are_doubted(lines, pair):
    maps = lines.maps.copy()
    maps[list(pair)] = maps[list(pair[::-1])]
    assert found(scan_of(lines.kspace, lines.maps)) == {}
    assert found(scan_of(lines.kspace, maps)).keys() == {"coil maps"}


def test_maps_of_a_part_of_the_object_are_refused(lines):
    left = np.arange(56) < 28
    body = np.abs(lines.image) > 0.05
    assert found(scan_of(lines.kspace, lines.maps * body)) == {}
    findings = check(scan_of(lines.kspace, lines.maps * left)).contradictions
    assert "lies where the coil maps are zero" in findings[0].seen


def test_calibration_data_of_another_scan_are_doubted(lines, full):
    sparse = full.kspace * (np.arange(56) % 3 == 0)
    right = torch.from_numpy(full.full[:, :, 18:38])

    def with_data(data):
        return found(scan_of(sparse, calibration=data[None].contiguous()))

    assert with_data(right) == {}
    assert with_data(1e4 * right) == {}
    noise = torch.randn(right.shape, dtype=right.dtype, generator=torch.Generator().manual_seed(0))
    for wrong in (right.flip(0), noise, right.roll(9, -1)):
        assert "calibration" in with_data(wrong)
    kspace = torch.from_numpy(sparse)[None]
    assert correlation(kspace, right[None]) == pytest.approx(1)
    assert correlation(kspace, right[None, :, :, 9:10]) is None


def test_calibration_data_without_a_phase_are_refused(lines, full):
    data = torch.from_numpy(full.full[:, :, 18:38])
    parts = {"real": data.real + 0j, "imaginary": 1j * data.imag, "magnitude": data.abs() + 0j}
    for name, part in parts.items():
        doubt = check(scan_of(lines.kspace, calibration=part[None])).contradictions[0]
        assert doubt.name == "calibration"
        assert ("imaginary" if name == "imaginary" else "real") in doubt.seen


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("size", [1e-7, 1.0, 1e7])
def test_noise_without_an_object_is_doubted_and_nothing_proved(coils, size):
    random = torch.Generator().manual_seed(coils)
    kspace = size * torch.randn(1, coils, 64, 48, dtype=torch.complex64, generator=random)
    mask = make_mask("variable-density", (64, 48), 3, calibration=16, seed=0).expand(1, 1, 64, 48)
    for scan in (Scan(kspace * mask, mask), Scan(kspace, torch.ones_like(mask))):
        result = check(scan)
        assert [one.name for one in result.doubts] == ["kind"]
        assert "noise" in result.doubts[0].meaning
        assert not result.contradictions


@pytest.mark.parametrize("sigma", [0.05, 0.15, 0.5])
def test_an_object_in_much_noise_is_none_of_it(sigma):
    image = sample_image()[::3, ::3]
    options = {"mask_kind": "variable-density", "calibration": 16, "seed": 1}
    made = simulate_acquisition(image, coils=4, acceleration=3, sigma=sigma, **options)
    assert "kind" not in [one.name for one in check(Scan(made.kspace, made.mask)).findings]


def test_noise_samples_of_other_units_or_with_signal_are_refused(lines):
    generator = torch.Generator().manual_seed(0)
    noise = lines.sigma * torch.randn(8, 2000, dtype=torch.complex64, generator=generator)
    assert found(scan_of(lines.kspace, noise=noise)) == {}
    assert found(scan_of(lines.kspace, noise=0.01 * noise)) == {}
    assert found(scan_of(lines.kspace, noise=1000 * noise)) == {"noise samples": "refused"}
    central = torch.from_numpy(lines.kspace[:, :, 28]).repeat(1, 4)
    assert found(scan_of(lines.kspace, noise=central))["noise samples"] == "refused"


def test_coils_are_dead_however_many_are(lines):
    kspace = torch.from_numpy(lines.kspace)[None].clone()
    for count in (1, 4, 7):
        kspace[:, :count] = 0
        assert dead_coils(kspace).tolist() == [coil < count for coil in range(8)]
    assert not bool(dead_coils(torch.from_numpy(lines.kspace)[None]).any())


def test_a_corner_is_named_although_noise_is_read_as_the_centre(full):
    corner = torch.fft.ifftshift(torch.from_numpy(full.kspace), dim=(-2, -1))
    quiet = replace(full, kspace=corner.numpy())
    assert found(scan_of(quiet.kspace))["centre"] == "refused"
    assert "coils or slices" not in found(scan_of(quiet.kspace))


def test_the_noise_of_a_loud_coil_is_not_taken_for_another_slice(lines):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.from_numpy(lines.kspace).clone()
    noise = torch.randn(kspace.shape[1:], dtype=kspace.dtype, generator=generator)
    kspace[2] += 30 * lines.sigma * noise * torch.from_numpy(lines.mask)
    assert found(scan_of(kspace)) == {"coil noise": "warning"}
