"""The steps from raw data to the input of a method."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from molrecon import (
    CartesianMRI,
    Preparation,
    Scan,
    estimate_coil_maps,
    reconstruct,
    simulate_coil_maps,
    simulate_phase,
)
from molrecon.data.masks.partial_fourier import partial_fourier
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred
from molrecon.pipeline.preparation import worst

COILS, SHAPE = 6, (32, 24)


def raw(*, noisy_coil=1.0, slices=1):
    """A scan with a noise scan, its readout (y) oversampled twofold."""
    generator = torch.Generator().manual_seed(0)
    maps = simulate_coil_maps(SHAPE, COILS, generator=generator)[None]
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    image = torch.sigmoid(12 * (0.45 - (y**2 + 0.3 * x**2).sqrt())) + 0j
    mask = ((torch.arange(24) % 2 == 0) | ((torch.arange(24) - 12).abs() < 6)).expand(1, 1, *SHAPE)
    levels = torch.ones(COILS)
    levels[0] = noisy_coil

    def noise(*shape):
        return 0.01 * torch.randn(*shape, dtype=torch.complex64, generator=generator)

    kspace = CartesianMRI(maps, mask)(image[None, None]).expand(slices, -1, -1, -1)
    kspace = kspace + mask * levels[:, None, None] * noise(slices, COILS, *SHAPE)
    samples = levels[:, None] * noise(COILS, 500)
    return Scan(kspace, mask, noise=samples, image_shape=(16, 24)), image[None, None]


def steps_of(found):
    return {step.name: step for step in found.steps}


def stated(text):
    """Return the three factors on the intensity that a step states."""
    mean, low, high = re.search(
        r"has (\S+) times the intensity .* from (\S+) to (\S+) times", text
    ).groups()
    return float(mean), float(low), float(high)


def test_the_intensity_that_whitening_leaves_is_stated_and_put_back_with_maps():
    scan, image = raw(noisy_coil=3)
    maps = estimate_coil_maps(scan.kspace, scan.mask)
    steps = {True: Preparation(cut_readout=False), False: Preparation(False, cut_readout=False)}
    found = {on: reconstruct(scan, "sense", device="cpu", preparation=steps[on]) for on in steps}
    mean, low, high = stated(steps_of(found[True])["prewhitening"].text)
    assert low < mean < high
    inside = image.abs() > 0.9
    ratio = (found[True].image.abs() / found[False].image.abs())[inside]
    assert low * 0.98 < float(ratio.min())
    assert float(ratio.max()) < high * 1.02
    # In the units of maps as given, it is the image that these maps have without whitening.
    known = replace(scan, coil_maps=maps)
    plain, back = (
        reconstruct(known, "sense", device="cpu", preparation=steps[on], intensity=True).image
        for on in (False, True)
    )
    torch.testing.assert_close(back.abs()[inside], plain.abs()[inside], rtol=0.05, atol=0.02)
    assert float(((found[True].image - plain).abs() / plain.abs())[inside].max()) > 0.05


def test_every_step_is_listed_and_can_be_turned_off():
    scan, _ = raw()
    found = steps_of(reconstruct(scan, "sense", device="cpu", preparation=Preparation(coils=4)))
    assert all(found[name].taken for name in ("prewhitening", "readout", "coil compression"))
    assert "500 noise samples" in found["prewhitening"].text
    assert "32 × 24 samples cut to 16 × 24" in found["readout"].text
    assert 0 < found["coil compression"].error < 0.1
    assert f"{found['coil compression'].error:.2%}" in found["coil compression"].text
    off = Preparation(whiten=False, cut_readout=False, crop=False, correct=False)
    plain = reconstruct(scan, "sense", device="cpu", preparation=off)
    assert not any(step.taken for step in plain.steps)
    assert {step.text for step in plain.steps[:3]} == {"turned off"}
    assert plain.image.shape == (1, 1, *SHAPE)


def test_an_image_is_cut_to_the_field_of_view_unless_that_is_turned_off(tmp_path):
    scan, _ = raw()
    whole = tuple(scan.kspace.shape[2:])
    for crop, shape in ((True, (16, 24)), (False, whole)):
        chosen = Preparation(cut_readout=False, crop=crop)
        out = tmp_path / "a.npy"
        found = reconstruct(scan, "sense", device="cpu", preparation=chosen, output=out)
        assert found.image.shape[2:] == whole
        assert np.load(out).shape == shape
        assert steps_of(found)["field of view"].taken == crop


def test_maps_of_another_matrix_are_said_to_be_resampled():
    scan, _ = raw()
    maps = estimate_coil_maps(scan.kspace, scan.mask)
    given = scan.with_coil_maps(maps[..., ::2, ::2])
    text = reconstruct(given, "sense", device="cpu").coil_maps
    assert text == "those of the scan, resampled from 16 × 12 to 32 × 24"


def test_steps_without_a_need_say_why():
    scan, _ = raw()
    bare = reconstruct(Scan(scan.kspace, scan.mask), "sense", device="cpu")
    assert steps_of(bare)["prewhitening"].text == "the scan comes without noise samples"
    assert steps_of(bare)["readout"].text == "not oversampled"
    assert bare.facts()["steps"][0]["taken"] is False
    rows = dict(reconstruct(scan, "sense", device="cpu").summary())
    assert "Prewhitening" in rows
    assert "Coil compression" not in rows


def test_a_noisy_coil_is_weighted_down():
    """Its noise is in the image without prewhitening, and hardly with it."""
    scan, image = raw(noisy_coil=30.0)

    def error(**options):
        found = reconstruct(scan, "sense", device="cpu", preparation=Preparation(**options))
        cut = found.image if found.image.shape[2] == 16 else found.image[:, :, 8:24]
        scale = (cut.abs() * image[:, :, 8:24].abs()).sum() / cut.abs().square().sum()
        return float((scale * cut.abs() - image[:, :, 8:24].abs()).norm() / image.norm())

    assert error() < 0.7 * error(whiten=False)


def test_of_a_stack_the_item_that_lost_most_speaks():
    scan, _ = raw(slices=3)
    preparation = Preparation(coils=3, compression="svd")
    found = reconstruct(scan, "sense", device="cpu", preparation=preparation)

    def lost_by(number):
        steps = preparation.prepare(scan.item(number)).steps
        return next(step.error for step in worst([steps]) if step.name == "coil compression")

    lost = [lost_by(number) for number in range(3)]
    assert steps_of(found)["coil compression"].error == max(lost)


def folded():
    """A scan of a body half as large again as the field of view along x, and what folds."""
    generator = torch.Generator().manual_seed(1)
    n, field, wide = 48, 48, 72
    maps = simulate_coil_maps((n, wide), 8, generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, wide), indexing="ij")
    # With detail: what folds must not look like another smooth map.
    texture = 1 + 0.8 * torch.cos(31 * x + 9 * y) * torch.cos(23 * y)
    body = torch.sigmoid(20 * (0.9 - ((1.1 * y) ** 2 + x**2).sqrt())) * texture
    coils = maps * body
    start = (wide - field) // 2
    inside = coils[..., start : start + field].clone()
    inside[..., field - start :] += coils[..., :start]
    inside[..., :start] += coils[..., start + field :]
    kspace = fft_centred(inside[None].to(torch.complex64), 2)
    lines = torch.arange(field)
    mask = (lines % 2 == 0) | ((lines - field // 2).abs() < 10)
    mask = mask.expand(1, 1, n, field)
    return Scan(kspace * mask, mask), inside.abs().square().sum(0).sqrt()[None, None]


def test_two_sets_of_maps_leave_no_fold(model):
    """Where the body folds one set of maps explains nothing, and its error spreads."""
    scan, reference = folded()

    def error(image):
        return float((image.abs() - reference).norm() / reference.norm())

    both = Preparation(map_sets=2)
    one = reconstruct(scan, "sense", sigma=1e-3, device="cpu")
    two = reconstruct(scan, "sense", sigma=1e-3, device="cpu", preparation=both)
    assert steps_of(two)["sets of coil maps"].taken
    assert two.image.shape == one.image.shape
    assert error(two.image) < 0.5 * error(one.image)
    learned = reconstruct(scan, model=model, sigma=1e-3, device="cpu", preparation=both)
    assert learned.facts()["status"] == "converged"
    assert learned.facts()["error_bound"] <= 1e-3


def test_two_sets_that_are_given_are_used():
    scan, _ = raw()
    one = estimate_coil_maps(scan.kspace, scan.mask)
    maps = torch.stack([one, one.flip(-1)], dim=1)
    off = Preparation(whiten=False, cut_readout=False)
    both = reconstruct(scan.with_coil_maps(maps), "sense", device="cpu", preparation=off)
    assert "2 sets" in steps_of(both)["sets of coil maps"].text
    maps[:, 1] = 0
    empty = reconstruct(scan.with_coil_maps(maps), "sense", device="cpu", preparation=off)
    assert "second is empty" in steps_of(empty)["sets of coil maps"].text
    one = reconstruct(scan.with_coil_maps(maps[:, 0]), "sense", device="cpu", preparation=off)
    assert torch.equal(empty.image, one.image)


def test_a_second_set_without_signal_is_left_out():
    scan = Scan(raw()[0].kspace[:, :1])
    found = reconstruct(scan, "sense", device="cpu", preparation=Preparation(map_sets=2))
    assert "second is empty" in steps_of(found)["sets of coil maps"].text
    assert torch.equal(found.image, reconstruct(scan, "sense", device="cpu").image)


def halved():
    """A scan of an image of smooth phase, one end of its k-space left out, and the image."""
    generator = torch.Generator().manual_seed(2)
    n = 48
    maps = simulate_coil_maps((n, n), COILS, generator=generator)[None]
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for _ in range(2)), indexing="ij")
    body = (x**2 + 1.3 * y**2 < 0.6) * (1 + 0.5 * ((x - 0.2) ** 2 + y**2 < 0.05))
    image = body * simulate_phase((n, n), generator=generator, strength=0.7)
    mask = partial_fourier(torch.ones(n, n, dtype=torch.bool), 0.6, axis=1, low_end=True)
    mask = mask[None, None]
    noise = 1e-3 * torch.randn(1, COILS, n, n, dtype=torch.complex64, generator=generator)
    return Scan((CartesianMRI(maps, mask)(image[None, None]) + noise) * mask, mask, maps), image


def test_partial_fourier_beats_zero_filling(model):
    scan, image = halved()

    def error(**options):
        found = reconstruct(scan, sigma=1e-3, device="cpu", **options)
        return float((found.image[0, 0].abs() - image.abs()).norm() / image.norm()), found

    off = Preparation(partial_fourier=False)
    zero_filled, plain = error(method="sense", preparation=off)
    completed, found = error(method="sense")
    assert completed < 0.6 * zero_filled
    assert steps_of(found)["partial Fourier"].taken
    assert "x was not measured and counts as such" in steps_of(found)["partial Fourier"].text
    assert "turned off" in steps_of(plain)["partial Fourier"].text
    assert found.sampling.share == pytest.approx(float(scan.mask.float().mean()))
    assert found.guarantee.proved
    learned, of_model = error(model=model)
    assert learned < error(model=model, preparation=off)[0]
    assert of_model.facts()["error_bound"] <= 1e-3


def test_a_symmetric_scan_is_not_completed():
    scan, _ = raw()
    text = steps_of(reconstruct(scan, "sense", device="cpu"))["partial Fourier"].text
    assert text == "k-space was sampled on both sides alike"


@pytest.mark.parametrize(
    "options",
    [{"map_sets": 3}, {"coils": 0}, {"coils": "some"}, {"coils": 2, "compression": "pca"}],
)
def test_other_options_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        Preparation(**options)
