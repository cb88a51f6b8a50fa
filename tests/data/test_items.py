"""Items of scans and images one at a time: the same as all at once."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from molrecon import Scan, read_image, read_scan, write_image, write_scan
from molrecon.data.formats import scan_items
from molrecon.data.image_items import ImageFile, ImageItems
from molrecon.data.scan_items import ScanItems
from molrecon.errors import InputError
from molrecon.pipeline.contents import contents_of

from .formats.sound_files import COLUMNS, LINES, header, ismrmrd, lines_of, pairs, twix

SHAPE = (3, 2, 12, 10)


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.complex64, generator=generator)


def h5(**datasets):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, data in datasets.items():
                file[name] = data

    return write


def cfl(dimensions, stored):
    """The axes of ``stored`` from the slowest to the fastest."""

    def write(path):
        path.with_suffix(".hdr").write_text(f"# Dimensions\n{dimensions}\n")
        path.write_bytes(np.ascontiguousarray(stored).tobytes())

    return write


def mrd(path):
    rows = [row for n in range(3) for row in lines_of(K[n], slice=n)]
    ismrmrd(path, rows, header((SHAPE[3], SHAPE[2], 1)))


def dat(path):
    data = noise(3, 3, LINES, COLUMNS).numpy()
    twix(path, [({"Lin": y, "Sli": s}, data[s, :, y]) for s in range(3) for y in range(LINES)])


def mat(compressed):
    def write(path):
        scipy.io.savemat(path, {"kspace": LAST.astype(np.complex128)}, do_compression=compressed)

    return write


K = noise(*SHAPE).numpy()
LAST = np.ascontiguousarray(K.transpose(2, 3, 1, 0))
NAMED = "::axes=y,x,coil,slice"
STACKS = {
    "scan.h5": lambda path: write_scan(
        path, Scan(noise(*SHAPE), coil_maps=noise(*SHAPE, seed=1), sigma=0.1)
    ),
    "scan.npz": lambda path: write_scan(path, Scan(noise(*SHAPE))),
    "scan.npy": lambda path: np.save(path, K),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(K)),
    f"last.npy{NAMED}": lambda path: np.save(path, LAST),
    "plain.npz": lambda path: np.savez(path, kspace=K),
    "fortran.npz": lambda path: np.savez(path, kspace=np.asfortranarray(K)),
    f"last.npz{NAMED}": lambda path: np.savez_compressed(path, kspace=LAST),
    f"fortran last.npz{NAMED}": lambda path: np.savez(path, kspace=np.asfortranarray(LAST)),
    f"last.h5{NAMED}": h5(kspace=LAST),
    "7.3.mat": h5(kspace=pairs(LAST.T)),
    "7.3 last.mat::axes=slice,coil,y,x": h5(kspace=pairs(LAST.T)),
    "7.3 first.mat::axes=y,coil,slice,x": h5(kspace=pairs(K.transpose(2, 1, 3, 0))),
    "plain.mat": mat(False),
    "packed.mat": mat(True),
    "scan.cfl": cfl(f"12 10 1 2 {'1 ' * 9}3 1 1", K.swapaxes(-1, -2)),
    "echoes.cfl": cfl(f"12 10 1 2 1 2 {'1 ' * 7}3 1 1", np.stack([K, 2 * K], 1).swapaxes(-1, -2)),
    "scan.mrd": mrd,
    "scan.dat": dat,
}
"""Writers of the stack, by the path to read it."""


def written(folder, name="scan.npz"):
    """Write a stack of slices and return the path to read it."""
    STACKS[name](folder / name.partition("::")[0])
    return f"{folder / name}"


@pytest.mark.parametrize("name", STACKS)
def test_items_are_those_of_the_whole(tmp_path, name):
    path = written(tmp_path, name)
    whole, items = read_scan(path), scan_items(path)
    assert len(items) == len(whole.kspace) >= 3
    assert items.whole is None
    if not name.endswith(".dat"):
        # Of several echoes of every slice the first.
        np.testing.assert_array_equal(whole.kspace[:: len(items) // 3].numpy(), K)
    for number, item in [*enumerate(items), (1, items[1]), (0, items[0])]:
        expected = whole.item(number)
        assert torch.equal(item.kspace, expected.kspace)
        assert torch.equal(item.mask, expected.mask)
        assert (item.coil_maps is None) == (expected.coil_maps is None)
        if item.coil_maps is not None:
            assert torch.equal(item.coil_maps, expected.coil_maps)
        assert (item.sigma, item.axes, item.geometry) == (
            expected.sigma,
            expected.axes,
            expected.geometry,
        )


@pytest.mark.parametrize("name", ["scan.h5", "scan.npz"])
def test_other_masks_maps_and_calibration_are_those_of_the_item(tmp_path, name):
    items = scan_items(written(tmp_path, name))
    mask = (noise(3, 12, 10).real > 0).numpy()
    maps, calibration = noise(*SHAPE, seed=2), noise(3, 2, 8, 8, seed=3)
    changed = (
        items.with_mask(mask).with_coil_maps(maps).with_calibration(calibration, source="acs.npy")
    )
    shared = items.with_mask(mask[0]).with_coil_maps(maps[0])
    for number in range(3):
        assert torch.equal(changed[number].mask[0, 0], torch.from_numpy(mask[number]))
        assert torch.equal(changed[number].coil_maps[0], maps[number])
        assert torch.equal(changed[number].calibration[0], calibration[number])
        assert torch.equal(shared[number].mask[0, 0], torch.from_numpy(mask[0]))
        assert torch.equal(shared[number].coil_maps[0], maps[0])


def test_a_bad_item_is_refused_when_it_is_read(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        kspace = noise(*SHAPE).numpy()
        kspace[1, 0, 3, 3] = np.nan
        file["kspace"] = kspace
    items = scan_items(tmp_path / "scan.h5")
    assert items[0].kspace.shape == (1, *SHAPE[1:])
    with pytest.raises(InputError, match="NaN"):
        items[1]


def test_images_in_a_file_are_those_that_were_stored(tmp_path):
    images = noise(4, 1, 6, 5)
    stored = ImageFile(tmp_path)
    for image in images:
        stored.append(image)
    assert not list(tmp_path.iterdir())
    assert torch.equal(stored.tensor(), images)
    items = stored.items()
    assert items.shape == (4, 1, 6, 5)
    assert np.array_equal(np.stack(list(items)), images.numpy())
    mapped = stored.tensor()
    mapped.zero_()
    assert torch.equal(stored.tensor(), images)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.cfl", "a.nii", "a.nii.gz", "a.dcm"])
@pytest.mark.parametrize("shape", [(1, 1, 6, 5), (3, 1, 6, 5)])
def test_written_one_by_one_or_at_once_is_the_same(tmp_path, name, shape):
    images = noise(*shape)
    stored = ImageFile()
    for image in images:
        stored.append(image)
    found = []
    for number, given in enumerate((images, ImageItems.of(images), stored.items())):
        path = tmp_path / f"{number}{name}"
        write_image(path, given)
        found.append(read_image(path).tensor())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    expected = images.abs() + 0j if ".nii" in name or ".dcm" in name else images
    torch.testing.assert_close(found[0].reshape(-1), expected.reshape(-1), rtol=0, atol=1e-4)


def test_items_in_memory_are_the_scan():
    scan = Scan(noise(*SHAPE))
    items = ScanItems.of(scan)
    assert items.held == scan.kspace.nbytes
    assert all(torch.equal(item.kspace[0], scan.kspace[i]) for i, item in enumerate(items))


@pytest.mark.parametrize("name", ["plain.npz", "fortran.npz"])
def test_a_wrong_checksum_is_found_before_the_first_item(tmp_path, name):
    path = Path(written(tmp_path, name))
    content = bytearray(path.read_bytes())
    content[-4000] ^= 1
    path.write_bytes(content)
    items = scan_items(path)
    with pytest.raises(InputError, match="CRC"):
        items[0]


@pytest.mark.parametrize("name", ["scan.npz", "packed.mat", "scan.mrd", "scan.dat", "scan.npy"])
def test_info_of_a_stack_is_that_of_its_items(tmp_path, name):
    facts = contents_of(written(tmp_path, name))
    assert facts["kind"] == "scan"
    assert facts["slices"] == 3
    assert facts["sampled"] == 1.0
    assert facts["sigma"] == pytest.approx(1, rel=0.3)
