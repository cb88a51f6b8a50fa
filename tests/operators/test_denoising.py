import math

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.denoising import Denoising

from ..support import normal


def test_is_the_identity():
    A = Denoising((3, 4, 5), dtype=torch.float64)
    x = normal(2, 3, 4, 5, dtype=torch.float64)
    assert torch.equal(A(x), x)
    assert torch.equal(A.H(x), x)
    assert A.norm().item() == pytest.approx(1)
    c = torch.tensor([0.0, 4.0], dtype=torch.float64)
    assert torch.allclose(A.resolvent(c, x), torch.stack([x[0], x[1] / 5]))


@pytest.mark.parametrize(
    "shape", [(), (3,), (1, 0), (0, 4), (1, -4), (1, 4.0), (1, math.nan)], ids=str
)
def test_shapes_that_no_image_has_are_refused(shape):
    with pytest.raises(InputError, match=r"^shape is .* expected positive integers \(channel"):
        Denoising(shape)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float16])
def test_dtypes_that_no_image_has_are_refused(dtype):
    with pytest.raises(InputError, match=r"dtype is .*, expected one of float32, float64"):
        Denoising((1, 4), dtype=dtype)
