"""K-space in files of named arrays: what lies beside it, and how its axes are meant."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import torch

from molrecon.data.formats import kind_of, read_scan, scan_items, write_scan
from molrecon.data.formats.parts import NAMES
from molrecon.data.geometry import Geometry
from molrecon.data.scan import Scan
from molrecon.errors import InputError

from .sound_files import COILS, COLUMNS, LINES, calgary, fastmri, kspace


def save(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


@pytest.mark.parametrize("extension", [".npz", ".h5"])
@pytest.mark.parametrize("name", NAMES["coil_maps"])
def test_three_axes_are_coils_where_maps_of_the_same_shape_lie_beside_them(
    tmp_path, name, extension
):
    data = kspace()
    path = save(tmp_path / f"a{extension}", kspace=data, **{name: data + 1})
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.kspace[0].numpy(), data)
    np.testing.assert_array_equal(scan.coil_maps[0].numpy(), data + 1)
    same = read_scan(f"{path}::kspace")
    assert torch.equal(same.kspace, scan.kspace)
    assert torch.equal(same.coil_maps, scan.coil_maps)


@pytest.mark.parametrize("key", ["", "::kspace"])
@pytest.mark.parametrize("name", NAMES["calibration"])
def test_calibration_beside_kspace_is_used(tmp_path, name, key):
    data = kspace()
    path = save(tmp_path / "a.h5", kspace=data, **{name: data[:, :, 8:16]})
    scan = read_scan(f"{path}{key}")
    np.testing.assert_array_equal(scan.calibration[0].numpy(), data[:, :, 8:16])


def test_three_axes_with_nothing_beside_them_are_fastmri_s_slices(tmp_path):
    path = save(tmp_path / "a.h5", kspace=kspace())
    assert read_scan(path).kspace.shape == (COILS, 1, LINES, COLUMNS)
    assert read_scan(f"{path}::kspace").kspace.shape == (1, COILS, LINES, COLUMNS)


@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5"])
def test_real_and_imaginary_parts_along_the_last_axis(tmp_path, extension):
    data = kspace()
    stored = np.stack([data.real, data.imag], -1)
    path = tmp_path / f"a{extension}"
    if extension == ".npy":
        np.save(path, stored)
    else:
        save(path, data=stored)
    assert kind_of(path) == "scan"
    np.testing.assert_array_equal(read_scan(path).kspace[0].numpy(), data)


@pytest.mark.parametrize("extension", [".npz", ".h5"])
def test_all_that_a_scan_knows_comes_back(tmp_path, extension):
    data = torch.from_numpy(kspace())[None].repeat(2, 1, 1, 1)
    scan = Scan(
        data,
        sigma=0.5,
        calibration=data[:, :, 4:12],
        noise=data[0, :, 0],
        geometry=Geometry.of_spacing((3.0, 2.0, 1.0)),
        image_shape=(LINES // 2, COLUMNS),
    )
    path = tmp_path / f"a{extension}"
    write_scan(path, scan)
    found = read_scan(path)
    for name in ("kspace", "mask", "calibration", "noise"):
        assert torch.equal(getattr(found, name), getattr(scan, name))
    assert (found.sigma, found.geometry, found.image_shape) == (0.5, scan.geometry, (10, COLUMNS))
    second = read_scan(path, slice_range=(1, 2))
    assert second.geometry == scan.geometry.moved((1, 0, 0))
    assert torch.equal(second.calibration, scan.calibration[1:])


def test_the_header_of_fastmri_tells_pixels_and_image(tmp_path):
    scan = read_scan(fastmri(tmp_path / "a.h5"))
    assert scan.image_shape == (LINES // 2, COLUMNS)
    assert scan.geometry.spacing == (5.0, 2.0, 2.0)
    assert not scan.geometry.placed
    assert any("not used as the reference" in note for note in scan.notes)


@pytest.mark.parametrize("shifted", [False, True])
def test_calgary_campinas_images_have_the_object_in_the_middle(tmp_path, shifted):
    """Their transform lacks the inner shift: K = fftshift(fft2(x))."""
    calgary(tmp_path / "a.h5")
    data = kspace()
    if shifted:
        image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(data, (1, 2))), (1, 2))
        stored = np.fft.fftshift(np.fft.fft2(image), (1, 2))
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            file["kspace"][..., 0::2] = np.moveaxis(stored.real, 0, -1)
            file["kspace"][..., 1::2] = np.moveaxis(stored.imag, 0, -1)
    scan = read_scan(tmp_path / "a.h5", slice_range=(1, 2))
    assert scan.kspace.shape == (1, COILS, LINES, COLUMNS)
    np.testing.assert_allclose(scan.kspace[0].numpy(), data, atol=1e-5)
    assert kind_of(tmp_path / "a.h5") == "scan"


def test_calgary_campinas_slices_are_read_one_by_one_and_lie_alike(tmp_path):
    """A slice of nothing but noise is moved as the others are."""
    calgary(tmp_path / "a.h5")
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace(), (1, 2))), (1, 2))
    stored = np.fft.fftshift(np.fft.fft2(image), (1, 2))
    noise = 1e-3 * kspace(seed=7)[:, ::-1, ::-1]
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        for number, one in enumerate((stored, noise)):
            file["kspace"][number, ..., 0::2] = np.moveaxis(one.real, 0, -1)
            file["kspace"][number, ..., 1::2] = np.moveaxis(one.imag, 0, -1)
    items = scan_items(tmp_path / "a.h5")
    assert len(items) == 2
    assert items.whole is None
    together = read_scan(tmp_path / "a.h5")
    for number in range(2):
        assert torch.equal(items[number].kspace[0], together.kspace[number])
    y, x = (np.exp(2j * np.pi * (np.arange(n) - n // 2) * (n // 2) / n) for n in (LINES, COLUMNS))
    expected = noise * y[:, None] * x
    np.testing.assert_allclose(together.kspace[1].numpy(), expected, atol=1e-6)


def radial(start: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a disc along spokes that begin at ``start``, and where they lie."""
    angles = np.linspace(0, np.pi, 48, endpoint=False)
    along = np.linspace(start, 1, 64)
    places = along[None, :, None] * np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
    samples = np.sinc(9 * np.linalg.norm(places, axis=-1)) + 0j
    noise = np.random.default_rng(0).standard_normal(samples.shape)
    return samples + 1e-3 * noise, 32 * places


@pytest.mark.parametrize("start", [-1, 0])
def test_radial_samples_and_their_trajectory_are_refused(tmp_path, start):
    for name, array in zip(("a.npy", "b.npy"), radial(start), strict=True):
        np.save(tmp_path / name, array)
        for read in (kind_of, read_scan):
            with pytest.raises(InputError, match="the file that says where they lie"):
                read(tmp_path / name)


def test_a_trajectory_of_complex_numbers_is_refused(tmp_path):
    _, places = radial(-1)
    np.save(tmp_path / "a.npy", places[..., 0] + 1j * places[..., 1])
    for read in (kind_of, read_scan):
        with pytest.raises(InputError, match="it is a trajectory"):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_many_readers_at_once_read_the_slices_one_reads(tmp_path, name):
    data = np.stack([kspace(seed=seed) for seed in range(8)])
    path = save(tmp_path / name, kspace=data)
    ranges = [(n, n + 1) for n in range(8)] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: read_scan(path, slice_range=one).kspace, ranges))
    for (first, _), one in zip(ranges, found, strict=True):
        np.testing.assert_array_equal(one[0].numpy(), data[first])


def test_a_mask_of_another_name_is_said_not_to_be_applied(tmp_path):
    lines = (np.arange(COLUMNS) % 4 == 0).astype(np.int32)
    path = save(tmp_path / "a.h5", kspace=kspace(), csm=kspace(), mask_R4=lines)
    scan = read_scan(path)
    assert bool(scan.mask.all())
    assert any("mask_R4 not applied" in note for note in scan.notes)
