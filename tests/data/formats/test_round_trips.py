"""What is written is read again, for every format and for odd shapes."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.data.formats import (
    kind_of,
    read_array,
    read_image,
    read_scan,
    write_image,
    write_scan,
)
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan

SPATIAL = st.lists(st.integers(2, 7), min_size=2, max_size=3).map(tuple)
few = settings(max_examples=15, deadline=None)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5", ".hdf5", ".cfl"])
@few
@given(batch=st.integers(1, 3), spatial=SPATIAL)
def test_complex_images_survive_exactly(extension, batch, spatial):
    image = noise(batch, 1, *spatial)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{extension}"
        write_image(path, image)
        found = read_image(path)
        stored = read_array(path)
    assert found.ndim == len(spatial)
    assert torch.equal(found.tensor(), image)
    assert stored.dtype == np.complex64
    assert stored.shape == (spatial if batch == 1 else (batch, 1, *spatial))


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@few
@given(spatial=SPATIAL, data=st.data())
def test_nifti_keeps_magnitude_and_spacing(extension, spatial, data):
    spacing = data.draw(st.tuples(*[st.floats(0.25, 4.0, width=16)] * len(spatial)))
    image = noise(1, 1, *spatial)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{extension}"
        write_image(path, image, geometry=Geometry.of_spacing(spacing))
        found = read_image(path)
    assert found.axes == ("z", "y", "x")[-len(spatial) :]
    assert found.spacing == spacing
    np.testing.assert_allclose(np.diag(found.geometry.matrix)[: len(spatial)], spacing[::-1])
    np.testing.assert_allclose(found.array, image[0, 0].abs().numpy(), rtol=1e-6)


def test_nifti_stacks_a_batch_of_slices(tmp_path):
    image = noise(3, 1, 5, 4)
    write_image(tmp_path / "image.nii", image)
    found = read_image(tmp_path / "image.nii")
    np.testing.assert_allclose(found.array, image[:, 0].abs().numpy(), rtol=1e-6)
    assert found.spacing == (1.0, 1.0, 1.0)


def test_png_is_windowed_from_zero_to_the_brightest(tmp_path):
    ramp = torch.linspace(0, 40, 35).reshape(1, 1, 7, 5) * torch.exp(torch.tensor(0.3j))
    write_image(tmp_path / "image.png", ramp)
    grey = read_array(tmp_path / "image.png")
    magnitude = ramp[0, 0].abs().numpy()
    expected = np.clip(magnitude / np.percentile(magnitude, 99.8), 0, 1)
    np.testing.assert_allclose(grey, expected, atol=0.51 / 255)


def test_png_lays_out_several_slices(tmp_path):
    image = torch.arange(1.0, 6.0).reshape(5, 1, 1, 1).expand(5, 1, 3, 4)
    write_image(tmp_path / "image.png", image)
    grey = read_array(tmp_path / "image.png")
    assert grey.shape == (2 * 3, 3 * 4)
    tiles = grey.reshape(2, 3, 3, 4)[:, 0, :, 0].ravel()
    np.testing.assert_allclose(tiles, [0.2, 0.4, 0.6, 0.8, 1.0, 0.0], atol=0.51 / 255)


@pytest.mark.parametrize("extension", [".npz", ".h5"])
@few
@given(
    batch=st.integers(1, 3),
    coils=st.integers(1, 3),
    spatial=SPATIAL,
    present=st.sets(st.sampled_from(["mask", "coil_maps", "reference", "sigma"])),
    shared=st.booleans(),
)
def test_scans_survive_exactly(extension, batch, coils, spatial, present, shared):
    shape = (1 if shared else batch, 1, *spatial)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.6
    mask[..., 0] = True
    parts = {
        "mask": mask,
        "coil_maps": noise(1 if shared else batch, coils, *spatial, seed=2),
        "reference": noise(batch, 1, *spatial, seed=3),
        "sigma": 0.037,
    }
    scan = Scan(
        noise(batch, coils, *spatial) * mask, **{k: v for k, v in parts.items() if k in present}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"scan{extension}"
        write_scan(path, scan)
        found = read_scan(path)
        last = read_scan(path, slice_range=(batch - 1, batch))
        assert kind_of(path) == "scan"
    assert torch.equal(found.kspace, scan.kspace)
    assert torch.equal(found.mask, scan.mask)
    assert found.sigma == scan.sigma
    assert torch.equal(last.kspace, scan.kspace[-1:])
    for name in ("mask", "coil_maps", "reference"):
        before, after, sliced = (getattr(one, name) for one in (scan, found, last))
        assert (before is None) == (after is None) == (sliced is None)
        if before is not None:
            assert torch.equal(before, after)
            assert torch.equal(before[-1:], sliced)


@pytest.mark.parametrize("extension", [".npy", ".cfl", ".png", ".nii.gz", ".h5", ".npz"])
def test_nothing_but_the_output_remains(tmp_path, extension):
    write_image(tmp_path / f"image{extension}", noise(1, 1, 5, 4))
    expected = {f"image{extension}"} | ({"image.hdr"} if extension == ".cfl" else set())
    assert {path.name for path in tmp_path.iterdir()} == expected
