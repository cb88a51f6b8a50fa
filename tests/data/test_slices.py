import h5py
import nibabel as nib
import numpy as np
import pytest
import torch

from molrecon.data.slices import load_slices
from molrecon.errors import InputError


def ball(shape, peak=500.0):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return peak * (sum(axis**2 for axis in axes) < 0.7) * (1 + 0.2 * np.sin(9 * axes[-1]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    volume = folder / "head.nii.gz"
    nib.save(nib.Nifti1Image(ball((40, 36, 30)).astype(np.int16), np.eye(4)), volume)
    stack = folder / "slices.npz"
    images = np.stack([ball((60, 50))] * 4).astype(np.uint16)
    np.savez(stack, T1w=images, FLAIR=images // 2)
    return volume, stack


def test_volumes_are_cut_three_ways_without_empty_slices(files):
    stacks = load_slices(files[0])
    assert [stack.axis for stack in stacks] == [0, 1, 2]
    for stack in stacks:
        others = [axis for axis in range(3) if axis != stack.axis]
        share = (stack.volume > 0.1).float().mean(others)
        expected = torch.nonzero(share >= 0.08).flatten().tolist()
        assert 0 < len(expected) < stack.volume.shape[stack.axis]
        assert list(stack.indices) == expected
        assert stack.slice(0).untyped_storage().data_ptr() == (
            stacks[0].volume.untyped_storage().data_ptr()
        )
    assert stacks[0].volume.flatten().kthvalue(round(0.999 * 40 * 36 * 30)).values == 1


def test_orientations_can_be_chosen(files):
    assert [stack.axis for stack in load_slices(files[0], orientations=(2,))] == [2]


def test_every_contrast_of_an_archive_is_a_stack(files):
    stacks = load_slices(files[1])
    assert [stack.name for stack in stacks] == ["slices.npz T1w", "slices.npz FLAIR"]
    assert all(stack.indices == (0, 1, 2, 3) for stack in stacks)


def test_every_format_serves(files, tmp_path):
    """HDF5 files and arrays on their own are stacks of slices, read as archives are."""
    with np.load(files[1]) as archive:
        images = archive["T1w"]
    np.save(tmp_path / "slices.npy", images)
    with h5py.File(tmp_path / "slices.h5", "w") as file:
        file["image"] = images
    expected = load_slices(files[1])[0]
    for name in ("slices.npy", "slices.h5"):
        (stack,) = load_slices(tmp_path / name)
        assert stack.indices == expected.indices
        assert torch.equal(stack.volume, expected.volume)


def test_interpolated_images_are_shrunk_and_small_ones_are_not(tmp_path):
    # Above zero everywhere, so that ringing is not clipped.
    sharp = 100 + ball((96, 96))
    spectrum = np.fft.fftshift(np.fft.fft2(sharp))
    smooth = np.fft.ifft2(np.fft.ifftshift(np.pad(spectrum, 96))).real
    np.savez(tmp_path / "a.npz", a=np.stack([smooth]))
    np.savez(tmp_path / "b.npz", b=np.stack([sharp]))
    zero_filled = load_slices(tmp_path / "a.npz")[0].scales
    original = load_slices(tmp_path / "b.npz")[0].scales
    assert zero_filled[1] < 0.9  # 0.5 fills k-space
    assert original[0] > 0.9
    assert 1.4 < original[1] < 1.7


def test_unusable_files_are_refused(tmp_path, files):
    nan = ball((16, 16, 16))
    nan[0, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", a=nan)
    np.savez(tmp_path / "flat.npz", a=ball((16, 16)))
    np.savez(tmp_path / "zero.npz", a=np.zeros((3, 16, 16)))
    np.savez(tmp_path / "faint.npz", a=np.eye(64)[None])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "image.bmp").write_bytes(b"BM")
    (tmp_path / "short.nii.gz").write_bytes(files[0].read_bytes()[:400])
    for name, words in {
        "missing.npz": "There is no file",
        "nan.npz": "NaN",
        "flat.npz": r"axes \(slice, y, x\); store one slice as \(1, y, x\)",
        "zero.npz": "zero everywhere",
        "faint.npz": "signal",
        "text.npz": "of no known format",
        "image.bmp": "could not be read as",
        "short.nii.gz": "could not be read as",
    }.items():
        with pytest.raises(InputError, match=words) as error:
            load_slices(tmp_path / name)
        assert name in str(error.value)


def test_scale_factors_of_volumes_are_applied(tmp_path):
    """Stored as integers with a factor, as scanners do: the values, not the integers, count."""
    image = nib.Nifti1Image(ball((20, 18, 16)).astype(np.int16), np.eye(4))
    plain = nib.Nifti1Image(0.25 * np.asarray(image.dataobj) + 3, np.eye(4))
    image.header.set_slope_inter(0.25, 3)
    nib.save(image, tmp_path / "scaled.nii")
    nib.save(plain, tmp_path / "plain.nii")
    scaled, expected = (load_slices(tmp_path / f"{name}.nii") for name in ("scaled", "plain"))
    for one, other in zip(scaled, expected, strict=True):
        torch.testing.assert_close(one.volume, other.volume)
