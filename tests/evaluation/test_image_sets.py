"""What the kinds of image set make of files."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from molrecon.errors import InputError
from molrecon.evaluation.image_sets import IMAGE_SETS, Case
from molrecon.evaluation.metrics import psnr
from molrecon.operators.super_resolution import SuperResolution
from molrecon.reconstructors.zero_filled import ZeroFilled

MASK = {"accelerations": [2.0], "calibration": 10}


def cases(root: Path, kind: str, *files: str, **settings: Any) -> list[Case]:
    values = {"name": "set", "kind": kind, "files": list(files), **settings}
    return IMAGE_SETS[kind].model_validate(values).cases(root)


def soft(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = 1 / (1 + np.exp(-12 * (1 - np.sqrt(sum((a / 0.8) ** 2 for a in axes)))))
    return (inside * (1 + 0.3 * np.sin(6 * axes[-1] + seed))).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    stack = np.stack([soft((36, 30), seed) for seed in range(4)])
    np.savez(tmp_path / "stack.npz", T1w=7 * stack, T2w=stack.max() - stack)
    np.save(tmp_path / "volume.npy", soft((18, 20, 22)))
    picture = np.uint8(200 * soft((31, 26)) / 1.3)
    Image.fromarray(picture).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([picture] * 3, -1)).save(tmp_path / "colour.png")
    Image.fromarray(picture[:2, :2] + 1).save(tmp_path / "dot.png")
    return tmp_path


def test_every_combination_once(root):
    found = cases(
        root,
        "simulated",
        "stack.npz",
        slices=2,
        sigma=[0.01, 0.02],
        seeds=[0, 1],
        mask_kinds=["variable-density", "random"],
        **MASK,
    )
    assert len(found) == 2 * 2 * 2 * 2 * 2
    assert len({case.name for case in found}) == len(found)
    assert {case.group for case in found} == {"stack.npz"}
    assert {case.condition for case in found} == {
        f"2×, {kind}, σ = {sigma} %" for kind in ("variable-density", "random") for sigma in (1, 2)
    }


def test_a_problem_is_the_same_whenever_it_is_made(root):
    settings = {"slices": 2, "coils": 3, "sigma": [0.01, 0.05]}
    one = cases(root, "simulated", "stack.npz", **settings, **MASK)
    # Other images beside it play no part, nor does where the file lies.
    other = root / "elsewhere"
    other.mkdir()
    (root / "stack.npz").rename(other / "moved.npz")
    two = cases(root, "simulated", "elsewhere/*.npz", **settings, seeds=[3, 0], **MASK)
    same = next(case for case in two if case.definition() == one[0].definition())
    first, second = one_problem(one, root, other), same.problem()
    assert torch.equal(first.y, second.y)
    assert torch.equal(first.reference, second.reference)


def one_problem(found: list[Case], root: Path, other: Path):
    (other / "moved.npz").rename(root / "stack.npz")
    problem = found[0].problem()
    (root / "stack.npz").rename(other / "moved.npz")
    return problem


def test_noise_level_maps_and_reference(root):
    def problem(**settings: Any):
        return cases(root, "simulated", "stack.npz", slices=1, coils=2, **settings, **MASK)[
            0
        ].problem()

    quiet, loud = problem(sigma=[1e-6], maps="true"), problem(sigma=[0.1], maps="true")
    assert torch.equal(quiet.A.coil_maps, loud.A.coil_maps)
    noise = (loud.y - quiet.y)[:, :, quiet.mask[0, 0]]
    assert float(noise.abs().square().mean().sqrt()) == pytest.approx(0.1, rel=0.05)
    assert torch.allclose(quiet.y, quiet.A(quiet.reference), atol=1e-4)
    assert float(quiet.reference.abs().flatten().quantile(0.999)) == pytest.approx(1, abs=0.02)
    assert quiet.sigma is None
    full = problem(sigma=[0.1], maps="true", reference="full-scan")
    assert float((full.reference - loud.reference).abs().square().mean().sqrt()) == pytest.approx(
        0.1, rel=0.1
    )
    estimated = problem(sigma=[1e-3])
    rss = estimated.A.coil_maps.abs().square().sum(1).sqrt()
    assert not torch.allclose(estimated.A.coil_maps, quiet.A.coil_maps, atol=1e-2)
    assert float(rss.max()) == pytest.approx(1, abs=1e-3)


def test_volumes(root):
    (case,) = cases(root, "simulated", "volume.npy", dimensions=3, coils=2, maps="true", **MASK)
    problem = case.problem()
    assert case.ndim == 3
    assert problem.y.shape == (1, 2, 18, 20, 22)
    assert problem.reference.shape == (1, 1, 18, 20, 22)
    with pytest.raises(InputError, match="volumes were expected"):
        cases(root, "simulated", "grey.png", dimensions=3, **MASK)


def test_size(root):
    case = cases(root, "simulated", "stack.npz", longest=24, calibration=8, accelerations=[2])[0]
    assert case.problem().reference.shape[2:] == (24, 20)


def test_given_maps_fix_the_size(root):
    maps = np.ones((2, 36, 30), np.complex64) * np.array([3, 4])[:, None, None]
    np.save(root / "maps.npy", maps)
    settings = {"coil_maps": "maps.npy", "maps": "true", **MASK}
    problem = cases(root, "simulated", "stack.npz", slices=1, **settings)[0].problem()
    rss = problem.A.coil_maps.abs().square().sum(1)
    assert torch.allclose(rss, torch.ones_like(rss))
    with pytest.raises(InputError, match=r"mixed sizes.*31 × 26.*36 × 30"):
        cases(root, "simulated", "stack.npz", "grey.png", **settings)


def test_super_resolution(root):
    found = cases(root, "super-resolution", "grey.png", factors=[2, 3], sigma=[1e-6])
    assert [case.condition.split(",")[0] for case in found] == ["2×", "3×"]
    problem = found[1].problem()
    assert isinstance(problem.A, SuperResolution)
    assert problem.reference.shape == (1, 1, 30, 24)
    assert torch.allclose(problem.y, problem.A(problem.reference), atol=1e-4)
    assert problem.sigma == 1e-6
    assert 0.5 < float(problem.reference.max()) <= 1
    whole = cases(root, "super-resolution", "grey.png", crop=False)[0].problem()
    assert whole.reference.shape == (1, 1, 31, 26)


def test_colour_and_tiny_pictures(root):
    with pytest.raises(InputError, match=r"colour\.png is in colour.*luminance"):
        cases(root, "super-resolution", "*.png")
    assert cases(root, "super-resolution", "colour.png", colours="luminance")
    with pytest.raises(InputError, match=r"dot\.png has 2 × 2 pixels, fewer than the factor 3"):
        cases(root, "super-resolution", "dot.png")
    with pytest.raises(InputError, match="one picture"):
        cases(root, "super-resolution", "volume.npy")


def test_scans_along_lines(root):
    settings = {"slices": 1, "coils": 3, "maps": "true"}
    found = cases(root, "non-cartesian", "stack.npz", spokes=[20], sigma=[0.01, 0.02], **settings)
    assert {case.condition for case in found} == {
        f"20 spokes, radial, σ = {sigma} %" for sigma in (1, 2)
    }
    assert len({case.name for case in found}) == len(found) == 4
    problem = found[0].problem()
    assert problem.y.shape == (1, 3, 20, 72)
    error = problem.y - problem.A(problem.reference)
    assert float(error.abs().square().mean().sqrt()) == pytest.approx(0.01, rel=0.05)
    # It is measured along the readout, not told.
    assert problem.sigma == pytest.approx(0.01, rel=0.2)
    assert torch.equal(problem.y, found[0].problem().y)
    both = cases(
        root,
        "non-cartesian",
        "stack.npz",
        trajectories=["golden-angle", "spiral"],
        accelerations=[1, 2],
        slices=1,
    )
    assert len(both) == 2 * 2 * 2
    estimated = both[0].problem()
    assert float(estimated.A.coil_maps.abs().square().sum(1).max()) == pytest.approx(1, abs=1e-3)
    loss = psnr(ZeroFilled()(estimated.y, estimated.A).value, estimated.reference).value
    assert loss > 25


def test_all_spokes_may_be_asked_for_and_no_more(root):
    for size in (30, 31, 36):
        complete = round(math.pi / 2 * size)
        known = {"longest": size, "slices": 1, "coils": 1}
        case = cases(root, "non-cartesian", "stack.npz", spokes=[complete], **known)[0]
        assert case.problem().y.shape[2] == complete
        with pytest.raises(InputError, match=f"{complete + 1} spokes.*{complete} are a complete"):
            cases(root, "non-cartesian", "stack.npz", spokes=[complete + 1], **known)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "accelerations or spokes are needed, but neither"),
        ({"spokes": [8], "accelerations": [2]}, "but both are given; give one"),
        ({"spokes": [8], "trajectories": ["spiral"]}, "a spiral has no spokes"),
        ({"spokes": [8], "trajectories": ["rosette"]}, "'rosette', expected one of radial"),
        ({"spokes": [0]}, "greater than or equal to 1"),
        ({"spokes": [8], "interleaves": 3}, "interleaves"),
    ],
)
def test_wrong_lines_are_refused(root, settings, sentence):
    with pytest.raises(ValidationError, match=sentence):
        cases(root, "non-cartesian", "stack.npz", **settings)


def test_too_few_spokes_for_maps_are_refused_before_any_work(root):
    with pytest.raises(InputError, match=r"4 spokes, radial shows too little of the centre"):
        cases(root, "non-cartesian", "stack.npz", spokes=[4])
    assert cases(root, "non-cartesian", "stack.npz", spokes=[4], maps="true")


def test_lines_need_finufft(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "finufft", None)
    with pytest.raises(InputError, match=r"finufft is not installed.*molrecon\[nufft\]"):
        cases(root, "non-cartesian", "stack.npz", spokes=[20])


def test_scans(root):
    rng = np.random.default_rng(0)
    images = rng.uniform(0.5, 1, (2, 1, 1, 1)) * soft((24, 20))
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, (-2, -1))), (-2, -1))
    kspace += 0.01 * (rng.standard_normal(kspace.shape) + 1j)
    np.save(root / "full.npy", kspace)
    found = cases(root, "full-scans", "full.npy", slices=[1], **MASK)
    assert [case.slice for case in found] == [1]
    problem = found[0].problem()
    assert torch.equal(problem.y != 0, problem.mask.expand_as(problem.y))
    assert int(problem.mask.sum()) == 240
    with pytest.raises(InputError, match=r"slice 2 of .*full\.npy, which has 2"):
        cases(root, "full-scans", "full.npy", slices=[2], **MASK)
    with pytest.raises(InputError, match=r"full\.npy.*calibration"):
        cases(root, "full-scans", "full.npy", calibration=20, accelerations=[4])
    with pytest.raises(InputError, match="mask kind 'spiral'"):
        cases(root, "full-scans", "full.npy", mask_kinds=["spiral"], **MASK)
    kspace[:, :, ::2] = 0
    np.save(root / "half.npy", kspace)
    with pytest.raises(InputError, match="undersampled already"):
        cases(root, "full-scans", "half.npy", **MASK)
    with pytest.raises(InputError, match="No file matches 'none"):
        cases(root, "full-scans", "none.npy", **MASK)


def test_files_of_the_same_name_are_told_apart(root):
    for folder in ("a", "b"):
        (root / folder).mkdir()
        Image.fromarray(np.uint8(255 * soft((12, 12)) / 1.3)).save(root / folder / "same.png")
    found = cases(root, "super-resolution", "[ab]/same.png")
    assert len({case.name for case in found}) == 2
    assert {case.group for case in found} == {"a/same.png", "b/same.png"}
