"""Operators combine as their matrices do, and what is known of their norms combines soundly."""

import numpy as np
import pytest
import torch

from molrecon.errors import InputError
from molrecon.operators.blur import Blur
from molrecon.operators.denoising import Denoising
from molrecon.operators.inpainting import Inpainting

from ..support import Dense, cartesian_mri, dense_matrices, normal
from .suite import Difference, blind_mri

A, B, C = (Dense(normal(*shape)) for shape in ((1, 3, 4), (2, 4, 5), (1, 4, 5)))


@pytest.mark.parametrize(
    ("combined", "matrix"),
    [
        (A @ B, A.matrix @ B.matrix),
        ((A @ B).H, (A.matrix @ B.matrix).mH),
        (A @ (B + C), A.matrix @ (B.matrix + C.matrix)),
        (B - C, B.matrix - C.matrix),
        (-A, -A.matrix),
        (2 * A, 2 * A.matrix),
        (A * (1 - 2j), (1 - 2j) * A.matrix),
        (np.float64(3) * A, 3 * A.matrix),
        (torch.tensor([2.0, 3.0]) * A, torch.tensor([2.0, 3.0])[:, None, None] * A.matrix),
        ((2j * A).H @ A, -2j * A.matrix.mH @ A.matrix),
    ],
)
def test_the_matrix_of_a_combination_is_that_of_the_matrices(combined, matrix):
    assert torch.allclose(dense_matrices(combined), matrix)


def test_norms_and_noise_pass_on():
    mri = cartesian_mri((24, 20), mask_batch=2)
    blur = Blur(normal(1, 1, 3, 3, dtype=torch.float64), (1, 24, 20), dtype=mri.dtype)
    y = normal(2, 3, 24, 20)
    for combined, factor in ((mri @ blur, blur.norm_bound), (-3j * mri, 3)):
        assert torch.allclose(combined.norm_bound, factor * mri.norm_bound)
        assert torch.allclose(combined.nominal_norm, factor * mri.nominal_norm)
        assert torch.equal(combined.estimate_sigma(y), mri.estimate_sigma(y))
    assert torch.allclose((mri + 2 * mri).norm_bound, 3 * mri.norm_bound)
    for unknown in (A @ B, B + C, 2 * A, A.H):
        assert unknown.norm_bound is None
    with pytest.raises(InputError, match="Sum cannot tell the noise"):
        (mri + mri).estimate_sigma(y)


def test_the_support_of_a_sum_is_the_union():
    first, second = blind_mri((6, 5)), blind_mri((6, 5), seed=1)
    assert torch.equal((first + second).support, first.support | second.support)
    assert (first + cartesian_mri((6, 5))).support is None
    assert torch.equal((2 * first).support, first.support)
    assert torch.equal((Denoising((3, 6, 5), dtype=first.dtype) @ first).support, first.support)


def test_combinations_are_shown_as_they_are_written():
    D = Denoising((1, 4), dtype=torch.float64)
    name = "Denoising(shape_in=(1, 4), shape_out=(1, 4), dtype=float64)"
    assert repr(D) == name
    assert repr((2 * D @ D).H) == f"((2 * {name}) @ {name}).H"
    assert repr(torch.tensor([1.0, 2.0]) * D + D) == f"(([1, 2] * {name}) + {name})"
    assert repr(2 * A) == f"(2 * {A!r})"
    assert repr(1j * A) == f"(0+1j * {A!r})"
    assert "batch=2, dtype=complex128" in repr(B)


@pytest.mark.parametrize(
    ("combine", "sentence"),
    [
        (lambda: B @ A, r"gives shape \(1, 3\), but the left one takes \(1, 5\)"),
        (lambda: A + B, r"map \(1, 4\) to \(1, 3\) and \(1, 5\) to \(1, 4\), expected equal"),
        (lambda: A @ B.to(dtype=torch.complex64), "torch.complex128 and torch.complex64"),
        (lambda: B + Dense(normal(3, 4, 5)), "parameters for 2 and 3 samples"),
        (lambda: 0 * A, "is 0, expected finite, not zero"),
        (lambda: float("nan") * A, "is nan, expected finite"),
        (lambda: torch.ones(3) * B, "has 3 numbers, expected one or 2"),
        (lambda: 1j * Difference((1, 4)), "expected a real one for an operator on torch.float64"),
    ],
)
def test_what_does_not_fit_is_refused(combine, sentence):
    with pytest.raises(InputError, match=sentence):
        combine()


@pytest.mark.parametrize("combine", [lambda: A @ 2, lambda: A + 2, lambda: A - 2, lambda: A * "2"])
def test_what_is_no_operator_is_a_type_error(combine):
    with pytest.raises(TypeError, match=r"unsupported operand|can't multiply"):
        combine()


def test_combinations_convert_as_a_whole():
    mask = normal(1, 1, 4, dtype=torch.float64).sigmoid()
    combined = 3 * (Inpainting(mask, dtype=torch.float64) + Denoising((1, 4), dtype=torch.float64))
    single = combined.to(dtype=torch.float32)
    x = torch.randn(2, 1, 4)
    assert single(x).dtype == single.norm_bound.dtype == torch.float32
    assert torch.allclose(single(x).double(), combined(x.double()))
    assert single.in_double.in_double is single.in_double
    assert combined.in_double is combined
    assert single.device == combined.device == torch.device("cpu")


def differentiated(parameter, make):
    """Check derivatives with respect to a parameter of forward, adjoint and normal."""
    sample = make(parameter)
    x, y = (
        normal(sample.batch, *shape, seed=3, dtype=sample.dtype)
        for shape in (sample.shape_in, sample.shape_out)
    )
    for apply, point in (
        (lambda A, x: A(x), x),
        (lambda A, y: A.H(y), y),
        (lambda A, x: A.normal(x), x),
        (lambda A, x: A.resolvent(torch.ones(sample.batch), x), x),
    ):
        if apply(sample, point) is not None:
            leaves = parameter.clone().requires_grad_(), point.clone().requires_grad_()
            assert torch.autograd.gradcheck(
                lambda p, x, f=apply: f(make(p), x), leaves, fast_mode=True
            )


def test_derivatives_with_respect_to_parameters(monkeypatch):
    """Coils are worked on one by one, so that what is added in place counts too."""
    monkeypatch.setattr("molrecon.operators.multi_coil.BLOCK_BYTES", 1)
    mri = cartesian_mri((3, 2), maps_batch=2)
    weights = normal(1, 1, 3, 2, dtype=torch.float64).sigmoid()
    kernel = normal(1, 1, 2, 2, dtype=torch.float64)
    differentiated(mri.coil_maps, lambda maps: type(mri)(maps, mri.mask))
    differentiated(weights, lambda mask: type(mri)(mri.coil_maps, mask))
    differentiated(weights, lambda mask: Inpainting(mask, dtype=torch.float64))
    differentiated(kernel, lambda kernel: Blur(kernel, (1, 3, 2)))
    differentiated(normal(2), lambda c: c * mri)
    differentiated(mri.coil_maps, lambda maps: type(mri)(maps, mri.mask).to("cpu"))
