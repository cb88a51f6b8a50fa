"""The steps from raw data to the input of a method."""

import pytest
import torch

from molrecon import CartesianMRI, Preparation, Scan, reconstruct, simulate_coil_maps
from molrecon.errors import InputError
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


def test_every_step_is_listed_and_can_be_turned_off():
    scan, _ = raw()
    found = steps_of(reconstruct(scan, "sense", device="cpu", preparation=Preparation(coils=4)))
    assert all(found[name].taken for name in ("prewhitening", "readout", "coil compression"))
    assert "500 noise samples" in found["prewhitening"].text
    assert "32 × 24 samples cut to 16 × 24" in found["readout"].text
    assert 0 < found["coil compression"].error < 0.1
    assert f"{found['coil compression'].error:.2%}" in found["coil compression"].text
    off = Preparation(whiten=False, cut_readout=False)
    plain = reconstruct(scan, "sense", device="cpu", preparation=off)
    assert not any(step.taken for step in plain.steps)
    assert {step.text for step in plain.steps} == {"turned off"}
    assert plain.image.shape == (1, 1, *SHAPE)


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
    lost = [preparation.apply(scan.item(i))[1][2].error for i in range(3)]
    assert steps_of(found)["coil compression"].error == max(lost)
    assert worst([preparation.apply(scan.item(0))[1]])[2].error == lost[0]


@pytest.mark.parametrize(
    "options", [{"coils": 0}, {"coils": "some"}, {"coils": 2, "compression": "pca"}]
)
def test_other_options_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        Preparation(**options)
