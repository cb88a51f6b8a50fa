"""Scans without a reference: what is predicted, from what, and what that is worth."""

import numpy as np
import pytest
import torch

from molrecon import Axes, Scan, make_mask, simulate_coil_maps, write_scan
from molrecon.errors import InputError
from molrecon.operators.fourier import fft_centred
from molrecon.reconstructors.store import load
from molrecon.training.configuration import TrainingConfig
from molrecon.training.loop import Trainer
from molrecon.training.measured_scans import MeasuredScan

from ..support import STRICT
from . import runs

SHAPE = (40, 36)
SIGMA = 0.05


def truth():
    return runs.textured(SHAPE)


def scan(seed=0, sigma=SIGMA, coils=3):
    """Return a scan of `truth` at 2×, with its maps."""
    generator = torch.Generator().manual_seed(seed)
    maps = simulate_coil_maps(SHAPE, coils, generator=torch.Generator().manual_seed(5))[None]
    mask = make_mask("variable-density", SHAPE, 2, calibration=10, seed=seed)[None, None]
    noise = torch.randn(maps.shape, generator=generator, dtype=torch.complex64)
    kspace = (fft_centred(maps * truth(), 2) + sigma * noise) * mask
    return Scan(kspace, mask, coil_maps=maps, sigma=max(sigma, 1e-6))


def unit(measured, original):
    """Return the peak that a scan was divided by."""
    return float(original.kspace.abs().max() / measured.scan.kspace.abs().max())


def test_the_true_image_predicts_what_was_left_out_of_a_scan_without_noise():
    original = scan(sigma=0.0)
    measured = MeasuredScan.of(original)
    split = measured.split(0.3, 1)
    predicted, wanted = split.compared(truth() / unit(measured, original), "left-out")
    assert (predicted - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert predicted.abs().max() > 0
    assert not bool((split.y * (split.weights > 0)).any())
    assert torch.equal(split.mask | (split.weights > 0), measured.scan.mask)


@pytest.mark.parametrize(("axes", "shape"), [("tyx", (3, 24, 20)), ("zyx", (8, 24, 20))])
def test_series_and_volumes_are_split_alike(axes, shape):
    """Frames have masks of their own, volumes share theirs along the readout."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, *shape, generator=generator, dtype=torch.complex64)
    masks = [make_mask("variable-density", shape[1:], 2, calibration=6, seed=n) for n in range(3)]
    mask = torch.stack(masks) if axes == "tyx" else masks[0].expand(shape)
    maps = torch.ones(1, 1, *shape, dtype=torch.complex64)
    kspace = fft_centred(image, 2 if axes == "tyx" else 3) * mask
    original = Scan(kspace, mask[None, None], coil_maps=maps, sigma=1e-6, axes=Axes(axes))
    measured = MeasuredScan.of(original)
    split = measured.split(0.3, 1)
    predicted, wanted = split.compared(image / unit(measured, original), "left-out")
    assert (predicted - wanted).abs().max() < 1e-5 * wanted.abs().max()
    left = split.weights[0, 0] > 0
    assert bool(left.flatten(1).any(1).all())
    assert bool((left == left[:1]).all()) == (axes == "zyx")


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_distance_is_that_of_the_truth_and_a_constant(noise):
    """For an image that does not depend on what it is compared with, in the mean over noise."""
    generator = torch.Generator().manual_seed(8)
    wrong = truth() + 0.1 * torch.randn(truth().shape, generator=generator, dtype=torch.complex64)
    excess = []
    for seed in range(30):
        original = scan()
        generator = torch.Generator().manual_seed(100 + seed)
        drawn = torch.randn(original.kspace.shape, generator=generator, dtype=torch.complex64)
        maps, mask = original.coil_maps, original.mask
        clean = fft_centred(maps * truth(), 2)
        measured = MeasuredScan.of(
            Scan((clean + SIGMA * drawn) * mask, mask, coil_maps=maps, sigma=SIGMA)
        )
        scale = float(SIGMA / measured.sigma)
        split = measured.split(0.3, 1 + seed, noise)
        predicted, wanted = split.compared(wrong / scale, "left-out")
        exact, _ = split.compared(truth() / scale, "left-out")
        distance = (predicted - wanted).abs().square().mean() * scale**2
        # The variance of what is compared with, σ² and σ²(1 + 1/η²), in the weights of the samples.
        kept = split.mask & (split.weights > 0)
        variance = torch.where(kept, SIGMA**2 * (1 + (noise or 1) ** -2), SIGMA**2)
        constant = (split.weights * variance).sum() / split.weights.sum()
        error = (predicted - exact).abs().square().mean() * scale**2
        excess.append(float((distance - constant) / error - 1))
    values = np.array(excess)
    assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
    assert values.std() / len(values) ** 0.5 < 0.2


def test_the_noises_of_input_and_target_are_independent_and_of_the_level_that_is_told():
    original, eta = scan(coils=8), 0.5
    measured = MeasuredScan.of(original)
    scale = float(SIGMA / measured.sigma)
    split = measured.split(0.3, 1, eta)
    kept = split.mask.expand_as(split.kspace)
    clean = fft_centred(original.coil_maps * truth(), 2) / scale
    given, wanted = ((one - clean)[kept] for one in (split.y, split.wanted))
    level = float(given.abs().square().mean().sqrt())
    assert level == pytest.approx(float(split.sigma), rel=0.05)
    other = float(wanted.abs().square().mean().sqrt())
    assert other == pytest.approx(float(measured.sigma) * (1 + eta**-2) ** 0.5, rel=0.05)
    correlation = (given.conj() * wanted).mean().abs() / (level * other)
    assert correlation < 4 / given.numel() ** 0.5


def test_samples_held_out_are_in_no_split():
    rest, held = MeasuredScan.of(scan()).held_out(0.2, 0.0)
    hidden = (held.weights > 0).expand_as(held.kspace)
    assert not bool(rest.scan.kspace[hidden].any())
    for draw in range(1, 6):
        split = rest.split(0.3, draw)
        assert not bool((split.mask | (split.weights > 0))[..., :, :][held.weights > 0].any())


def test_a_split_follows_from_its_draw():
    measured = MeasuredScan.of(scan())
    one, again, other = (measured.split(0.3, draw, 0.5) for draw in (3, 3, 4))
    assert torch.equal(one.kspace, again.kspace)
    assert torch.equal(one.weights, again.weights)
    assert not torch.equal(one.kspace, other.kspace)


def settings(folder, **changes):
    simulation = {"kind": "measured-scans", "share": 0.3, "noise": 0.5}
    stage = {"steps": 2, "simulation": simulation, "learning_rate": 1e-3}
    chosen = {"model": STRICT, "stages": [stage], "target": "left-out", **changes}
    return runs.settings(folder, **chosen)


def test_training_on_undersampled_scans_gives_a_certified_model(tmp_path):
    for seed, name in enumerate("ab"):
        write_scan(tmp_path / f"{name}.npz", scan(seed))
    config = TrainingConfig.model_validate(settings(tmp_path))
    weights = Trainer(config).run()
    assert load(weights).certified


def test_scans_without_a_reference_have_no_other_target(tmp_path):
    with pytest.raises(ValueError, match="measured-scans offers left-out"):
        TrainingConfig.model_validate(settings(tmp_path, target="noise-free"))
    stages = settings(tmp_path)["stages"]
    denoise = [{**stages[0], "objective": "denoise"}, *stages]
    with pytest.raises(ValueError, match="no noise-free image"):
        TrainingConfig.model_validate(settings(tmp_path, stages=denoise))
    write_scan(tmp_path / "b.npz", scan(1))
    full = scan(0)
    ones = torch.ones_like(full.mask)
    write_scan(tmp_path / "a.npz", Scan(torch.ones_like(full.kspace), ones))
    with pytest.raises(InputError):
        Trainer(TrainingConfig.model_validate(settings(tmp_path)))
