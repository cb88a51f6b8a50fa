import numpy as np
import pytest
import torch

from molrecon.data.formats import kind_of, read_scan, write_image
from molrecon.errors import AmbiguousError
from molrecon.operators.fourier import fft_centred


def disc(*size: int) -> torch.Tensor:
    """An object with a sharp edge and a smooth phase, as an image is."""
    y, x = (torch.linspace(-1, 1, n) for n in size)
    inside = (y[:, None] ** 2 + 1.5 * x**2 < 0.7).float()
    return inside * torch.exp(2j * (y[:, None] + x**2))


@pytest.mark.parametrize("size", [(32, 32), (31, 24)])
def test_a_nameless_complex_array_is_told_by_its_content(tmp_path, size):
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(*size, dtype=torch.complex64, generator=generator)
    image = disc(*size) + noise
    coils = torch.stack([0 * image, image])
    np.save(tmp_path / "image.npy", image.numpy())
    np.save(tmp_path / "kspace.npy", fft_centred(coils, 2).numpy())
    undersampled = fft_centred(coils, 2) * (torch.rand(size, generator=generator) < 0.5)
    np.savez(tmp_path / "under.npz", a=undersampled.numpy(), b=np.ones(3))
    write_image(tmp_path / "image.cfl", image[None, None])
    write_image(tmp_path / "kspace.cfl", fft_centred(coils, 2)[None])
    assert kind_of(tmp_path / "image.npy") == "image"
    assert kind_of(tmp_path / "kspace.npy") == "scan"
    assert kind_of(tmp_path / "under.npz::a") == "scan"
    assert kind_of(tmp_path / "image.cfl") == "image"
    assert kind_of(tmp_path / "kspace") == "scan"


@pytest.mark.parametrize("extension", [".npz", ".h5", ".nii.gz", ".png"])
def test_names_and_types_tell(tmp_path, extension):
    path = tmp_path / f"a{extension}"
    write_image(path, fft_centred(disc(16, 15), 2)[None, None])
    assert kind_of(path) == "image"


def test_real_arrays_are_images(tmp_path):
    np.save(tmp_path / "a.npy", fft_centred(disc(16, 15), 2).abs().numpy())
    assert kind_of(tmp_path / "a.npy") == "image"


@pytest.mark.parametrize("shape", [(), (3,), (0, 4, 5)])
def test_what_is_neither_counts_as_an_image(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape, np.complex64))
    assert kind_of(tmp_path / "a.npy") == "image"


def test_parts_of_a_scan_are_told_apart(tmp_path):
    image = disc(16, 15)
    np.savez(tmp_path / "a.npz", kspace=fft_centred(image, 2), reference=image)
    assert kind_of(tmp_path / "a.npz") == "scan"
    assert kind_of(tmp_path / "a.npz::reference") == "image"
    assert kind_of(tmp_path / "a.npz::kspace") == "scan"


def test_the_one_complex_array_among_others_is_the_scan(tmp_path):
    image = disc(32, 32)
    data, pattern = fft_centred(image[None], 2), np.ones((32, 32), bool)
    np.savez(tmp_path / "scan.npz", Raw_Final=data.numpy(), pattern=pattern)
    assert kind_of(tmp_path / "scan.npz") == "scan"
    assert torch.equal(read_scan(tmp_path / "scan.npz").kspace[0], data)
    np.savez(tmp_path / "image.npz", Picture=image.numpy(), pattern=pattern)
    with pytest.raises(AmbiguousError):
        kind_of(tmp_path / "image.npz")
