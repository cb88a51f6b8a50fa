"""Measurements, operator and model have to compute in one precision."""

import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.checks import check_measurements

from ..support import Dense, normal, random_cnn

A, Y = Dense(normal(1, 3, 5)), normal(2, 1, 3)


def test_one_precision_passes():
    check_measurements(Y, A)
    check_measurements(Y, A, random_cnn())
    check_measurements(Y.to(torch.complex64), A.to(dtype=torch.complex64), random_cnn().float())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float64, torch.float32])
def test_measurements_of_another_precision_than_the_operator_are_refused(dtype):
    y = Y.to(dtype) if dtype.is_complex else Y.real.to(dtype)
    found = str(dtype)[6:]
    with pytest.raises(InputError, match=rf"are {found}, but the operator A is complex128, .*\."):
        check_measurements(y, A)


def test_a_model_of_another_precision_is_refused():
    with pytest.raises(InputError, match=r"are float32, but the measurements are complex128, .*\."):
        check_measurements(Y, A, random_cnn().float())
