"""The layouts of fastMRI and MoDL, made here exactly as their files have them."""

import h5py
import numpy as np
import pytest
import torch

from molrecon.data.formats import describe, kind_of, read_image, read_scan
from molrecon.errors import InputError
from molrecon.operators.fourier import ifft_centred

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file.create_dataset(name, data=data)
    return path


def test_fastmri_multi_coil(tmp_path):
    kspace = noise(3, 2, 6, 5)
    rss = RNG.random((3, 6, 5), dtype=np.float32)
    path = write(tmp_path / "a.h5", kspace=kspace, reconstruction_rss=rss, ismrmrd_header=b"<xml/>")
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.kspace.numpy(), kspace)
    np.testing.assert_array_equal(scan.reference[:, 0].numpy(), rss)
    np.testing.assert_array_equal(read_image(path).array, rss)
    assert not scan.mask_given
    assert bool(scan.mask.all())
    assert kind_of(path) == "scan"
    np.testing.assert_array_equal(read_scan(path, slice_range=(1, 3)).kspace, kspace[1:])


def test_fastmri_single_coil_with_lines_and_cropped_reference(tmp_path):
    lines = np.array([0, 1, 1, 0, 1], dtype=np.float32)
    kspace = noise(3, 6, 5)
    esc = RNG.random((3, 4, 4), dtype=np.float32)
    path = write(tmp_path / "a.h5", kspace=kspace, mask=lines, reconstruction_esc=esc)
    scan = read_scan(path, slice_range=(0, 2))
    assert scan.kspace.shape == (2, 1, 6, 5)
    np.testing.assert_array_equal(scan.kspace[:, 0].numpy(), kspace[:2] * lines)
    expected = np.broadcast_to(lines > 0, (1, 1, 6, 5))
    np.testing.assert_array_equal(scan.mask.numpy(), expected)
    assert scan.reference is None
    assert any("cropped to (4, 4)" in note for note in scan.notes)


def test_maps_of_as_many_coils_as_slices_are_not_cut(tmp_path):
    kspace, maps = noise(2, 2, 4, 5), noise(2, 4, 5)
    path = write(tmp_path / "a.h5", kspace=kspace, coil_maps=maps)
    scan = read_scan(path, slice_range=(0, 1))
    np.testing.assert_array_equal(scan.coil_maps[0].numpy(), maps)


def modl_sets(prefix: str, rows: int, columns: int) -> dict[str, np.ndarray]:
    mask = (RNG.random((2, rows, columns)) < 0.5).astype(np.int8)
    mask[:, 0, 0] = 1
    return {
        f"{prefix}Org": noise(2, rows, columns),
        f"{prefix}Csm": noise(2, 3, rows, columns),
        f"{prefix}Mask": mask,
    }


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (6, 5)])
@pytest.mark.parametrize("prefix", ["trn", "tst"])
def test_modl_gives_the_same_zero_filled_image_as_its_own_code(tmp_path, prefix, size):
    sets = modl_sets(prefix, *size)
    path = write(tmp_path / "a.hdf5", **sets)
    scan = read_scan(path)
    image, maps, mask = sets.values()
    # MoDL samples an uncentred FFT, with the zero frequency at index 0.
    samples = np.fft.fft2(maps * image[:, None], norm="ortho") * mask[:, None]
    expected = (np.fft.ifft2(samples, norm="ortho") * maps.conj()).sum(1)
    found = (ifft_centred(scan.kspace, 2) * scan.coil_maps.conj()).sum(1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(scan.reference[:, 0].numpy(), image)
    np.testing.assert_array_equal(scan.coil_maps.numpy(), maps)
    # Index n // 2 is where the zero frequency is sampled now.
    assert bool(scan.mask[:, 0, size[0] // 2, size[1] // 2].all())
    assert torch.equal((scan.kspace != 0).any(1, keepdim=True), scan.mask)
    assert kind_of(path) == "scan"


def test_modl_with_both_sets_asks_which(tmp_path):
    sets = modl_sets("trn", 4, 5) | modl_sets("tst", 6, 5)
    path = write(tmp_path / "a.hdf5", **sets)
    with pytest.raises(InputError, match="append '::tst' or '::trn'"):
        read_scan(path)
    scan = read_scan(f"{path}::tst", slice_range=(1, 2))
    np.testing.assert_array_equal(scan.reference[0, 0].numpy(), sets["tstOrg"][1])
    assert kind_of(f"{path}::tst") == "scan"


def test_modl_without_maps_is_refused(tmp_path):
    sets = modl_sets("trn", 4, 5)
    del sets["trnCsm"]
    with pytest.raises(InputError, match="lacks trnCsm"):
        read_scan(write(tmp_path / "a.hdf5", **sets))


def test_modl_with_other_shapes_is_refused(tmp_path):
    sets = modl_sets("trn", 4, 5)
    sets["trnMask"] = sets["trnMask"][:, :3]
    with pytest.raises(InputError, match=r"Mask \(2, 3, 5\)"):
        read_scan(write(tmp_path / "a.hdf5", **sets))


def test_a_dataset_by_its_key(tmp_path):
    array = noise(3, 4, 5)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/first", data=array)
        file.create_dataset("second", data=array)
    assert list(describe(path)) == ["group/first", "second"]
    coils = read_scan(f"{path}::group/first")
    np.testing.assert_array_equal(coils.kspace[0].numpy(), array)
    slices = read_scan(f"{path}::second::slices", slice_range=(1, 2))
    np.testing.assert_array_equal(slices.kspace[0, 0].numpy(), array[1])
    with pytest.raises(InputError, match=r"2 arrays .*\(group/first \(complex64"):
        read_scan(path)
    with pytest.raises(InputError, match="no array 'third'"):
        read_image(f"{path}::third")


@pytest.mark.parametrize("slice_range", [(0, 4), (-1, 2), (2, 2), (3, 4)])
def test_a_slice_range_beyond_the_file_is_refused(tmp_path, slice_range):
    path = write(tmp_path / "a.h5", kspace=noise(3, 2, 4, 5))
    with pytest.raises(InputError, match="has 3 slices"):
        read_scan(path, slice_range=slice_range)


def test_text_is_not_kspace(tmp_path):
    with pytest.raises(InputError, match="plain numbers were expected"):
        read_scan(write(tmp_path / "a.h5", kspace="words"))
    with pytest.raises(InputError, match="plain numbers were expected"):
        read_image(f"{write(tmp_path / 'b.h5', words='words')}::words")
