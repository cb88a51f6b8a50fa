"""What every forward model must satisfy; the operators stand in `suite`."""

import pytest
import torch

from molrecon.errors import InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.solver import LinearSolver
from molrecon.linear.status import Status
from molrecon.operators.algebra import Adjoint
from molrecon.operators.base import inner, norm

from ..support import dense_matrices, normal, solve_shifted
from .suite import OPERATORS, WITHOUT_CLOSED_FORM


@pytest.fixture(params=OPERATORS)
def operator(request):
    return OPERATORS[request.param]()


def batch_of(operator):
    return operator.batch if operator.batch > 1 else 2


def images(operator, seed=0):
    return normal(batch_of(operator), *operator.shape_in, seed=seed, dtype=operator.dtype)


def measurements(operator, seed=1):
    return normal(batch_of(operator), *operator.shape_out, seed=seed, dtype=operator.dtype)


def close(a, b, tolerance=1e-12):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def test_adjoint_with_respect_to_the_complex_inner_product(operator):
    x, y = images(operator), measurements(operator)
    left = (operator(x).conj() * y).flatten(1).sum(1)
    right = (x.conj() * operator.H(y)).flatten(1).sum(1)
    assert close(left, right)
    assert close(inner(operator(x), y), inner(x, operator.H(y)))
    assert left.abs().min() > 1e-3


def test_adjoint_of_the_adjoint_is_the_operator(operator):
    assert isinstance(operator, Adjoint) or operator.H.H is operator
    assert torch.equal(operator.H.nominal_norm, operator.nominal_norm)
    assert operator.H.shape_in == operator.shape_out
    assert operator.H.shape_out == operator.shape_in


def test_linear(operator):
    x, z = images(operator, 2), images(operator, 3)
    a = 1.3 - 0.7j if operator.dtype.is_complex else -1.3
    assert close(operator(a * x + z), a * operator(x) + operator(z))
    assert operator(x).shape == (batch_of(operator), *operator.shape_out)


def test_every_sample_is_treated_by_itself(operator):
    x = images(operator)
    others = x.clone()
    others[1:] = 7.0
    assert close(operator(x)[0], operator(others)[0])
    assert not close(operator(x)[1], operator(others)[1])


def test_normal_is_adjoint_after_forward(operator):
    x = images(operator)
    assert close(operator.normal(x), operator.H(operator(x)))


def test_mismatch_is_the_adjoint_of_what_is_not_explained(operator):
    x, y = images(operator), measurements(operator)
    assert close(operator.mismatch(x, y), operator.H(y - operator(x)))


def test_single_precision_serves_images_of_double_precision(operator):
    """The operator for double precision is the same map, without the rounding of single."""
    lower = torch.complex64 if operator.dtype.is_complex else torch.float32
    single, x, y = operator.to(dtype=lower), images(operator), measurements(operator)
    for one, other in (
        (single.for_double(x), single.in_double(x)),
        (single.for_double.normal(x), single.in_double.normal(x)),
        (single.for_double.mismatch(x, y), single.in_double.mismatch(x, y)),
    ):
        assert one.dtype == operator.dtype
        assert close(one, other)


def test_norm_is_the_largest_singular_value(operator):
    exact = torch.linalg.svdvals(dense_matrices(operator))[:, 0]
    found = operator.norm(tol=1e-7, max_iterations=3000)
    assert found.shape == (operator.batch,)
    assert (found <= exact * (1 + 1e-12)).all()
    assert torch.allclose(found, exact, rtol=1e-3)


def closed_form_of(operator):
    c, r = weights_of(operator), images(operator, 4)
    if operator.resolvent(c, r) is None:
        return []
    return [(lambda r: operator.resolvent(c, r), r)]


def test_nominal_norm_is_about_the_norm(operator):
    exact = torch.linalg.svdvals(dense_matrices(operator))[:, 0]
    nominal = operator.nominal_norm
    assert nominal.shape == (operator.batch,)
    assert nominal.dtype == exact.dtype
    reduction = torch.Size(operator.shape_in).numel() / torch.Size(operator.shape_out).numel()
    assert (nominal > 0).all()
    assert (exact <= 1.1 * nominal * max(reduction, 1) ** 0.5).all()


def test_norm_bound_is_one(operator):
    bound = operator.norm_bound
    if bound is not None:
        exact = torch.linalg.svdvals(dense_matrices(operator))[:, 0]
        assert bound.dtype == exact.dtype
        assert bound.shape in ((1,), (operator.batch,))
        assert (exact <= bound * (1 + 1e-12)).all()
        assert torch.equal(operator.H.norm_bound, bound)


def test_what_lies_outside_the_support_is_not_seen(operator):
    x = images(operator)
    if operator.support is not None:
        assert operator(x * ~operator.support).abs().max() < 1e-12


def weights_of(operator):
    return torch.logspace(-1, 2, batch_of(operator), dtype=operator.dtype.to_real())


def test_closed_form_is_the_dense_inverse(request, operator):
    c, r = weights_of(operator), images(operator, 4)
    found = operator.resolvent(c, r)
    if request.node.callspec.params["operator"] in WITHOUT_CLOSED_FORM:
        assert found is None
    else:
        assert found.dtype == operator.dtype
        assert close(found, solve_shifted(operator, c, r), 1e-10)


def test_direct_and_iterative_solutions_agree(operator):
    c, r = weights_of(operator), images(operator, 4)
    iterative = ConjugateGradient(rtol=1e-13)(operator, c, r)
    direct = LinearSolver(rtol=1e-13)(operator, c, r)
    assert close(direct.value, iterative.value, 1e-9)
    assert direct.status == iterative.status == (Status.CONVERGED,) * batch_of(operator)


def test_reverse_and_forward_mode_derivatives(operator):
    for function, point in (
        (operator, images(operator)),
        (operator.H, measurements(operator)),
        (operator.normal, images(operator)),
        *closed_form_of(operator),
    ):
        assert torch.autograd.gradcheck(
            function, point.requires_grad_(), check_forward_ad=True, fast_mode=True
        )


def test_gradient_of_the_data_term(operator):
    x, y = images(operator).requires_grad_(), measurements(operator)
    norm(operator(x) - y).square().sum().backward()
    assert close(x.grad, 2 * operator.H(operator(x.detach()) - y))


def test_directional_derivative_is_the_operator(operator):
    x, v = images(operator), images(operator, 5)
    value, derivative = torch.func.jvp(operator, (x,), (v,))
    assert close(value, operator(x))
    assert close(derivative, operator(v))


def test_single_precision_agrees_with_double(operator):
    lower = torch.complex64 if operator.dtype.is_complex else torch.float32
    single = operator.to(dtype=lower)
    x = images(operator)
    assert single.dtype == lower
    assert single.device == operator.device
    for low, high in (
        (single(x.to(lower)), operator(x)),
        (single.normal(x.to(lower)), operator.normal(x)),
        (single.H(measurements(operator).to(lower)), operator.H(measurements(operator))),
    ):
        assert low.dtype == lower
        assert close(low.to(high.dtype), high, 1e-5)


def test_wrong_shapes_are_refused_with_a_sentence(operator):
    expected = ", ".join(map(str, operator.shape_in))
    for call in (operator, operator.normal, lambda r: operator.resolvent(torch.ones(2), r)):
        with pytest.raises(InputError, match=rf"shape \(2, 9, 9\), expected \(batch, {expected}\)"):
            call(torch.zeros(2, 9, 9, dtype=operator.dtype))
    expected = ", ".join(map(str, operator.shape_out))
    with pytest.raises(InputError, match=rf"expected \(batch, {expected}\)"):
        operator.H(torch.zeros(2, *operator.shape_out, 1, dtype=operator.dtype))


def test_a_batch_that_does_not_fit_the_parameters_is_refused(operator):
    x = torch.zeros(5, *operator.shape_in, dtype=operator.dtype)
    if operator.batch == 1:
        assert operator(x).shape[0] == 5
    else:
        with pytest.raises(InputError, match=f"a batch of 5, .* {operator.batch} samples"):
            operator(x)


def test_the_operator_of_some_samples_is_a_part_of_the_whole(operator):
    last = batch_of(operator) - 1
    part = operator.for_samples(torch.tensor([last]))
    if operator.batch == 1:
        assert part is operator
        return
    if part is None:  # of one that does not say what it holds of every sample
        assert "Dense" in repr(operator)
        return
    x, y = images(operator), measurements(operator)
    assert close(part(x[last:]), operator(x)[last:])
    assert close(part.H(y[last:]), operator.H(y)[last:])
    assert close(part.normal(x[last:]), operator.normal(x)[last:])
    assert close(part.nominal_norm.expand(1), operator.nominal_norm.expand(last + 1)[last:], 1e-2)
    assert part.batch == 1
    assert not part.changed
