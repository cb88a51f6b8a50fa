"""Scans of frames, in the formats that do not tell time from z by themselves."""

import numpy as np
import pytest
import torch

from molrecon.data.axes import Axes
from molrecon.data.formats import read_scan, write_scan
from molrecon.data.scan import Scan
from molrecon.errors import InputError

T, Y, X, COILS = 4, 6, 5, 3


def noise(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


def store(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, data=array)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file["data"] = array


@pytest.mark.parametrize("name", ["k.npy", "k.npz", "k.h5"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_the_path_says_that_an_axis_is_time(tmp_path, name, batch):
    kspace = noise(*batch, COILS, T, Y, X)
    store(tmp_path / name, kspace.numpy())
    scan = read_scan(f"{tmp_path / name}::frames")
    assert scan.axes == Axes("tyx")
    assert torch.equal(scan.kspace, kspace.reshape(-1, COILS, T, Y, X))
    assert scan.source.endswith("::frames")
    if batch:
        assert read_scan(tmp_path / name).axes.settled is False


def test_frames_need_an_axis_of_time(tmp_path):
    np.save(tmp_path / "k.npy", noise(COILS, Y, X).numpy())
    with pytest.raises(InputError, match="'::frames' needs the axes"):
        read_scan(f"{tmp_path / 'k.npy'}::frames")


@pytest.mark.parametrize("name", ["scan.npz", "scan.h5"])
@pytest.mark.parametrize("axes", [Axes.of(3), Axes("zyx"), Axes("tyx")])
def test_own_files_remember(tmp_path, name, axes):
    write_scan(tmp_path / name, Scan(noise(1, COILS, T, Y, X), axes=axes))
    found = read_scan(tmp_path / name).axes
    assert (found, found.settled) == (axes, axes.settled)


def test_a_flag_that_is_none_is_refused(tmp_path):
    np.savez(tmp_path / "k.npz", kspace=noise(1, COILS, T, Y, X).numpy(), dynamic=np.array(3))
    with pytest.raises(InputError, match="true or false was expected"):
        read_scan(tmp_path / "k.npz")


@pytest.mark.parametrize("shape", [(COILS, Y, X), (1, COILS, 1, Y, X), (COILS, 1, Y, X)])
def test_shared_maps_tell_frames_from_a_volume(shape):
    scan = Scan(noise(1, COILS, T, Y, X))
    maps = noise(*shape)
    found = scan.with_coil_maps(maps.numpy(), source="maps")
    assert found.axes == Axes("tyx")
    assert "time" in found.notes[-1]
    assert torch.equal(found.coil_maps, maps.reshape(1, COILS, 1, Y, X))


def test_maps_with_an_axis_of_time_are_kept():
    scan = Scan(noise(1, COILS, T, Y, X), axes=Axes("tyx"))
    maps = noise(COILS, T, Y, X)
    assert torch.equal(scan.with_coil_maps(maps.numpy(), source="m").coil_maps[0], maps)
    with pytest.raises(InputError, match="coil maps of m have shape"):
        scan.with_coil_maps(maps[:, 1:].numpy(), source="m")


def test_a_plane_of_samples_holds_for_every_slice_or_frame():
    scan = Scan(noise(1, COILS, T, Y, X))
    plane = torch.rand(Y, X, generator=torch.Generator().manual_seed(1)) < 0.5
    mask = scan.with_mask(plane.numpy(), source="mask").mask
    assert mask.shape == (1, 1, T, Y, X)
    assert all(torch.equal(mask[0, 0, t], plane) for t in range(T))
