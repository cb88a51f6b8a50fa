import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.cartesian_mri import CartesianMRI
from molrecon.operators.fourier import fft_centred

from ..support import cartesian_mri, normal


@pytest.mark.parametrize("spatial", [(5, 4), (3, 4, 5)])
def test_is_mask_times_transform_of_the_coil_images(spatial):
    A = cartesian_mri(spatial, maps_batch=2, mask_batch=2)
    x = normal(2, 1, *spatial)
    expected = A.mask * fft_centred(A.coil_maps * x, len(spatial))
    assert torch.allclose(A(x), expected)


def test_shared_maps_and_masks_broadcast_over_the_batch():
    shared = cartesian_mri((4, 5))
    maps, mask = shared.coil_maps, shared.mask
    other = mask.roll(1, dims=-1)
    x = normal(2, 1, 4, 5)
    both = CartesianMRI(maps, torch.cat([mask, other]))(x)
    assert torch.allclose(both[:1], shared(x[:1]))
    assert torch.allclose(both[1:], CartesianMRI(maps, other)(x[1:]))
    assert not torch.allclose(both[1:], shared(x[1:]))


def test_norm_is_at_most_one_for_maps_of_unit_root_sum_of_squares():
    assert cartesian_mri((6, 5)).norm().item() <= 1 + 1e-12
    full = CartesianMRI(cartesian_mri((6, 5)).coil_maps, torch.ones(1, 1, 6, 5, dtype=torch.bool))
    x = normal(1, 1, 6, 5)
    assert torch.allclose(full.normal(x), x)


def test_noise_level_is_measured():
    A = cartesian_mri((40, 36), coils=4, dtype=torch.complex64)
    noise = A.mask * 0.3 * normal(2, 4, 40, 36, dtype=torch.complex64)
    assert A.estimate_sigma(noise).tolist() == pytest.approx([0.3, 0.3], rel=0.15)
    with pytest.raises(InputError, match=r"measurements of shape \(2, 3, 40, 36\)"):
        A.estimate_sigma(noise[:, :3])


def test_a_noise_level_is_that_of_the_measurements_it_was_found_in():
    A = cartesian_mri((40, 36), coils=4, dtype=torch.complex64)
    noise = A.mask * 0.3 * normal(2, 4, 40, 36, dtype=torch.complex64)
    others = 2 * noise
    own = A.estimate_sigma(others)
    A.remember_sigma(noise, torch.tensor([7.0, 8.0]))
    assert A.estimate_sigma(noise).tolist() == [7.0, 8.0]
    assert torch.equal(A.estimate_sigma(others), own)


MAPS = torch.ones(2, 3, 4, 5, dtype=torch.complex64)
MASK = torch.ones(2, 1, 4, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("maps", "mask", "sentence"),
    [
        (MAPS.real, MASK, r"coil_maps is torch.float32 .* expected a complex tensor"),
        (MAPS[0, 0], MASK, r"coil_maps .* shape \(4, 5\)"),
        (MAPS, MASK[0], r"mask is .* of shape \(1, 4, 5\) and coil_maps .* same spatial"),
        (MAPS, MASK.expand(2, 3, 4, 5), r"mask .* shape \(2, 3, 4, 5\)"),
        (MAPS, MASK.to(torch.complex64), "expected a real or boolean mask"),
        (MAPS[0], MASK, r"coil_maps has shape \(3, 4, 5\), expected .* same spatial axes"),
        (MAPS[:, :0], MASK, r"coil_maps is .* of shape \(2, 0, 4, 5\), .* not empty"),
        (MAPS.numpy(), MASK, "coil_maps is of type ndarray, expected torch.Tensor"),
        (MAPS, MASK.numpy(), "mask is of type ndarray, expected torch.Tensor"),
        (MAPS, None, "mask is of type NoneType, expected torch.Tensor"),
        (MAPS, MASK[..., :4], r"spatial shape \(4, 4\), but the coil maps have \(4, 5\)"),
        (MAPS, MASK.repeat(2, 1, 1, 1)[:3], "batch of 3, but the coil maps have 2"),
        (MAPS * math.nan, MASK, "coil_maps holds NaN"),
        (MAPS, MASK * math.inf, "mask holds NaN or infinite"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(maps, mask, sentence):
    with pytest.raises(InputError, match=sentence):
        CartesianMRI(maps, mask)
