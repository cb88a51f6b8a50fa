"""MATLAB files of both kinds, and CMRxRecon's, which are such."""

import h5py
import numpy as np
import pytest
import scipy.io

from molrecon.data.axes import Axes
from molrecon.data.formats import describe, kind_of, read_array, read_scan
from molrecon.errors import InputError

from .sound_files import COILS, COLUMNS, LINES, kspace, matlab73, pairs


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "u2", "i4", "?", "c8", "c16"])
def test_variables_are_those_that_scipy_wrote(tmp_path, compressed, kind):
    rng = np.random.default_rng(0)
    array = (9 * rng.random((4, 3, 2))).astype(kind)
    array = array * (1 - 2j) if kind[0] == "c" else array
    variables = {"first": array, "s": {"inner": {"b": array[0]}, "text": "words"}}
    scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    assert set(describe(tmp_path / "a.mat")) == {"first", "s/inner/b"}
    found = read_array(f"{tmp_path / 'a.mat'}::first")
    assert found.dtype == array.dtype or kind == "?"
    np.testing.assert_array_equal(found, array.transpose(2, 0, 1))
    np.testing.assert_array_equal(read_array(f"{tmp_path / 'a.mat'}::s/inner/b"), array[0])


def test_both_kinds_of_file_are_read_alike(tmp_path):
    data = kspace()
    scipy.io.savemat(tmp_path / "old.mat", {"s": {"kspace": np.moveaxis(data, 0, -1)}})
    matlab73(tmp_path / "new.mat")
    for name in ("old.mat", "new.mat"):
        assert kind_of(tmp_path / name) == "scan"
        np.testing.assert_array_equal(read_scan(tmp_path / name).kspace[0].numpy(), data)


@pytest.mark.parametrize("extension", [".mat", ".h5"])
def test_slices_and_time_are_the_last_axes(tmp_path, extension):
    """CMRxRecon: (kx, ky, coil, slice, time), which HDF5 shows in reverse."""
    data = np.stack([np.stack([kspace(seed=3 * t + s) for s in range(2)]) for t in range(3)])
    path = tmp_path / f"a{extension}"
    with h5py.File(path, "w") as file:
        file["kspace_full"] = pairs(data.swapaxes(-1, -2))
    scan = read_scan(path)
    assert scan.axes == Axes("tyx")
    assert scan.kspace.shape == (2, COILS, 3, LINES, COLUMNS)
    np.testing.assert_array_equal(scan.kspace.numpy(), data.transpose(1, 2, 0, 3, 4))
    second = read_scan(path, slice_range=(1, 2))
    np.testing.assert_array_equal(second.kspace.numpy(), scan.kspace[1:].numpy())


def test_what_lies_beside_kspace_in_a_struct_belongs_to_it(tmp_path):
    data = np.moveaxis(kspace(), 0, -1)
    mask = np.zeros((LINES, COLUMNS))
    mask[:, ::2] = 1
    parts = {"kspace": data, "mask": mask, "csm": data + 1, "sigma": 0.25}
    scipy.io.savemat(tmp_path / "a.mat", {"exam": parts})
    scan = read_scan(tmp_path / "a.mat")
    np.testing.assert_array_equal(scan.mask[0, 0].numpy(), mask > 0)
    np.testing.assert_allclose(scan.coil_maps[0].numpy(), kspace() + 1, rtol=1e-6)
    assert scan.sigma == 0.25


def test_a_damaged_compressed_variable_is_refused(tmp_path):
    scipy.io.savemat(
        tmp_path / "a.mat", {"a": np.random.default_rng(0).random((9, 9))}, do_compression=True
    )
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[300] ^= 255
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match="could not be read as a MATLAB file"):
        read_array(tmp_path / "a.mat")
