"""``molrecon reconstruct`` of volumes and series of frames, and what it refuses of them."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import molrecon
from molrecon.data.coil_maps import estimate_coil_maps, estimate_shared_maps
from molrecon.data.formats import read_image
from molrecon.data.simulation import add_noise, simulate_coil_maps
from molrecon.operators.fourier import fft_centred, ifft_centred
from molrecon.pipeline.memory import plan_memory
from molrecon.reconstructors.configuration import ModelConfig

from .conftest import tiny_model

VOLUME = (11, 19, 17)  # multiples of nothing
FRAMES, PLANE, COILS = 5, (22, 19), 4
STRICT = {
    "network": {"kind": "residual-strict", "features": 8, "layers": 2},
    "monotonicity": 0.4,
    "weight": {"lam0": 0.01, "floor": 0.05},
}


def strict_model(path: Path, axes: str) -> Path:
    network = {**STRICT["network"], "ndim": len(axes), "lipschitz": 0.6}
    config = ModelConfig.model_validate({**STRICT, "network": network, "axes": axes})
    torch.manual_seed(0)
    return molrecon.save(config.build(), path, config)


def body(shape):
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = sum(axis.square() for axis in axes).sqrt()
    return torch.sigmoid(14 * (0.8 - radius)) + 0.5 * torch.sigmoid(20 * (0.3 - radius))


def disc_mask(shape, width, seed):
    """Random points and a fully sampled centre."""
    draw = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    for_centre = [slice(n // 2 - width // 2, n // 2 - width // 2 + width) for n in shape]
    draw[tuple(for_centre)] = True
    return draw


@dataclass
class Stored:
    volume: Path
    frames: Path
    slice_model: Path
    volume_model: Path
    frames_model: Path


# What is compared with a method as it is, where the noise may be uncertain.
FIXED = ("--strength", 1)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    generator = torch.Generator().manual_seed(0)
    # The readout is x; both phase encodes are undersampled.
    maps = simulate_coil_maps(VOLUME, COILS, generator=generator)
    mask = disc_mask(VOLUME[:2], 9, 1)[:, :, None].expand(VOLUME)
    kspace = add_noise(fft_centred(maps * body(VOLUME), 3), 0.02, generator=generator) * mask
    np.savez(folder / "volume.npz", kspace=kspace[None].numpy(), mask=mask.numpy())

    maps = simulate_coil_maps(PLANE, COILS, generator=generator)
    beat = 1 + 0.3 * torch.sin(torch.linspace(0, 6, FRAMES))[:, None, None]
    masks = torch.stack([disc_mask(PLANE, 8, seed) for seed in range(FRAMES)])
    images = fft_centred(maps[:, None] * (beat * body(PLANE)), 2)
    kspace = add_noise(images, 0.02, generator=generator) * masks
    np.save(folder / "frames.npy", kspace[None].numpy())
    return Stored(
        folder / "volume.npz",
        folder / "frames.npy",
        tiny_model(folder / "slices.safetensors"),
        strict_model(folder / "volumes.safetensors", "zyx"),
        strict_model(folder / "frames.safetensors", "tyx"),
    )


def arrays_of(stored):
    file = np.load(stored.volume)
    return torch.from_numpy(file["kspace"]), torch.from_numpy(file["mask"])[None, None]


def close(found, expected, tolerance=2e-3):
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_a_volume(stored, run_json, tmp_path):
    out = tmp_path / "image.npy"
    facts = run_json(
        "reconstruct", stored.volume, "--model", stored.volume_model, *FIXED, "-o", out
    )
    kspace, mask = arrays_of(stored)
    A = molrecon.CartesianMRI(estimate_coil_maps(kspace, mask), mask)
    expected = molrecon.load(stored.volume_model)(kspace, A).value
    close(np.load(out), expected[0, 0])
    assert (facts["axes"], facts["taken_apart"], facts["tile"]) == ("zyx", False, None)
    assert facts["certified"] is True
    assert [one["place"] for one in facts["slices"]] == ["volume 0"]


def test_frames_need_no_flag_where_the_model_is_made_for_them(stored, run_json, tmp_path):
    out = tmp_path / "image.npy"
    facts = run_json(
        "reconstruct", stored.frames, "--model", stored.frames_model, *FIXED, "-o", out
    )
    kspace = torch.from_numpy(np.load(stored.frames))
    mask = (kspace != 0).any(1, keepdim=True)
    A = molrecon.DynamicMRI(estimate_shared_maps(kspace, mask), mask)
    close(np.load(out), molrecon.load(stored.frames_model)(kspace, A).value[0, 0])
    assert facts["axes"] == "tyx"


def test_a_volume_by_a_model_of_slices(stored, run, run_json, tmp_path):
    out = tmp_path / "image.npy"
    common = ("reconstruct", stored.volume, "--model", stored.slice_model, *FIXED, "-o", out)
    facts = run_json(*common)
    assert facts["taken_apart"] is True
    assert len(facts["slices"]) <= VOLUME[2]
    said = " ".join(run(*common).stderr.split())
    assert "taken apart along x" in said
    kspace, mask = arrays_of(stored)
    maps = estimate_coil_maps(kspace, mask)
    sigma = float(molrecon.CartesianMRI(maps, mask).estimate_sigma(kspace))
    separated = ifft_centred(kspace, 1)
    number = VOLUME[2] // 2
    A = molrecon.CartesianMRI(maps[..., number], mask[..., 0])
    expected = molrecon.load(stored.slice_model)(separated[..., number], A, sigma=sigma).value
    close(np.load(out)[..., number], expected[0, 0])


def test_frames_by_a_model_of_slices(stored, run, run_json, tmp_path):
    out = tmp_path / "image.npy"
    common = (
        "reconstruct",
        f"{stored.frames}::frames",
        "--model",
        stored.slice_model,
        *FIXED,
        "-o",
        out,
    )
    facts = run_json(*common)
    assert [one["place"] for one in facts["slices"]] == [f"frame {t}" for t in range(FRAMES)]
    assert "every frame is reconstructed by itself" in " ".join(run(*common).stderr.split())
    assert np.load(out).shape == (FRAMES, *PLANE)


@pytest.mark.parametrize("method", ["sense", "tv", "zero-filled"])
def test_methods_without_a_model_take_both(stored, run_json, tmp_path, method):
    pytest.importorskip("sigpy")
    out = tmp_path / "image.npy"
    for name, shape in ((stored.volume, VOLUME), (f"{stored.frames}::frames", (FRAMES, *PLANE))):
        run_json("reconstruct", name, "--method", method, "-o", out)
        assert np.load(out).shape == shape
        assert np.isfinite(np.load(out)).all()


def test_an_axis_that_may_be_time_is_pointed_out(stored, run, tmp_path):
    out = ("--method", "zero-filled", "-o", tmp_path / "image.npy")
    said = " ".join(run("reconstruct", stored.volume, *out).stderr.split())
    assert "taken for a volume" in said
    assert "::frames" in said
    assert "volume" not in run("reconstruct", f"{stored.frames}::frames", *out).stderr


def test_maps_with_an_axis_of_time_are_used(stored, run_json, tmp_path):
    kspace = torch.from_numpy(np.load(stored.frames))
    mask = (kspace != 0).any(1, keepdim=True)
    maps = estimate_shared_maps(kspace, mask)[0]
    images = []
    for name, array in (("own", maps.expand(-1, FRAMES, -1, -1)), ("shared", maps[:, 0])):
        np.save(tmp_path / f"{name}.npy", array.numpy())
        given = ("--coil-maps", tmp_path / f"{name}.npy", "-o", tmp_path / "image.npy")
        run_json("reconstruct", stored.frames, "--model", stored.frames_model, *FIXED, *given)
        images.append(np.load(tmp_path / "image.npy"))
    close(images[0], images[1], 1e-5)


def test_two_volumes_with_masks_of_their_own(stored, run_json, tmp_path):
    kspace, mask = arrays_of(stored)
    other = mask.flip(2).roll(1, 2)
    other[:, :, 1:10, 5:14] = True
    np.savez(
        tmp_path / "two.npz",
        kspace=torch.cat([kspace, kspace * other]).numpy(),
        mask=torch.cat([mask, mask & other]).numpy(),
    )
    out = tmp_path / "image.npy"
    facts = run_json(
        "reconstruct", tmp_path / "two.npz", "--model", stored.slice_model, *FIXED, "-o", out
    )
    assert np.load(out).shape == (2, 1, *VOLUME)
    assert facts["slices"][0]["place"].startswith("volume 0, slice ")
    assert facts["slices"][-1]["place"].startswith("volume 1, slice ")


def test_output_keeps_three_axes(stored, run, tmp_path):
    for name in ("image.nii.gz", "image.cfl", "image.png"):
        out = tmp_path / name
        assert run("reconstruct", stored.volume, "--method", "sense", "-o", out).exit_code == 0
    assert read_image(tmp_path / "image.nii.gz").array.shape == VOLUME


def test_tiles_make_it_fit(stored, run_json, run, tmp_path, monkeypatch):
    monkeypatch.setattr("molrecon.pipeline.memory_limit.resident_memory", lambda device: 2**30)
    out, tiled = tmp_path / "image.npy", tmp_path / "tiled.npy"
    # Of so small a volume estimating the maps would take more than all else.
    np.save(tmp_path / "maps.npy", molrecon.estimate_coil_maps(*arrays_of(stored))[0].numpy())
    given = ("--coil-maps", tmp_path / "maps.npy", "--tol", 1e-4)
    wide = {"kind": "residual-strict", "features": 48, "layers": 2, "ndim": 3, "lipschitz": 0.5}
    file = tiny_model(tmp_path / "wide.safetensors", network=wide)
    common = ("reconstruct", stored.volume, "--model", file, *FIXED, *given)
    whole = run_json(*common, "-o", out)
    kept = 2 * 8 * math.prod(VOLUME)  # the image, and while it is put together
    model = molrecon.load(file)
    plan = plan_memory(VOLUME, COILS, model, limit=None, held=kept)
    assert plan.total == whole["memory_estimate"]
    less = (plan.total - 0.3 * plan.network) / 2**30
    facts = run_json(*common, "-o", tiled, "--max-memory", 1 + less)
    assert facts["tile"] is not None
    assert facts["tile"] != list(VOLUME)
    # The process holds the measurements already, and the estimate counts them.
    held = 8 * COILS * math.prod(VOLUME)
    assert facts["memory_estimate"] <= less * 2**30 + held
    assert facts["certified"] is True
    close(np.load(tiled), np.load(out), 2e-4)
    assert "in tiles of" in " ".join(
        run(*common, "-o", out, "--max-memory", 1 + less).stdout.split()
    )


def test_what_does_not_fit_is_refused(stored, refused, tmp_path, monkeypatch):
    out = tmp_path / "image.npy"
    refused(
        *("reconstruct", stored.volume, "--method", "sense", "-o", out, "--max-memory", 0.01),
        naming=["that the process holds already", "--max-memory"],
    )
    monkeypatch.setattr("molrecon.pipeline.memory_limit.resident_memory", lambda device: 0)
    common = ("reconstruct", stored.volume, "-o", out, "--max-memory", 2e-3)
    for how in (("--model", stored.volume_model, *FIXED), ("--method", "sense")):
        refused(*common, *how, naming=["Estimating coil maps", "GiB", "--max-memory"])
    for wrong in (0, -1, "nan"):
        refused(*common[:-1], wrong, "--method", "sense", naming=["--max-memory"])


def test_a_model_refuses_other_axes(stored, files, refused, tmp_path):
    out = ("-o", tmp_path / "image.npy")
    for model, wanted in ((stored.volume_model, "volumes"), (stored.frames_model, "frames")):
        refused("reconstruct", files.under, "--model", model, *out, naming=["y, x", wanted])
    refused(
        *("reconstruct", f"{stored.frames}::frames", "--model", stored.volume_model, *FIXED, *out),
        naming=["t, y, x", "z, y, x", "volumes.safetensors"],
    )
    kspace, _ = arrays_of(stored)
    np.savez(tmp_path / "known.npz", kspace=kspace.numpy(), dynamic=np.array(False))
    refused(
        *("reconstruct", tmp_path / "known.npz", "--model", stored.frames_model, *FIXED, *out),
        naming=["z, y, x", "t, y, x"],
    )


def test_a_mask_that_differs_from_slice_to_slice(stored, refused, run_json, tmp_path):
    """A model of volumes takes it; slices do not come apart."""
    mask = disc_mask(VOLUME, 9, 3)
    kspace = np.load(stored.volume)["kspace"]
    np.save(tmp_path / "mask.npy", mask.numpy() & (kspace != 0).any((0, 1)))
    np.save(tmp_path / "scan.npy", kspace)
    out = ("--mask", tmp_path / "mask.npy", "-o", tmp_path / "image.npy")
    facts = run_json(
        "reconstruct", tmp_path / "scan.npy", "--model", stored.volume_model, *FIXED, *out
    )
    assert facts["status"] == "converged"
    (tmp_path / "image.npy").unlink()
    refused(
        *("reconstruct", tmp_path / "scan.npy", "--model", stored.slice_model, *FIXED, *out),
        naming=["undersampled along all", "slices.safetensors"],
    )


def test_frames_without_samples(stored, refused, tmp_path):
    kspace = np.load(stored.frames)
    kspace[:, :, 3] = 0
    np.save(tmp_path / "gap.npy", kspace)
    out = ("-o", tmp_path / "image.npy")
    for path, model in (
        (tmp_path / "gap.npy", stored.frames_model),
        (f"{tmp_path / 'gap.npy'}::frames", stored.slice_model),
    ):
        refused("reconstruct", path, "--model", model, *out, naming=["Frame 3", "no samples"])


def test_one_slice_or_frame(stored, refused, run_json, tmp_path):
    np.save(tmp_path / "one.npy", np.load(stored.frames)[:, :, :1])
    path, out = tmp_path / "one.npy", tmp_path / "image.npy"
    for model, what in ((stored.volume_model, "one slice"), (stored.frames_model, "one frame")):
        refused("reconstruct", path, "--model", model, "-o", out, naming=[what, model.name])
    facts = run_json("reconstruct", path, "--model", stored.slice_model, *FIXED, "-o", out)
    assert facts["taken_apart"] is True
    assert np.load(out).shape == (1, *PLANE)


def test_maps_of_other_frames(stored, refused, tmp_path):
    np.save(tmp_path / "maps.npy", np.ones((COILS, FRAMES + 1, *PLANE), np.complex64))
    refused(
        *("reconstruct", f"{stored.frames}::frames", "--model", stored.frames_model, *FIXED),
        *("--coil-maps", tmp_path / "maps.npy", "-o", tmp_path / "image.npy"),
        naming=["maps.npy", FRAMES + 1, FRAMES],
    )


def test_a_third_axis_taken_for_time_is_pointed_out(stored, run, tmp_path):
    out = ("--model", stored.frames_model, *FIXED, "-o", tmp_path / "image.npy")
    said = " ".join(run("reconstruct", stored.frames, *out).stderr.split())
    assert "frames.npy is taken for time" in said
    assert "time" not in run("reconstruct", f"{stored.frames}::frames", *out).stderr


def test_four_axes_that_are_no_slices(stored, refused, tmp_path):
    """Coils first, as many keep a single volume or series."""
    kspace, mask = arrays_of(stored)
    np.savez(tmp_path / "volume.npz", kspace=kspace[0].numpy(), mask=mask[0, 0].numpy())
    out = ("-o", tmp_path / "image.npy")
    for model in (stored.volume_model, stored.slice_model):
        refused(
            *("reconstruct", tmp_path / "volume.npz", "--model", model, *out),
            naming=["mask of", "(batch, coil, y, x)", "(1, coil, z, y, x)", "'::frames'"],
        )
    np.savez(tmp_path / "bare.npz", kspace=kspace[0].numpy())
    refused(
        *("reconstruct", tmp_path / "bare.npz", "--model", stored.volume_model, *FIXED, *out),
        naming=["2 spatial axes", "(batch, coil, z, y, x)"],
    )
    np.savez(
        tmp_path / "frames.npz",
        kspace=np.load(stored.frames)[0],
        coil_maps=np.ones((COILS, 1, *PLANE), np.complex64),
    )
    refused(
        *("reconstruct", tmp_path / "frames.npz", "--model", stored.frames_model, *FIXED, *out),
        naming=["coil maps of", "(batch, coil, y, x)", "'::frames'"],
    )
