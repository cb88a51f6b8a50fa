"""Scans to try reconstructions on, and what files hold."""

import numpy as np
import pytest
import torch

from molrecon.data.formats import read_scan
from molrecon.data.simulation import simulate_acquisition
from molrecon.data.simulation.retrospective import reference_image, undersample
from molrecon.errors import InputError
from molrecon.pipeline import Preparation
from molrecon.pipeline.contents import contents_of
from molrecon.pipeline.simulate import MaskDraw, simulate_scan

HOW = MaskDraw(acceleration=2, calibration=12, seed=3)


@pytest.fixture
def image(tmp_path):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 28), indexing="ij")
    np.save(tmp_path / "image.npy", torch.sigmoid(9 * (0.7 - (x**2 + y**2).sqrt())).numpy())
    return tmp_path / "image.npy"


@pytest.fixture
def full(tmp_path, image):
    picture = torch.from_numpy(np.load(image))
    made = simulate_acquisition(picture, coils=3, sigma=0.01, **vars(HOW) | {"acceleration": 1})
    np.save(tmp_path / "full.npy", made.kspace[0].numpy())
    return tmp_path / "full.npy"


def test_a_scan_is_undersampled_as_it_is(full):
    made = simulate_scan(full, HOW)
    whole = read_scan(full)
    expected = undersample(whole, **vars(HOW))
    assert torch.equal(made.scan.kspace, expected.kspace)
    assert torch.equal(made.scan.mask, expected.mask)
    assert torch.equal(made.reference, reference_image(whole, expected))
    assert (made.kind, made.sigma) == ("scan", None)
    assert simulate_scan(full, HOW, with_reference=False).reference is None


def test_a_scan_of_an_image_has_noise_of_one_percent(image):
    made = simulate_scan(image, HOW, coils=2, include_maps=True)
    assert made.scan.kspace.shape == (1, 2, 32, 28)
    assert made.sigma == pytest.approx(0.01 * float(np.load(image).max()))
    clean = simulate_scan(image, HOW, coils=2, sigma=1e-9, include_maps=True)
    sampled = made.scan.mask.expand(made.scan.kspace.shape)
    noise = (made.scan.kspace - clean.scan.kspace)[sampled]
    assert float(noise.abs().square().mean().sqrt()) == pytest.approx(made.sigma, rel=0.1)
    assert torch.equal(made.scan.coil_maps, clean.scan.coil_maps)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"coils": 10**9}, r"^coils is 1000000000, which takes about 4.01e\+04 GiB of memory"),
        ({"sigma": 1e300}, r"^sigma is 1e\+300, expected a positive number of at most 3.4e\+38"),
    ],
)
def test_what_no_machine_holds_is_refused_at_once(image, extra, sentence):
    with pytest.raises(InputError, match=sentence):
        simulate_scan(image, HOW, **extra)


@pytest.mark.parametrize("extra", [{"coils": 2}, {"sigma": 0.1}, {"include_maps": True}])
def test_what_is_for_images_is_refused_of_scans(full, extra):
    with pytest.raises(InputError, match="is a scan, with coils and noise"):
        simulate_scan(full, HOW, **extra)


def test_a_reference_needs_a_calibration_region(full):
    with pytest.raises(InputError, match="calibration is 0, a calibration region too narrow"):
        simulate_scan(full, MaskDraw(acceleration=4, calibration=0))


def test_the_source_is_checked_and_its_centre_can_be_settled(full, tmp_path):
    kspace = np.load(full)
    np.save(tmp_path / "corner.npy", np.fft.ifftshift(kspace, axes=(-2, -1)))
    with pytest.raises(InputError, match="zero frequency is in the corner"):
        simulate_scan(tmp_path / "corner.npy", HOW)
    settled = Preparation(centre="corner")
    made = simulate_scan(tmp_path / "corner.npy", HOW, preparation=settled).scan
    assert torch.equal(made.kspace, simulate_scan(full, HOW).scan.kspace)
    forced = simulate_scan(tmp_path / "corner.npy", HOW, force=True, with_reference=False).scan
    assert forced.kspace.shape == made.kspace.shape


def test_contents_of_a_scan_an_image_and_several_arrays(full, image, tmp_path):
    facts = contents_of(full)
    assert (facts["kind"], facts["coils"], facts["missing"]) == ("scan", 3, {})
    assert facts["sigma"] == pytest.approx(0.01, rel=0.3)
    facts = contents_of(image)
    assert (facts["kind"], facts["shape"]) == ("image", (32, 28))
    assert facts["missing"] == {"k-space": "this is an image"}
    np.savez(tmp_path / "two.npz", a=np.ones((4, 4)), b=np.ones((4, 4)))
    facts = contents_of(tmp_path / "two.npz")
    assert facts["kind"] == "several arrays"
    assert list(facts["missing"]) == ["choice"]


@pytest.mark.parametrize("unit", [1e-38, 1e30])
def test_relative_noise_has_no_unit(full, tmp_path, unit):
    np.save(tmp_path / "scaled.npy", np.load(full) * np.float32(unit))
    found, expected = contents_of(tmp_path / "scaled.npy"), contents_of(full)
    assert found["relative_sigma"] == pytest.approx(expected["relative_sigma"], rel=1e-2)


def test_contents_say_what_is_missing(full, tmp_path):
    kspace = np.load(full)
    kspace[:, 16] = 0
    np.save(tmp_path / "holes.npy", kspace)
    missing = contents_of(tmp_path / "holes.npy")["missing"]
    assert "no calibration region" in missing["coil maps"]
    assert not any("--" in clause for clause in missing.values())


def test_too_few_lines_for_coil_maps_are_refused(tmp_path):
    np.save(tmp_path / "image.npy", np.hanning(32)[:, None] * np.hanning(32))
    draw = MaskDraw("variable-density", 1000, 24, 0)
    few = {"trajectory": "radial", "number": None, "sigma": None}
    with pytest.raises(InputError, match=r"leaves 1 lines, too few .* \(coils\)"):
        simulate_scan(tmp_path / "image.npy", draw, coils=4, include_maps=False, **few)
    made = simulate_scan(tmp_path / "image.npy", draw, coils=4, include_maps=True, **few)
    assert made.scan.trajectory.shape[0] == 1
