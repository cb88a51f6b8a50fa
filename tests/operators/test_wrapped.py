"""Wrapped operators are those that were wrapped; wrong ones are refused with a sentence."""

import re

import numpy as np
import pylops
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator as ScipyOperator

from molrecon import InputError, wrap_operator

from ..support import dense_matrices, normal
from .suite import sparse

MATRIX = normal(4, 6).numpy()


def unmatched(**products):
    products = {"matvec": lambda x: MATRIX @ x, "rmatvec": lambda y: MATRIX.conj().T @ y} | products
    return ScipyOperator((4, 6), dtype=complex, **products)


@pytest.mark.parametrize("op", [MATRIX, unmatched(), pylops.MatrixMult(MATRIX, dtype=complex)])
def test_its_matrix_is_that_of_what_was_wrapped(op):
    assert torch.allclose(dense_matrices(wrap_operator(op))[0], torch.from_numpy(MATRIX))


def test_shapes_and_dtype_are_those_of_pylops_unless_given():
    op = pylops.FirstDerivative((5, 4), axis=0, dtype="float32")
    A = wrap_operator(op)
    assert (A.shape_in, A.shape_out, A.dtype) == ((1, 5, 4), (1, 5, 4), torch.float32)
    B = wrap_operator(op, (2, 10), (5, 4), dtype=torch.complex128)
    assert (B.shape_in, B.shape_out, B.dtype) == ((2, 10), (5, 4), torch.complex128)
    assert wrap_operator(np.eye(3, dtype=int)).dtype == torch.float64
    x = normal(2, 1, 5, 4, dtype=torch.float32)
    assert torch.allclose(A(x)[1, 0], torch.from_numpy(op @ x[1, 0].numpy()))


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(-150, 150),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.5, 0.9]),
)
def test_the_bound_of_a_matrix_bounds_its_norm(rows, columns, exponent, seed, zeros):
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((rows, columns)) * 10.0**exponent
    matrix[random.random(matrix.shape) < zeros] = 0
    exact = np.linalg.norm(matrix, 2)
    bound = wrap_operator(scipy.sparse.csr_array(matrix)).norm_bound.item()
    assert exact * (1 - 1e-13) <= bound <= exact * rows**0.5 * (1 + 1e-10) + 1e-300


def test_the_bound_of_a_matrix_without_negative_entries_is_close():
    matrix = abs(sparse(30, 40))
    exact = np.linalg.norm(matrix.toarray(), 2)
    assert wrap_operator(matrix).norm_bound.item() == pytest.approx(exact, rel=1e-6)


def test_an_operator_that_only_multiplies_has_the_bound_that_is_given_or_none():
    assert wrap_operator(unmatched()).norm_bound is None
    exact = np.linalg.norm(MATRIX, 2)
    single = wrap_operator(unmatched(), norm_bound=exact).to(dtype=torch.complex64)
    assert exact <= single.norm_bound.item() <= exact * 1.000001
    assert wrap_operator(unmatched()).nominal_norm.item() == pytest.approx(exact, rel=0.1)


def test_an_operator_of_single_precision_is_used_in_double_where_it_can():
    matrix = sparse(4, 5).astype(np.float32)
    A = wrap_operator(matrix).in_double
    x = normal(1, 1, 5, dtype=torch.float64)
    exact = torch.from_numpy(matrix.astype(float) @ x[0, 0].numpy())
    assert torch.allclose(A(x)[0, 0], exact, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("op", "arguments", "sentence"),
    [
        (MATRIX, {"shape_in": (1, 5)}, r"shape_in is (1, 5), which has 5 numbers, expected one wi"),
        (MATRIX, {"shape_out": (2, 2, 2)}, "shape_out is (2, 2, 2), which has 8 numbers"),
        (MATRIX, {"shape_in": (6,)}, "expected positive integers (channel, *spatial)"),
        (MATRIX, {"dtype": torch.float64}, "expected a complex one, as MatrixLinearOperator is"),
        (unmatched(rmatvec=lambda y: 1.01 * MATRIX.conj().T @ y), {}, "the adjoint of _CustomLin"),
        (unmatched(rmatvec=lambda y: MATRIX.T @ y), {}, "does not fit it: ⟨y, Ax⟩ is"),
        (unmatched(matvec=lambda x: MATRIX @ x + 1), {}, "does not fit it"),
        (unmatched(matvec=lambda x: np.nan * (MATRIX @ x)), {}, "does not fit it"),
        (unmatched(rmatvec=None), {}, "has no adjoint; give one, `rmatvec`"),
        (
            ScipyOperator((4, 6), lambda x: MATRIX @ x, dtype=float),
            {},
            "says it is float64, but gives",
        ),
        (pylops.signalprocessing.FFT(8, real=True), {}, "does not fit it"),
        (pylops.Real(8, dtype="complex128"), {}, "does not fit it"),
        (unmatched(), {"norm_bound": 1.0}, "norm_bound is 1.0, but the norm of _CustomLinearOpera"),
        (unmatched(), {"norm_bound": float("nan")}, "norm_bound is nan"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(op, arguments, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        wrap_operator(op, **arguments)


def test_a_reconstruction_with_a_wrapped_operator():
    """Tikhonov's equation, solved by the package and densely."""
    from molrecon import solve_regularised

    A = wrap_operator(sparse(20, 24), (1, 4, 6))
    r = normal(1, 1, 4, 6, dtype=torch.float64)
    gram = dense_matrices(A)[0].mT @ dense_matrices(A)[0]
    exact = torch.linalg.solve(torch.eye(24) + 10 * gram, r.flatten())
    found = solve_regularised(A, 10.0, r)
    assert torch.allclose(found.flatten(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil", "array"])
def test_every_form_of_a_matrix_is_the_same_operator(form):
    matrix = sparse(6, 8)
    dense = matrix.toarray()
    A = wrap_operator(dense if form == "array" else matrix.asformat(form))
    x = normal(1, 1, 8).real
    torch.testing.assert_close(A(x)[0, 0].numpy(), dense @ x[0, 0].numpy())
    assert A.norm_bound.item() == pytest.approx(wrap_operator(matrix).norm_bound.item())


def test_the_identity_of_scipy_can_be_wrapped():
    x = normal(1, 1, 4, 4).real.to(torch.float32)
    A = wrap_operator(scipy.sparse.eye(16, dtype=int), (1, 4, 4), (1, 4, 4), dtype=torch.float32)
    assert torch.equal(A(x), x)
    assert A.norm_bound.item() == pytest.approx(1)


@pytest.mark.parametrize("op", [None, 3, np.ones(4), [["a"]], "matrix"])
def test_what_is_neither_an_operator_nor_a_matrix_is_refused(op):
    with pytest.raises(InputError, match=f"op is of type {type(op).__name__} .*expected an oper"):
        wrap_operator(op)
