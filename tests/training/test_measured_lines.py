"""Scans along lines without a reference: whole lines predict what was not measured."""

import math

import pytest
import torch

import molrecon
from molrecon import NonCartesianScan, make_trajectory, radial_trajectory, simulate_coil_maps
from molrecon.data.simulation.along_lines import acquire_along
from molrecon.errors import InputError
from molrecon.pipeline.left_out_lines import line_weights
from molrecon.pipeline.parts import read_parts
from molrecon.pipeline.preparation import Preparation
from molrecon.reconstructors.store import load
from molrecon.training.configuration import TrainingConfig
from molrecon.training.loop import Trainer
from molrecon.training.measured_lines import MeasuredLines, of_lines

from ..support import STRICT, strict_model
from . import runs

SHAPE = (32, 32)
SIGMA = 0.05


def truth():
    return runs.textured(SHAPE)


def scan(seed=0, sigma=SIGMA, spokes=20):
    """Return a golden-angle scan of `truth`, with its maps."""
    maps = simulate_coil_maps(SHAPE, 3, generator=torch.Generator().manual_seed(5))[None]
    lines = radial_trajectory(SHAPE, spokes, golden=True)
    generator = torch.Generator().manual_seed(seed)
    made = acquire_along(truth(), maps, lines, torch.tensor([sigma]), generator=generator)
    return NonCartesianScan(
        made.samples, lines, SHAPE, coil_maps=maps, sigma=max(sigma, 1e-6), source="golden.npz"
    )


def unit(measured, original):
    """Return the peak that a scan was divided by."""
    return float(original.kspace.abs().max() / measured.scan.kspace.abs().max())


@pytest.mark.parametrize("frames", [None, 2])
def test_the_true_image_predicts_what_was_left_out_of_a_scan_without_noise(frames):
    original, image = scan(sigma=0.0), truth()
    if frames is not None:
        original = original.in_frames(10)
        image = image.unsqueeze(2).repeat(1, 1, frames, 1, 1)
    measured = MeasuredLines.of(original)
    split = measured.split(0.3, 1)
    image = image / unit(measured, original)
    predicted, wanted = split.compared(image, "left-out")
    assert (predicted - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert predicted.abs().max() > 0
    # Of every frame as many lines are left out, and the image is made of the others.
    assert set((~split.kept).sum(-1).reshape(-1).tolist()) == {6 if frames is None else 3}
    assert bool((split.weights[split.kept] == 0).all())
    assert (split.A(image) - split.y).abs().max() < 1e-4 * split.y.abs().max()
    assert split.y.numel() == 3 * 64 * int(split.kept.sum())


@pytest.mark.parametrize("kind", ["radial", "golden-angle", "spiral"])
def test_samples_stand_for_what_was_not_measured(kind):
    """What they show and what they stand for beside is the disc of k-space, at its centre none."""
    shape = (64, 48)
    lines = make_trajectory(kind, shape, 3)
    coils = torch.ones(1, 1, *shape, dtype=torch.complex64)
    kspace = torch.ones(1, 1, *lines.shape[:-1], dtype=torch.complex64)
    shown, beside = line_weights(NonCartesianScan(kspace, lines, shape, coil_maps=coils))
    assert float((shown + beside).sum()) == pytest.approx(math.prod(shape) * math.pi / 4, rel=0.15)
    radius = 2 * (lines / torch.tensor(shape)).norm(dim=-1)
    assert float(beside[radius < 0.1].max()) < 0.05
    assert float(beside[radius > 0.8].mean()) > 0.5


def test_left_out_samples_sum_to_all_in_the_mean_over_draws():
    """A quarter of the lines, each counted four times."""
    measured = MeasuredLines.of(scan())
    total = sum(measured.split(0.25, draw).weights for draw in range(400)) / 400
    _, beside = measured.weights
    assert float((total - beside).norm() / beside.norm()) < 5 * (3 / 400) ** 0.5
    assert float(total.sum()) == pytest.approx(float(beside.sum()), rel=0.02)


def test_the_noises_of_input_and_target_are_independent_and_of_the_level_that_is_told():
    measured, eta = MeasuredLines.of(scan(spokes=60)), 0.5
    clean = MeasuredLines.of(scan(spokes=60, sigma=0.0))
    scale = unit(measured, scan(spokes=60))
    exact = clean.scan.kspace * unit(clean, scan(spokes=60, sigma=0.0)) / scale
    split = measured.split(0.3, 1, eta)
    given, wanted = (of_lines(one - exact, split.kept, 2) for one in (split.kspace, split.wanted))
    level = float(given.abs().square().mean().sqrt())
    assert level == pytest.approx(float(split.sigma), rel=0.05)
    other = float(wanted.abs().square().mean().sqrt())
    assert other == pytest.approx(float(measured.sigma) * (1 + eta**-2) ** 0.5, rel=0.05)
    correlation = (given.conj() * wanted).mean().abs() / (level * other)
    assert correlation < 4 / given.numel() ** 0.5


def test_lines_held_out_are_in_no_split():
    rest, held = MeasuredLines.of(scan()).held_out(0.2, 0.0)
    assert len(rest.scan.trajectory) == 16
    hidden = held.trajectory[~held.kept]
    seen = rest.split(0.3, 1).trajectory
    angles = [torch.atan2(one[:, -1, 0], one[:, -1, 1]) for one in (hidden, seen)]
    assert float((angles[0][:, None] - angles[1]).abs().min()) > 1e-3


def test_an_adapted_model_improves_and_keeps_its_certificate(tmp_path):
    start = strict_model(tmp_path / "start.safetensors", weight={"kind": "fixed", "lam0": 0.05})
    before = load(start)
    found = molrecon.adapt([scan(0), scan(1)], start, steps=20, device="cpu")
    assert found.improved
    assert found.failed_solves == 0
    assert found.gain > 0.3
    assert found.certified
    assert molrecon.certified_bound(found.model.network) <= 1 - before.monotonicity
    images = [molrecon.reconstruct(scan(2), one, device="cpu") for one in (before, found.model)]
    errors = [float((one.image - truth()).norm()) for one in images]
    assert errors[1] < errors[0]
    assert images[1].guarantee.proved


def test_frames_serve_one_by_one_a_model_of_slices_and_together_one_of_series():
    series = scan(spokes=60).in_frames(20)
    slices, together = (
        read_parts([series], molrecon.Axes(axes), "a model", preparation=Preparation())
        for axes in ("yx", "tyx")
    )
    assert [one.shape for one in slices] == [SHAPE] * 3
    assert [one.shape for one in together] == [(3, *SHAPE)]
    assert torch.equal(slices[1].kspace, series.kspace[:, :, 1])


def test_maps_and_noise_are_estimated_where_the_scan_has_none():
    original = scan(spokes=40)
    bare = NonCartesianScan(original.kspace, original.trajectory, SHAPE)
    (part,) = read_parts([bare], molrecon.Axes("yx"), "a model", preparation=Preparation())
    assert part.coil_maps.shape == original.coil_maps.shape
    assert part.sigma == pytest.approx(SIGMA, rel=0.3)


def test_trained_on_scans_of_both_kinds(tmp_path):
    from .test_measured_scans import scan as on_a_grid

    molrecon.write_samples(tmp_path / "a.npz", scan())
    molrecon.write_scan(tmp_path / "b.npz", on_a_grid())
    stage = {"steps": 2, "simulation": {"kind": "measured-scans", "share": 0.3, "noise": 0.5}}
    chosen = {"model": STRICT, "stages": [stage], "target": "left-out"}
    config = TrainingConfig.model_validate(runs.settings(tmp_path, **chosen))
    assert load(Trainer(config).run()).certified


@pytest.mark.parametrize(
    ("scans", "options", "sentence"),
    [
        (scan(spokes=9), {}, "golden.npz is too short to leave some lines out .* it has 9,"),
        (scan(spokes=30).in_frames(5), {}, "it has 5,"),
        (scan(), {"preparation": Preparation(coils=2)}, "coils is given, but golden.npz is not"),
        (scan(), {"model": "brain3d-planes"}, "reconstructs volumes"),
    ],
)
def test_what_cannot_be_split_is_refused_before_any_step(scans, options, sentence):
    def work(text, done, total):
        assert not text.startswith("adapting")

    given = {"model": "brain2d-sn", **options}
    with pytest.raises(InputError, match=sentence):
        molrecon.adapt(scans, **given, device="cpu", progress=work)
