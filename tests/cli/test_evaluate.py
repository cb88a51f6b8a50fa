"""``molrecon evaluate``."""

import numpy as np
import pytest
import torch

from molrecon.data.formats import write_image
from molrecon.evaluation.metrics import nmse, psnr, ssim


@pytest.fixture
def stack() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    reference = rng.random((8, 20, 16)) * np.arange(1, 9)[:, None, None]
    return reference + 0.1 * rng.standard_normal(reference.shape), reference


def test_numbers_with_their_range_and_averaging(tmp_path, run_json, stack):
    image, reference = (torch.from_numpy(array)[:, None] for array in stack)
    np.save(tmp_path / "a.npy", stack[0].astype(np.float32))
    np.save(tmp_path / "b.npy", stack[1].astype(np.float32))
    facts = run_json("evaluate", tmp_path / "a.npy", tmp_path / "b.npy")
    assert facts["psnr"] == pytest.approx(psnr(image, reference).value, rel=1e-5)
    assert facts["ssim"] == pytest.approx(ssim(image, reference).value, rel=1e-5)
    assert facts["nmse"] == pytest.approx(nmse(image, reference).value, rel=1e-5)
    assert facts["averaging"] == "mean over 8 slices"
    assert "maximum of the reference" in facts["range"]
    assert facts["data_range"] == pytest.approx(stack[1].max(axis=(1, 2)).tolist(), rel=1e-5)
    assert facts["values"] == "magnitude"


@pytest.mark.parametrize(
    ("options", "rule", "value"),
    [
        (("--range", "volume"), "each volume", "maximum"),
        (("--over", "volume"), "each volume", "maximum"),
        (("--range", "7.5"), "given", 7.5),
    ],
)
def test_ranges(tmp_path, run_json, stack, options, rule, value):
    np.save(tmp_path / "a.npy", stack[0].astype(np.float32))
    np.save(tmp_path / "b.npy", stack[1].astype(np.float32))
    facts = run_json("evaluate", tmp_path / "a.npy", tmp_path / "b.npy", *options)
    assert rule in facts["range"]
    assert facts["data_range"] == pytest.approx(
        stack[1].max() if value == "maximum" else value, rel=1e-5
    )


def test_magnitudes_by_default(tmp_path, run_json, stack):
    np.save(tmp_path / "a.npy", (stack[1] * 1j).astype(np.complex64))
    np.save(tmp_path / "b.npy", stack[1].astype(np.float32))
    assert run_json("evaluate", tmp_path / "a.npy", tmp_path / "b.npy")["nmse"] < 1e-12
    facts = run_json("evaluate", tmp_path / "a.npy", tmp_path / "b.npy", "--complex")
    assert facts["nmse"] == pytest.approx(2)
    assert "complex" in facts["values"]


def test_equal_images_have_no_finite_psnr(tmp_path, run_json, run, stack):
    np.save(tmp_path / "a.npy", stack[1])
    facts = run_json("evaluate", tmp_path / "a.npy", tmp_path / "a.npy")
    assert facts["psnr"] is None
    assert facts["ssim"] == pytest.approx(1)
    assert facts["nmse"] == 0
    assert "inf" in run("evaluate", tmp_path / "a.npy", tmp_path / "a.npy").stdout


def test_a_scale_is_fitted_when_asked_and_suggested_when_far_off(tmp_path, run, run_json, stack):
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(b, stack[1])
    for factor, told in ((1e-3, True), (0.9, False), (40.0, True)):
        np.save(a, factor * stack[1])
        said = " ".join(run("evaluate", a, b).stderr.split())
        assert ("--fit-scale" in said) == told
        assert run_json("evaluate", a, b, "--fit-scale")["nmse"] < 1e-12
    np.save(a, 0.3j * stack[1])
    assert run_json("evaluate", a, b, "--fit-scale", "--complex")["nmse"] < 1e-12


def test_a_stack_may_be_stored_as_a_volume(tmp_path, run_json, stack):
    image, reference = (torch.from_numpy(array)[:, None] for array in stack)
    write_image(tmp_path / "a.nii.gz", image)
    write_image(tmp_path / "b.npy", reference)
    for over in ("slice", "volume"):
        facts = run_json("evaluate", tmp_path / "a.nii.gz", tmp_path / "b.npy", "--over", over)
        # NIfTI keeps magnitudes, and so do the figures.
        assert facts["psnr"] > 20


def test_refusals(tmp_path, refused, stack):
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(a, stack[0])
    np.save(b, stack[1][:, :-1])
    refused("evaluate", a, b, naming=["a.npy", "b.npy", 20, 19])
    refused("evaluate", a, a, "--over", "head", naming=["--over", "head"])
    refused("evaluate", a, a, "--range", "wide", naming=["--range", "wide"])
    refused("evaluate", a, a, "--range", "-1", naming=["range"])
    refused("evaluate", a, a, "--range", "slice", "--over", "volume", naming=["range"])
    np.save(b, np.zeros((8, 20, 16)))
    refused("evaluate", a, b, naming=["b.npy", "zero"])


def test_as_published(tmp_path, run_json, run, refused, stack):
    image, reference = (array / stack[1].max() for array in stack)
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(a, image)
    np.save(b, reference)
    ours = run_json("evaluate", a, b)
    published = run_json("evaluate", a, b, "--as-published")
    assert published["convention"] == "as published"
    assert published["ssim"] > ours["ssim"]
    assert published["psnr"] == pytest.approx(ours["psnr"])
    assert published["basis"]["ssim"]["data_range"] == 2
    assert ours["basis"]["nmse"]["data_range"] is None
    for facts in (ours, published):
        for basis in facts["basis"].values():
            assert basis["range"]
            assert basis["averaging"] == "mean over 8 slices"
    result = run("evaluate", a, b, "--as-published")
    assert "as published" in result.stdout
    assert "larger than with the true range" in " ".join(result.stderr.split())
    for options in (("--range", "volume"), ("--over", "volume"), ("--complex",)):
        refused("evaluate", a, b, "--as-published", *options, naming=["--as-published"])


def test_a_picture_has_other_units(files, tmp_path, run, run_json):
    picture = tmp_path / "image.png"
    write_image(picture, torch.from_numpy(np.load(files.reference))[None, None])
    assert "units" in run("evaluate", picture, files.reference).stderr
    assert "units" not in run("evaluate", picture, picture).stderr
    assert run_json("evaluate", picture, files.reference)["notes"][str(picture)]
