from pathlib import Path

import numpy as np
import pytest
import torch

from molrecon.data.axes import Axes
from molrecon.data.formats import kind_of, read_array, read_image, read_scan, write_image
from molrecon.errors import InputError


def noise(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def write(path: Path, array: np.ndarray, dimensions: str | None = None) -> None:
    """Write as BART does: first axis fastest."""
    array.ravel(order="F").tofile(path.with_suffix(".cfl"))
    words = dimensions or " ".join(map(str, array.shape))
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{words} \n")


@pytest.mark.parametrize("suffix", ["", ".cfl", ".hdr"])
def test_rows_and_columns_of_a_slice_across_the_readout(tmp_path, suffix):
    array = noise(1, 7, 5, 3)
    write(tmp_path / "full", array, "1 7 5 3 1")
    scan = read_scan(f"{tmp_path / 'full'}{suffix}")
    expected = torch.from_numpy(np.moveaxis(array[0], -1, 0).copy())[None]
    assert torch.equal(scan.kspace, expected)
    assert "BART axes 0, 1, 2 of length (1, 7, 5)" in scan.notes[0]


def test_a_name_with_a_dot_is_a_base_name(tmp_path):
    write(tmp_path / "full", noise(4, 3, 1, 2))
    for suffix in (".cfl", ".hdr"):
        (tmp_path / f"full{suffix}").rename(tmp_path / f"scan.v2{suffix}")
    assert read_scan(tmp_path / "scan.v2").kspace.shape == (1, 2, 4, 3)


@pytest.mark.parametrize(
    ("dimensions", "shape"),
    [
        ((7, 5, 1, 3), (1, 3, 7, 5)),
        ((7, 1, 5, 3), (1, 3, 7, 5)),
        ((7, 5), (1, 1, 7, 5)),
        ((7, 5, 4, 3), (1, 3, 7, 5, 4)),
        ((7, 5, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6), (6, 3, 7, 5)),
        ((7, 5, 1, 3, 1, 6), (6, 3, 7, 5)),
        ((7, 5, 1, 3, 1, 2, 1, 1, 1, 1, 1, 1, 1, 3), (6, 3, 7, 5)),
    ],
)
def test_axes_by_number(tmp_path, dimensions, shape):
    array = noise(*dimensions)
    write(tmp_path / "k", array)
    kspace = read_scan(tmp_path / "k.cfl").kspace
    assert tuple(kspace.shape) == shape
    index = tuple(min(1, length - 1) for length in dimensions)
    # Slices run slower than echoes.
    first = 3 if dimensions[5:] and dimensions[5] == 2 else min(1, shape[0] - 1)
    place = (first, min(1, shape[1] - 1), *(min(1, n - 1) for n in shape[2:]))
    assert complex(kspace[place]) == array[index]


@pytest.mark.parametrize("slices", [1, 2])
def test_time_is_the_first_spatial_axis(tmp_path, slices):
    array = noise(7, 5, 1, 3, 1, 1, 1, 1, 1, 1, 6, 1, 1, slices)
    write(tmp_path / "k", array)
    scan = read_scan(tmp_path / "k.cfl")
    assert scan.axes.settled
    assert scan.axes == Axes("tyx")
    expected = array[:, :, 0, :, 0, 0, 0, 0, 0, 0, :, 0, 0, :].transpose(4, 2, 3, 0, 1)
    np.testing.assert_array_equal(scan.kspace.numpy(), expected)


def test_volumes_are_no_frames(tmp_path):
    write(tmp_path / "k", noise(7, 5, 4, 3))
    assert read_scan(tmp_path / "k").axes.settled
    write(tmp_path / "k", noise(7, 5, 4, 3, 1, 1, 1, 1, 1, 1, 2))
    with pytest.raises(InputError, match="time beyond three spatial axes"):
        read_scan(tmp_path / "k")


def test_coil_maps_come_without_the_batch_axis(tmp_path):
    write(tmp_path / "maps", noise(1, 7, 5, 3, 1))
    assert read_array(tmp_path / "maps").shape == (3, 7, 5)


def test_written_images_have_the_spatial_axes_first(tmp_path):
    image = torch.from_numpy(noise(2, 1, 7, 5))
    write_image(tmp_path / "image.cfl", image)
    words = (tmp_path / "image.hdr").read_text().splitlines()[1].split()
    assert [int(word) for word in words] == [7, 5] + [1] * 11 + [2, 1, 1]
    raw = np.fromfile(tmp_path / "image.cfl", "<c8").reshape((7, 5, 2), order="F")
    np.testing.assert_array_equal(raw[:, :, 1], image[1, 0].numpy())


@pytest.mark.parametrize("remove", [".cfl", ".hdr"])
def test_half_a_pair_is_refused(tmp_path, remove):
    write(tmp_path / "k", noise(4, 3))
    (tmp_path / f"k{remove}").unlink()
    with pytest.raises(InputError, match=rf"There is no file .*k\{remove}"):
        read_scan(tmp_path / "k")


def test_truncated_data_are_refused(tmp_path):
    write(tmp_path / "k", noise(4, 3), "4 4")
    with pytest.raises(InputError, match=r"k\.cfl has 96 bytes, .* \(4, 4\) .* need 128"):
        read_scan(tmp_path / "k.cfl")


@pytest.mark.parametrize("words", ["", "4 x", "4 0", "-4 -3"])
def test_a_bad_header_is_refused(tmp_path, words):
    write(tmp_path / "k", noise(4, 3), words or " ")
    with pytest.raises(InputError, match=r"k\.hdr"):
        read_scan(tmp_path / "k.cfl")


def test_a_foreign_header_is_refused(tmp_path):
    write(tmp_path / "k", noise(4, 3))
    (tmp_path / "k.hdr").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="could not be read as a BART header"):
        read_scan(tmp_path / "k.cfl")


@pytest.mark.parametrize(
    ("dimensions", "words"),
    [
        ((4, 3, 1, 2, 2), "axis 4, which counts sets of coil maps"),
        ((4, 3, 1, 2, 1, 1, 2), "axis 6"),
    ],
)
def test_axes_that_no_scan_has_are_refused(tmp_path, dimensions, words):
    write(tmp_path / "k", noise(*dimensions))
    with pytest.raises(InputError, match=words):
        read_scan(tmp_path / "k.cfl")


def test_sets_of_coil_maps_are_told_from_slices(tmp_path):
    maps = noise(1, 7, 5, 3, 2)
    write(tmp_path / "maps", maps)
    assert kind_of(tmp_path / "maps.cfl") == "coil maps"
    assert read_array(tmp_path / "maps").shape == (2, 3, 7, 5)
    second = read_array(f"{tmp_path / 'maps'}::1")
    np.testing.assert_array_equal(second, maps[0, :, :, :, 1].transpose(2, 0, 1))
    with pytest.raises(InputError, match="choose one of 0 to 1"):
        read_array(f"{tmp_path / 'maps'}::2")


def test_a_range_of_slices(tmp_path):
    array = noise(7, 5, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6)
    write(tmp_path / "k", array)
    whole = read_scan(tmp_path / "k").kspace
    assert torch.equal(read_scan(tmp_path / "k", slice_range=(2, 5)).kspace, whole[2:5])


def test_coils_are_not_an_image(tmp_path):
    write(tmp_path / "k", noise(4, 3, 1, 2))
    with pytest.raises(InputError, match=r"image .* has shape \(1, 2, 4, 3\)"):
        read_image(tmp_path / "k.cfl")


def test_a_magnitude_of_three_slices_is_no_trajectory(tmp_path):
    image = torch.rand(1, 1, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "image.cfl", image)
    found = read_image(tmp_path / "image.cfl").tensor()
    torch.testing.assert_close(found, image.to(torch.complex64))
