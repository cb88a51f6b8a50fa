"""The data check: faults are found, right scans are left alone, and what is corrected is right."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molrecon import (
    DataCheck,
    Finding,
    InputError,
    Preparation,
    Scan,
    check,
    read_scan,
    reconstruct,
)
from molrecon.data.check import CHECKS, evenly
from molrecon.data.check.centre import recentred, with_peak_at_centre
from molrecon.data.check.coils import coil_noise
from molrecon.data.check.evidence import Evidence
from molrecon.data.check.layout import check_layout
from molrecon.data.check.maps import agreement, low_resolution, with_normalised_maps
from molrecon.data.check.sampling import between
from molrecon.data.check.spikes import find_spikes, without_spikes
from molrecon.data.geometry import Geometry
from molrecon.operators.fourier import fft_centred

sys.path.insert(0, str(Path(__file__).parent))

from faulty_scans import CENTRES, COILS, FULL, KINDS, LAYOUTS, MAPS, MASKS, SPIKES, measure

SHAPE = (64, 64)
TURNED = {
    "maps mirrored": "mirrored along x",
    "maps upside down": "mirrored along y",
    "maps turned by half a turn": "mirrored along all axes",
    "maps transposed": "with y and x exchanged",
    "maps of coils in another order": "with the coils in reverse order",
    "maps rolled by one coil": "with the coils moved back by one",
    "maps not centred": "moved by half their width",
    "maps conjugate": "conjugate",
}
"""What is said of maps that were turned."""


@pytest.fixture(scope="module")
def lines():
    return measure(shape=SHAPE, calibration=16, acceleration=2, seed=1)


@pytest.fixture(scope="module")
def points():
    return measure(shape=SHAPE, sampling="variable-density", calibration=16, coils=6, seed=2)


def scan_of(measured):
    maps = torch.from_numpy(measured.maps)[None] if measured.with_maps else None
    mask = torch.from_numpy(measured.mask)[None, None] if measured.with_mask else None
    return Scan(torch.from_numpy(measured.kspace)[None], mask, maps)


def names(found, severity):
    return {one.name for one in found.findings if one.severity == severity}


def refused(measured, folder):
    """Return the kinds of contradictions in a file, or what its reader refuses."""
    try:
        scan = read_scan(measured.write(folder, "npy"))
    except InputError:
        return {"reading"}
    return names(check(scan), "refused")


@pytest.mark.parametrize("sampling", [FULL, "equispaced", "random", "poisson-disc"])
@pytest.mark.parametrize("picture", ["head", "vessels", "gratings"])
@pytest.mark.parametrize("known", [False, True])
def test_right_scans_are_not_contradicted(tmp_path, sampling, picture, known):
    for number, (shape, coils, sigma) in enumerate([((64, 48), 1, 1e-3), ((45, 65), 6, 0.03)]):
        scan = measure(
            shape=shape,
            coils=coils,
            sigma=sigma,
            sampling=sampling,
            acceleration=2,
            calibration=12,
            picture=picture,
            seed=number,
        )
        scan = replace(scan, with_mask=known, with_maps=known)
        found = check(read_scan(scan.write(tmp_path, "npz")))
        assert not found.contradictions, found.summary


@pytest.mark.parametrize("fault", LAYOUTS)
def test_axes_in_another_order(lines, points, tmp_path, fault):
    for scan in (lines, points):
        found = check(read_scan(LAYOUTS[fault](scan).write(tmp_path, "npz")))
        told = names(found, "refused") | names(found, "warning")
        assert told in ({"axes"}, {"coils or slices"}), found.summary


@pytest.mark.parametrize("fault", ["many slices of one coil", "thick slices of one coil"])
def test_slices_that_no_maps_of_coils_explain_are_refused(lines, tmp_path, fault):
    path = LAYOUTS[fault](lines).write(tmp_path, "npy")
    found = check(read_scan(path))
    assert names(found, "refused") == {"coils or slices"}
    assert not check(read_scan(f"{path}::slices")).contradictions


@pytest.mark.parametrize("coils", [4, 8, 24, 48])
@pytest.mark.parametrize("sigma", [0.001, 0.03])
def test_coils_of_small_matrices_are_not_taken_for_slices(coils, sigma):
    scan = measure(shape=(32, 40), coils=coils, sigma=sigma, acceleration=2, calibration=10)
    evidence = Evidence(replace(scan_of(scan), axes_inferred=True))
    assert not list(check_layout(evidence))
    if sigma == 0.001:
        assert evidence.second_object() < 0.7


def test_the_order_that_is_proposed_is_the_right_one(lines, tmp_path):
    for fault, order in (("coil last", "y,x,coil"), ("coil in the middle", "y,coil,x")):
        path = LAYOUTS[fault](lines).write(tmp_path, "npy")
        assert f"::axes={order}" in check(read_scan(path)).contradictions[0].settle
        scan = read_scan(f"{path}::axes={order}")
        assert np.array_equal(scan.kspace[0].numpy(), lines.kspace)
        assert not check(scan).contradictions


def test_the_order_proposed_for_items_of_a_file_names_every_axis(lines, tmp_path):
    volume = LAYOUTS["volume, coil first"](lines).kspace
    np.save(tmp_path / "volume.npy", volume)
    with pytest.raises(InputError, match="append '::axes=coil,z,y,x'"):
        reconstruct(tmp_path / "volume.npy", "sense", device="cpu")
    slices = LAYOUTS["slices, coil last"](lines).kspace
    np.save(tmp_path / "slices.npy", slices)
    with pytest.raises(InputError, match=r"'::axes=slice,y,x,coil' to the path \(or with slice"):
        reconstruct(tmp_path / "slices.npy", "sense", device="cpu")


def test_named_axes_are_not_doubted_for_their_length(tmp_path):
    kspace = measure(shape=(64, 64), sampling=FULL, coils=2).full[:, 26:38]
    np.save(tmp_path / "a.npy", kspace)
    assert names(check(read_scan(tmp_path / "a.npy")), "refused") == {"axes"}
    assert not check(read_scan(f"{tmp_path / 'a.npy'}::axes=coil,y,x")).contradictions


@pytest.mark.parametrize("fault", CENTRES)
def test_zero_frequency_elsewhere(lines, points, tmp_path, fault):
    for scan in (lines, points):
        assert "centre" in refused(CENTRES[fault](scan), tmp_path)


def test_a_corner_is_moved_to_the_centre_exactly(lines):
    moved = CENTRES["corner"](replace(lines, with_mask=True))
    for centre in ("corner", "auto", [0, 0]):
        found = recentred(scan_of(moved), centre)
        assert np.array_equal(found.kspace[0].numpy(), lines.kspace)
        assert np.array_equal(found.mask[0, 0].numpy(), lines.mask)


@pytest.mark.parametrize(("fault", "axis"), [("cut on the left", -1), ("cut at the bottom", -2)])
def test_a_cut_array_is_completed_with_what_was_not_measured(lines, fault, axis):
    scan = scan_of(CENTRES[fault](lines))
    place = [32, 16] if "left" in fault else [32, 32]
    found = recentred(scan, place)
    assert found.kspace.shape[2:] == SHAPE
    # Coils turn the phase, so that the energy of k-space is off by a sample.
    measured = recentred(scan, "auto").kspace.shape[axis]
    assert abs(measured - SHAPE[axis]) <= 4
    stored = scan.kspace.shape[axis]
    start = SHAPE[axis] - stored if "left" in fault else 0
    kept = found.kspace.narrow(axis, start, stored)
    assert torch.equal(kept, scan.kspace)
    assert found.kspace.abs().sum() == pytest.approx(float(kept.abs().sum()))
    assert not bool((found.mask & (found.kspace == 0).all(1, keepdim=True)).any())


@pytest.mark.parametrize(("by", "axis"), [(2, -1), (-2, -1), (2, -2)])
def test_a_peak_off_by_a_few_samples_is_moved_exactly(by, axis):
    lines = measure(shape=SHAPE, calibration=16, acceleration=2, phase=False, seed=1)
    moved = replace(
        lines,
        kspace=np.roll(lines.kspace, by, axis),
        mask=np.roll(lines.mask, by, axis),
        with_mask=True,
    )
    step = Preparation().prepare(scan_of(moved))
    assert np.array_equal(step.scan.kspace[0].numpy(), lines.kspace)
    assert np.array_equal(step.scan.mask[0, 0].numpy(), lines.mask)
    letter = "x" if axis == -1 else "y"
    (said,) = [one.text for one in step.steps if one.name == "samples and coils"]
    assert f"moved by {-by} samples along {letter}" in said
    (note,) = check(scan_of(moved)).findings
    assert note.severity == "note"
    assert "are taken off" in str(note)
    left = Preparation(correct=False).prepare(scan_of(moved)).scan
    assert np.array_equal(left.kspace[0].numpy(), moved.kspace)


def test_a_late_echo_is_a_ramp_of_phase_that_the_reference_shares(lines):
    """The mask is centred and the peak is not; a magnitude does not change, nor does the fit."""
    ramp = np.exp(2j * np.pi * 2 * (np.arange(64) - 32) / 64)
    image = lines.image * ramp
    full = fft_centred(torch.from_numpy(lines.maps * image), 2)[None]
    reference = torch.from_numpy(image)[None, None].to(torch.complex64)
    scan = Scan((full * torch.from_numpy(lines.mask)).to(torch.complex64), reference=reference)
    found = with_peak_at_centre(scan)
    assert torch.equal(found.mask, scan.mask.roll(-2, -1))
    expected = fft_centred(torch.from_numpy(lines.maps) * found.reference[0], 2)[None] * found.mask
    assert torch.allclose(found.kspace, expected.to(torch.complex64), atol=1e-4)
    assert np.allclose(found.reference[0, 0].numpy(), lines.image, atol=1e-5)


def test_a_peak_stays_where_the_calibration_region_would_be_lost(lines):
    narrow = np.zeros(64, dtype=bool)
    narrow[::3] = narrow[32 - 5 : 32 + 5] = True
    kspace = np.roll(lines.full, 2, -1) * narrow
    scan = Scan(torch.from_numpy(kspace)[None])
    assert with_peak_at_centre(scan) is scan


def test_a_completed_array_keeps_its_field_of_view(lines):
    geometry = Geometry(((0, 2, 0, 5), (1.5, 0, 0, -7), (0, 0, 3, 1), (0, 0, 0, 1)))
    scan = replace(scan_of(CENTRES["cut on the left"](lines)), geometry=geometry)
    old, found = scan.kspace.shape[-1], recentred(scan, [32, 16])
    new = found.kspace.shape[-1]
    assert new * found.geometry.spacing[2] == pytest.approx(old * 1.5)
    assert found.geometry.spacing[:2] == pytest.approx((3, 2))
    before, after = ([n // 2, 32, 0, 1] for n in (old, new))
    assert found.geometry.matrix @ after == pytest.approx(geometry.matrix @ before)


@pytest.mark.parametrize("centre", ["middle", [3], [64, 0], [0.5, 1]])
def test_a_centre_that_is_no_place_is_refused(lines, centre):
    with pytest.raises(InputError, match="centre is"):
        recentred(scan_of(lines), centre)


@pytest.mark.parametrize("fault", MASKS)
def test_masks_against_the_samples(lines, points, tmp_path, fault):
    for scan in (lines, points):
        assert refused(MASKS[fault](scan), tmp_path) & {"mask", "reading"}


def test_what_may_be_zero_inside_a_mask(lines):
    """Padding at the edges, and single zeros of few bits; they are taken as not measured."""
    full = torch.from_numpy(measure(shape=SHAPE, sampling=FULL).full)[None]
    mask = torch.ones(1, 1, *SHAPE, dtype=torch.bool)
    padded = full.clone()
    padded[..., :8], padded[..., -5:] = 0, 0
    rare = full.clone()
    rare[..., ::9, ::7] = 0
    for kspace in (padded, rare):
        scan = Scan(kspace, mask)
        assert not check(scan).contradictions
        prepared = Preparation().prepare(scan).scan
        assert torch.equal(prepared.mask, (kspace != 0).any(1, keepdim=True))
    assert not check(scan_of(replace(lines, with_mask=True))).findings[1:]


def test_between_is_what_has_samples_on_both_sides():
    measured = torch.zeros(5, 5, dtype=torch.bool)
    measured[1, 1] = measured[1, 4] = measured[4, 1] = True
    inside = torch.zeros_like(measured)
    inside[1, 1:5], inside[1:5, 1] = True, True
    assert torch.equal(between(measured), inside)


@pytest.mark.parametrize("fault", MAPS)
def test_maps_are_corrected_or_refused(lines, points, fault):
    scale = "times" in fault or "size" in fault or "half the matrix" in fault
    for scan in (lines, points):
        faulty = MAPS[fault](scan)
        found = check(Scan(torch.from_numpy(faulty.kspace)[None]).with_coil_maps(faulty.maps))
        doubted = names(found, "refused") | names(found, "warning")
        assert doubted == (set() if scale else {"coil maps"})


@pytest.mark.parametrize("fault", ["maps times 3", "maps times 0.1", "maps of a smooth size"])
def test_maps_of_any_size_give_the_same_image(points, fault):
    right = scan_of(replace(points, with_maps=True))
    changed = scan_of(MAPS[fault](points))
    expected = reconstruct(right, "sense", device="cpu", tol=1e-4).image
    found = reconstruct(changed, "sense", device="cpu", tol=1e-4)
    assert float((found.image - expected).norm() / expected.norm()) < 5e-4
    assert found.guarantee.proved
    size = torch.linalg.vector_norm(changed.coil_maps, dim=1, keepdim=True)
    put_back = reconstruct(changed, "sense", device="cpu", tol=1e-4, intensity=True).image
    torch.testing.assert_close(put_back * size, found.image, atol=1e-5, rtol=1e-4)


def test_maps_are_normalised_on_their_support_only(points):
    scan = scan_of(MAPS["maps of a smooth size"](points))
    maps = scan.coil_maps.clone()
    maps[..., :10, :] = 0
    found, size = with_normalised_maps(replace(scan, coil_maps=maps))
    unit = torch.linalg.vector_norm(found.coil_maps, dim=1)
    torch.testing.assert_close(unit[:, 10:], torch.ones_like(unit[:, 10:]))
    assert not bool(unit[:, :10].any())
    torch.testing.assert_close(found.coil_maps * size, maps)
    again, none = with_normalised_maps(found)
    assert again is found
    assert none is None


def test_agreement_is_one_for_the_maps_of_the_scan():
    full = measure(shape=SHAPE, sampling=FULL, sigma=1e-4)
    scan = scan_of(replace(full, with_maps=True))
    share = agreement(*low_resolution(scan))
    assert share > 0.95
    sets = torch.stack([scan.coil_maps, 0 * scan.coil_maps], 1)
    two = agreement(*low_resolution(replace(scan, coil_maps=sets)))
    assert two == pytest.approx(share, abs=1e-3)
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(scan.coil_maps.shape, dtype=torch.complex64, generator=generator)
    assert agreement(*low_resolution(replace(scan, coil_maps=other))) < 0.3


@pytest.mark.parametrize("fault", TURNED)
def test_maps_that_are_turned_are_named(lines, points, fault):
    for scan in (lines, points):
        found = check(scan_of(MAPS[fault](scan))).contradictions
        assert [one.name for one in found] == ["coil maps"]
        assert f"fit them {TURNED[fault]}" in found[0].seen


@pytest.mark.parametrize("fault", COILS)
def test_loud_and_dead_coils_are_named(lines, points, fault):
    for scan in (lines, points):
        found = check(scan_of(COILS[fault](scan)))
        assert names(found, "warning") == {"dead coils" if "dead" in fault else "coil noise"}


@pytest.mark.parametrize("sigma", [0.001, 0.02])
@pytest.mark.parametrize("sampling", [FULL, "equispaced"])
def test_noise_of_coils_is_measured(points, sampling, sigma):
    full = measure(shape=(96, 96), sampling=sampling, sigma=sigma)
    noise = coil_noise(scan_of(COILS["two loud coils"](full)))
    assert noise[0] == pytest.approx(30, rel=0.1)
    assert noise[5] == pytest.approx(15, rel=0.1)
    assert bool((coil_noise(scan_of(points)) == 1).all())


def test_a_loud_coil_hardly_harms(points):
    loud = scan_of(COILS["one coil with 30 times the noise"](points))
    truth = torch.from_numpy(points.image).abs()

    def error(**options):
        prepared = Preparation(**options)
        image = reconstruct(loud, "sense", device="cpu", preparation=prepared).image[0, 0].abs()
        image = image * (image * truth).sum() / image.square().sum()
        return float((image - truth).norm())

    assert error() < 0.5 * error(correct=False)


def test_a_dead_coil_is_left_out(points):
    dead = scan_of(COILS["a dead coil"](points))
    prepared = Preparation().prepare(dead).scan
    kept = [0, 1, 2, 4, 5]
    assert torch.equal(prepared.kspace, dead.kspace[:, kept])


@pytest.mark.parametrize("fault", SPIKES)
def test_spikes_are_found_and_left_out(lines, points, fault):
    for scan in (lines, points):
        spiky = scan_of(SPIKES[fault](scan))
        changed = (spiky.kspace[0] != torch.from_numpy(scan.kspace)).any(0)
        assert torch.equal(find_spikes(spiky.kspace.abs(), 2)[0, 0], changed)
        found = check(spiky)
        assert names(found, "refused") | names(found, "warning") == {"spikes"}
        clean = without_spikes(spiky)
        assert not bool((clean.mask[0, 0] & changed).any())
        assert torch.equal(clean.kspace, torch.from_numpy(scan.kspace)[None] * ~changed)
        assert not check(clean).contradictions


def test_the_peak_of_a_uniform_object_is_no_spike():
    for shape in ((32, 32), (31, 40)):
        kspace = fft_centred(torch.ones(1, 1, *shape) + 0j, 2)
        noise = torch.randn(kspace.shape, dtype=kspace.dtype, generator=torch.manual_seed(0))
        kspace = kspace + 1e-3 * noise
        assert not bool(find_spikes(kspace.abs(), 2).any())
        corner = torch.fft.ifftshift(kspace, dim=(-2, -1))
        assert not bool(find_spikes(corner.abs(), 2).any())


@pytest.mark.parametrize("fault", KINDS)
def test_what_is_no_scan(lines, tmp_path, fault):
    if fault == "a mask":
        lines = measure(shape=SHAPE, sampling="poisson-disc", calibration=8)
    assert refused(KINDS[fault](lines), tmp_path) & {"kind", "reading"}


def test_forced_results_are_not_proved(lines):
    wrong = scan_of(MASKS["mask of ones"](lines))
    with pytest.raises(InputError, match=r"exactly zero.*force"):
        reconstruct(wrong, "sense", device="cpu")
    prepared = Preparation(correct=False)
    found = reconstruct(wrong, "sense", device="cpu", force=True, preparation=prepared)
    assert not found.guarantee.proved
    assert "data contradict (mask)" in found.guarantee.rests_on


def test_doubts_that_are_not_mended_keep_a_bound_from_being_proved(lines):
    scan = replace(scan_of(lines), axes_inferred=True)
    proved = reconstruct(scan, "sense", device="cpu")
    assert proved.guarantee.proved
    alike = scan.kspace[:, :1].expand(-1, 8, -1, -1).clone()
    doubtful = reconstruct(replace(scan, kspace=alike), "sense", device="cpu")
    assert {one.name for one in doubtful.check.doubts} == {"coils or slices"}
    assert not doubtful.guarantee.proved
    assert "coils or slices" in doubtful.guarantee.rests_on
    loud = reconstruct(scan_of(COILS["one coil with 30 times the noise"](lines)), "sense")
    assert loud.check.warnings
    assert not loud.check.doubts
    assert loud.guarantee.proved


def test_a_few_items_are_looked_at(lines, monkeypatch):
    scan = scan_of(lines)
    many = Scan(scan.kspace.expand(20, -1, -1, -1))
    seen = []
    monkeypatch.setitem(CHECKS, "count", lambda one: seen.append(len(one.scan.kspace)) or ())
    check(many)
    check(many, items=None)
    assert seen == [3, 20]
    assert evenly(20, 3) == [3, 10, 16]
    assert evenly(2, 3) == [0, 1]


def test_the_gravest_finding_of_each_kind_is_kept():
    note, doubt = (Finding("a", level, level, "", "") for level in ("note", "warning"))
    other = Finding("b", "refused", "x", "y", "z")
    found = DataCheck.of([note, doubt, other, note])
    assert found.findings == (other, doubt)
    with pytest.raises(InputError, match="refuses here: x: y; z"):
        found.require_none("here")
    DataCheck((doubt,)).require_none("here")


def test_evidence_of_an_axis_of_frequencies_and_one_of_coils(points):
    evidence = Evidence(scan_of(points))
    assert [evidence.is_flat(axis) for axis in range(4)] == [False, True, False, False]
    assert [evidence.rises_in_the_middle(axis) for axis in (1, 2, 3)] == [False, True, True]
    assert evidence.place(2) == pytest.approx(32, abs=1)
    assert not list(check_layout(evidence))


def test_maps_and_calibration_data_of_their_own_say_what_coils_are():
    scan = replace(scan_of(measure(shape=(96, 90), coils=8, acceleration=2)), axes_inferred=True)
    bare = scan.kspace.clone()
    bare[..., 1::2] = 0
    # Without a calibration region nothing tells coils that are alike from slices.
    alone = replace(scan, kspace=bare, mask=None, coil_maps=None)
    assert Evidence(alone).second_object() is None
    beside = replace(alone, calibration=scan.kspace[..., 37:53])
    assert Evidence(beside).second_object() < 0.7
    assert not list(check_layout(Evidence(beside)))
    maps = torch.ones_like(scan.kspace)
    assert not list(check_layout(Evidence(replace(alone, coil_maps=maps))))
