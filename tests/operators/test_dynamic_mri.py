import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.dynamic_mri import DynamicMRI

from ..support import dynamic_mri, normal


@pytest.mark.parametrize("maps_frames", [1, 3])
def test_every_frame_is_a_scan_of_its_own(maps_frames):
    A = dynamic_mri(3, (4, 5), maps_frames=maps_frames, mask_batch=2)
    x = normal(2, 1, 3, 4, 5)
    y = normal(2, 3, 3, 4, 5, seed=1)
    for t in range(3):
        frame = CartesianMRI(A.coil_maps[:, :, t % maps_frames], A.mask[:, :, t])
        assert torch.allclose(A(x)[:, :, t], frame(x[:, :, t]))
        assert torch.allclose(A.H(y)[:, :, t], frame.H(y[:, :, t]))
        assert torch.allclose(A.normal(x)[:, :, t], frame.normal(x[:, :, t]))


def test_support_has_the_shape_of_images():
    A = dynamic_mri(3, (4, 5))
    assert A.support is None
    maps = A.coil_maps.clone()
    maps[..., 0, :] = 0
    support = DynamicMRI(maps, A.mask).support
    assert support.shape == (1, *A.shape_in)
    assert not support[..., 0, :].any()
    assert support[..., 1:, :].all()


def test_noise_level_is_measured_frame_by_frame():
    A = dynamic_mri(4, (40, 36), coils=4, dtype=torch.complex64)
    noise = A.mask * 0.3 * normal(2, 4, 4, 40, 36, dtype=torch.complex64)
    assert A.estimate_sigma(noise).tolist() == pytest.approx([0.3, 0.3], rel=0.1)
    few = A.mask.clone()
    few[:, :, 2] = False
    sparse = DynamicMRI(A.coil_maps, few)
    assert sparse.estimate_sigma(few * noise).tolist() == pytest.approx([0.3, 0.3], rel=0.1)
    with pytest.raises(InputError, match="give sigma"):
        DynamicMRI(A.coil_maps, few & False).estimate_sigma(0 * noise)


def test_maps_must_fit_the_frames():
    A = dynamic_mri(3, (4, 5))
    with pytest.raises(InputError, match=r"mask has spatial shape \(3, 4, 5\)"):
        DynamicMRI(A.coil_maps.expand(-1, -1, 2, -1, -1), A.mask)
    with pytest.raises(InputError, match=r"expected \(batch, coil, t, y, x\)"):
        DynamicMRI(A.coil_maps[:, :, 0], A.mask[:, :, 0])
