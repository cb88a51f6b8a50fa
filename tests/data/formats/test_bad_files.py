"""Whatever is wrong with a file ends in one sentence that names it."""

from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch

from molrecon.data.formats import describe, kind_of, read_array, read_image, read_scan, write_image
from molrecon.errors import InputError

SCANS = [".cfl", ".npy", ".npz", ".h5"]
IMAGES = [*SCANS, ".nii", ".nii.gz", ".png", ".bmp", ".jpg"]
READERS = {"scan": read_scan, "image": read_image, "array": read_array, "kind": kind_of}


def sound_file(path: Path) -> Path:
    """Write a file of incompressible content, so that cutting it anywhere hurts."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.standard_normal((1, 1, 40, 30)) + 0j)
    if path.suffix in (".jpg", ".bmp"):
        from PIL import Image

        Image.fromarray(rng.integers(0, 255, (40, 30), dtype=np.uint8)).save(path)
    else:
        write_image(path, image)
    return path


def sentence(error: pytest.ExceptionInfo[InputError], path: Path) -> str:
    text = str(error.value)
    assert path.name in text
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("extension", IMAGES)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_missing_and_folder(tmp_path, reader, extension):
    path = tmp_path / f"a{extension}"
    with pytest.raises(InputError) as error:
        reader(path)
    sentence(error, path)
    path.mkdir()
    with pytest.raises(InputError) as error:
        reader(path)
    sentence(error, path)


@pytest.mark.parametrize("extension", IMAGES)
@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.95])
def test_truncated(tmp_path, extension, fraction):
    path = sound_file(tmp_path / f"a{extension}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError) as error:
        read_image(path)
    sentence(error, path)


@pytest.mark.parametrize("extension", IMAGES)
def test_foreign(tmp_path, extension):
    path = sound_file(tmp_path / f"a{extension}")
    path.write_bytes(b"%PDF-1.7 " + bytes(range(256)) * 40)
    for reader in (read_image, describe, kind_of):
        with pytest.raises(InputError) as error:
            reader(path)
        sentence(error, path)


@pytest.mark.parametrize("extension", [".npz", ".h5", ".nii.gz", ".png"])
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bytes_never_raise_anything_else(tmp_path, extension, seed):
    path = sound_file(tmp_path / f"a{extension}")
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 30):
        content[place] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    try:
        message = f"{path.name} {read_image(path).array.shape}"
    except InputError as error:
        message = str(error)
    assert path.name in message


@pytest.mark.parametrize("shape", [b"(40, 30(", b"(40, 3.)", b"(40,-30)", b"(40, 99)"])
def test_damaged_npy_header(tmp_path, shape):
    path = sound_file(tmp_path / "a.npy")
    path.write_bytes(path.read_bytes().replace(b"(40, 30)", shape))
    with pytest.raises(InputError, match=r"could not be read as a NumPy \.npy array"):
        read_image(path)


def test_pickled_objects_are_not_loaded(tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "a.npz", kspace=objects)
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        for reader in (read_scan, read_image, read_array):
            with pytest.raises(
                InputError, match=r"nothing is ever unpickled|no array of numbers|no complex"
            ):
                reader(path)


@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5", ".nii"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_unusable_values(tmp_path, extension, value):
    array = np.ones((4, 5), np.float32)
    array[1:3] = value
    array *= value != 0
    path = tmp_path / f"a{extension}"
    if extension == ".npy":
        np.save(path, array)
    elif extension == ".npz":
        np.savez(path, image=array)
    elif extension == ".h5":
        with h5py.File(path, "w") as file:
            file["image"] = array
    else:
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    with pytest.raises(InputError, match="zero everywhere" if value == 0 else "NaN or infinite"):
        read_image(path)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (2, 2, 1, 3, 4, 5), (0, 5)])
def test_images_with_other_axes(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape))
    with pytest.raises(InputError, match=r"a\.npy has shape"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz"])
def test_unknown_extensions_are_listed(tmp_path, name):
    with pytest.raises(InputError, match=r"\.cfl, \.hdr, \.npy, .*\.nii\.gz, \.dcm, \.png; rename"):
        write_image(tmp_path / name, torch.ones(1, 1, 4, 5))
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"is empty, expected one of: .*NumPy"):
        read_scan(tmp_path / name)
    (tmp_path / name).write_text("Dear reader,")
    with pytest.raises(InputError, match=r"of no known format, expected one of: .*NIfTI"):
        read_scan(tmp_path / name)


def test_formats_that_cannot_serve(tmp_path):
    with pytest.raises(InputError, match="is a NIfTI image, which holds no raw data; give a scan"):
        read_scan(sound_file(tmp_path / "a.nii"))
    with pytest.raises(InputError, match=r"would be a picture, but an image is written to \.cfl"):
        write_image(tmp_path / "a.jpg", torch.ones(1, 1, 4, 5))


@pytest.mark.parametrize("suffix", ["::", "::a::b", "::a::b::slices", "::::slices"])
def test_malformed_keys(tmp_path, suffix):
    with pytest.raises(InputError, match="not of the form PATH, PATH::KEY"):
        read_scan(f"{tmp_path / 'a.npz'}{suffix}")


@pytest.mark.parametrize("extension", [".cfl", ".nii", ".png"])
def test_keys_where_there_are_none(tmp_path, extension):
    path = sound_file(tmp_path / f"a{extension}")
    with pytest.raises(InputError, match="leave out what follows '::'"):
        read_image(f"{path}::b")


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (torch.ones(4, 5), r"has shape \(4, 5\)"),
        (torch.ones(1, 0, 4, 5), r"has shape \(1, 0, 4, 5\)"),
        (torch.full((1, 1, 4, 5), torch.nan), "was not written"),
    ],
)
def test_images_that_cannot_be_written(tmp_path, image, text):
    with pytest.raises(InputError, match=text):
        write_image(tmp_path / "a.npy", image)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_to_write_to(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        write_image(tmp_path / "no" / "a.npy", torch.ones(1, 1, 4, 5))
