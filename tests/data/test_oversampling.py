import numpy as np
import pytest
import torch

from molrecon.data.geometry import Geometry
from molrecon.data.oversampling import crop_image, without_oversampling
from molrecon.data.scan import Scan
from molrecon.operators.fourier import fft_centred, ifft_centred


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("n", "m"), [(24, 12), (24, 13), (25, 12), (25, 13)])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_image_is_the_centre_of_the_image(n, m, axis):
    shape, wanted = [20, 20], [20, 20]
    shape[axis], wanted[axis] = n, m
    maps = noise(1, 3, *shape)
    scan = Scan(
        noise(2, 3, *shape),
        coil_maps=maps,
        calibration=noise(1, 3, *shape),
        geometry=Geometry.of_spacing((1.0, 1.0, 1.0)),
        image_shape=tuple(wanted),
    )
    found = without_oversampling(scan)
    expected, first = crop_image(ifft_centred(scan.kspace, 2), wanted)
    torch.testing.assert_close(ifft_centred(found.kspace, 2), expected)
    torch.testing.assert_close(found.coil_maps, crop_image(maps, wanted)[0])
    assert found.image_shape is None
    assert found.geometry == scan.geometry.moved(first)
    assert found.calibration.shape[2:] == tuple(wanted)


def test_undersampled_axes_stay():
    scan = Scan(noise(1, 3, 20, 24) * (torch.arange(24) % 2), image_shape=(10, 12))
    found = without_oversampling(scan)
    assert found.kspace.shape == (1, 3, 10, 24)
    assert found.image_shape == (10, 12)
    assert torch.equal(found.mask[0, 0, 0], torch.arange(24) % 2 > 0)


def test_noise_keeps_its_level():
    white = noise(1, 1, 64, 256)
    found = without_oversampling(Scan(white, image_shape=(64, 128))).kspace
    np.testing.assert_allclose(float(found.abs().square().mean()), 1, rtol=0.05)


def test_a_calibration_region_is_cut_to_the_same_field_of_view():
    image = torch.zeros(1, 2, 16, 32, dtype=torch.complex64)
    image[:, :, 4:12, 10:22] = 1
    kspace = fft_centred(image, 2)
    full = torch.ones(1, 1, 16, 32, dtype=torch.bool)
    scan = Scan(kspace, full, calibration=kspace[:, :, :, 8:24], image_shape=(16, 16))
    found = without_oversampling(scan)
    assert found.calibration.shape == (1, 2, 16, 8)
    # Twice the distance of samples in k-space: every second one, but for the ends of the region.
    wanted = fft_centred(image[..., 8:24], 2)[..., 6:10]
    distance = (found.calibration[..., 2:6] - wanted).norm() / wanted.norm()
    assert distance < 0.15
