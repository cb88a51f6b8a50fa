import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.kernels import bicubic_kernel, box_kernel, gaussian_kernel

KERNELS = {
    "gaussian": gaussian_kernel((1.0, 0.5), dtype=torch.float64),
    "gaussian, even": gaussian_kernel(1.3, size=(6, 5), dtype=torch.float64),
    "gaussian, 3D": gaussian_kernel(0.4, 3, dtype=torch.float64),
    "box": box_kernel((3, 4), dtype=torch.float64),
    "bicubic, even": bicubic_kernel(2, dtype=torch.float64),
    "bicubic, odd and even": bicubic_kernel((3, 4), dtype=torch.float64),
    "bicubic, 1D": bicubic_kernel(5, 1, dtype=torch.float64),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))
def test_sums_to_one_and_is_symmetric(kernel):
    assert kernel.shape[:2] == (1, 1)
    assert kernel.sum().item() == pytest.approx(1)
    for axis in range(2, kernel.ndim):
        assert torch.allclose(kernel, kernel.flip(axis))


def test_gaussian_has_its_standard_deviations():
    kernel = gaussian_kernel((2.0, 1.0), size=(31, 32), dtype=torch.float64)
    for axis, std in ((2, 2.0), (3, 1.0)):
        profile = kernel.sum(5 - axis).flatten()
        t = torch.arange(len(profile)) - (len(profile) - 1) / 2
        assert (profile * t**2).sum().sqrt().item() == pytest.approx(std, rel=1e-5)
    assert gaussian_kernel(1.5).shape == (1, 1, 11, 11)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
def test_cubic_convolution_has_third_order_accuracy(factor):
    """Shifted copies of the continuous kernel reproduce polynomials up to the second degree."""
    kernel = bicubic_kernel(factor, 1, dtype=torch.float64).flatten()
    t = torch.arange(len(kernel), dtype=torch.float64) - (len(kernel) - 1) / 2
    for phase in range(factor):
        # Positions of one phase are a unit apart in the stretched kernel's own coordinate.
        chosen = slice(phase, None, factor)
        weights, u = factor * kernel[chosen], t[chosen] / factor
        assert weights.sum().item() == pytest.approx(1)
        assert (weights * u).sum().item() == pytest.approx(0, abs=1e-12)
        assert (weights * u**2).sum().item() == pytest.approx(0, abs=1e-12)


def test_factor_one_is_a_point():
    kernel = bicubic_kernel(1)
    assert kernel[0, 0, 1, 1].item() == pytest.approx(1)
    assert kernel.abs().sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: gaussian_kernel(0.0), "std is 0.0, expected positive"),
        (lambda: gaussian_kernel(math.nan), "std is nan"),
        (lambda: gaussian_kernel(math.inf), "std is inf"),
        (lambda: gaussian_kernel((1.0, 1.0, 1.0)), "expected one number or 2, one per axis"),
        (lambda: gaussian_kernel(1.0, size=0), "size is 0, expected positive integers"),
        (lambda: gaussian_kernel(1.0, 0), "ndim is 0"),
        (lambda: box_kernel(2.5), "size is 2.5"),
        (lambda: bicubic_kernel(-1), "factor is -1"),
        (lambda: bicubic_kernel((2, 2), 3), "expected one number or 3"),
    ],
)
def test_arguments_out_of_range_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
