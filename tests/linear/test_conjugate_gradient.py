import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrecon.errors import InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.status import Status
from molrecon.operators.base import norm
from molrecon.operators.cartesian_mri import CartesianMRI

from ..support import Dense, cartesian_mri, normal, solve_shifted, with_singular_values

TIGHT = ConjugateGradient(rtol=1e-12)


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from([(4, 5), (3, 3), (2, 3, 2)]),
    st.lists(st.floats(0, 1e3), min_size=2, max_size=2),
    st.integers(0, 999),
)
def test_equals_the_dense_solution(spatial, weights, seed):
    A = cartesian_mri(spatial, mask_batch=2, maps_batch=2, seed=seed)
    c = torch.tensor(weights, dtype=torch.float64)
    r = normal(2, 1, *spatial, seed=seed + 5)
    solution = TIGHT(A, c, r)
    assert torch.allclose(solution.value, solve_shifted(A, c, r), rtol=1e-8, atol=1e-8)
    assert solution.status == (Status.CONVERGED, Status.CONVERGED)


def test_residual_is_that_of_the_value():
    A, r = cartesian_mri((5, 4)), normal(2, 1, 5, 4)
    for limit in (1, 3, 6):
        solution = ConjugateGradient(rtol=1e-9, max_iterations=limit)(A, 50.0, r)
        explicit = norm(r - solution.value - 50.0 * A.normal(solution.value))
        assert torch.allclose(solution.residual, explicit, rtol=1e-6)
        assert solution.iterations.tolist() == [limit, limit]
        assert solution.status == (Status.ITERATION_LIMIT,) * 2
        assert torch.allclose(solution.initial_residual, norm(r))


@pytest.mark.parametrize("values", [[1.0], [1.0, 0.3], [1.0, 1.0, 0.5, 0.2]])
def test_ends_after_as_many_iterations_as_there_are_eigenvalues(values):
    """The null space adds the eigenvalue 1 to those of the distinct singular values."""
    operator = with_singular_values(values, columns=7)
    solution = ConjugateGradient(rtol=1e-10)(operator, 20.0, normal(1, 1, 7))
    assert solution.iterations.item() == len(set(values)) + 1


def test_weight_zero_takes_one_iteration():
    r = normal(1, 1, 4, 5)
    solution = ConjugateGradient()(cartesian_mri((4, 5)), 0.0, r)
    assert torch.allclose(solution.value, r)
    assert solution.iterations.item() == 1


def test_samples_stop_by_themselves_and_leave_the_others_alone():
    A = cartesian_mri((6, 5), mask_batch=3)
    c = torch.tensor([0.1, 20.0, 2000.0], dtype=torch.float64)
    r = normal(3, 1, 6, 5)
    solver = ConjugateGradient(rtol=1e-6)
    together = solver(A, c, r)
    assert together.iterations[0] < together.iterations[1] < together.iterations[2]
    assert together.normal_evaluations == together.iterations.max()
    for i in range(3):
        single = solver(CartesianMRI(A.coil_maps, A.mask[i : i + 1]), c[i], r[i : i + 1])
        assert torch.allclose(together.value[i], single.value[0], rtol=1e-12, atol=1e-14)
        assert together.iterations[i] == single.iterations[0]


def test_one_bad_sample_does_not_spoil_the_batch():
    A = cartesian_mri((6, 5))
    r = normal(2, 1, 6, 5)
    good = ConjugateGradient()(A, 10.0, r[:1])
    r[1, 0, 2, 2] = complex(math.nan)
    both = ConjugateGradient()(A, 10.0, r)
    assert both.status == (Status.CONVERGED, Status.NON_FINITE)
    assert torch.allclose(both.value[0], good.value[0])


def test_infinite_right_hand_side_is_a_status():
    r = normal(1, 1, 4, 5)
    r[0, 0, 0, 0] = complex(math.inf)
    assert ConjugateGradient()(cartesian_mri((4, 5)), 1.0, r).status == (Status.NON_FINITE,)


def test_warm_start_at_the_solution_costs_one_application():
    A, r = cartesian_mri((4, 5)), normal(1, 1, 4, 5)
    exact = solve_shifted(A, 10.0, r)
    warm = ConjugateGradient(rtol=1e-6)(A, 10.0, r, exact)
    assert torch.equal(warm.value, exact)
    assert warm.iterations.item() == 0
    assert warm.normal_evaluations == 1
    assert warm.initial_residual.item() < 1e-12


def test_starting_image_is_not_overwritten():
    A, r, x0 = cartesian_mri((4, 5)), normal(1, 1, 4, 5), normal(1, 1, 4, 5, seed=3)
    kept = x0.clone()
    solution = TIGHT(A, 10.0, r, x0)
    assert torch.equal(x0, kept)
    assert torch.allclose(solution.value, solve_shifted(A, 10.0, r))


def test_relative_to_the_start_always_improves_a_warm_start():
    """Relative to the right-hand side, a good start comes back as it is, as if it were exact."""
    A, c, r = cartesian_mri((6, 5)), 100.0, normal(1, 1, 6, 5)
    exact = solve_shifted(A, c, r)
    start = exact + 1e-4 * normal(1, 1, 6, 5, seed=9)
    lazy = ConjugateGradient(rtol=0.05, relative_to="rhs")(A, c, r, start)
    assert torch.equal(lazy.value, start)
    eager = ConjugateGradient(rtol=0.05, relative_to="start")(A, c, r, start)
    assert eager.residual <= 0.05 * eager.initial_residual
    assert norm(eager.value - exact) < 0.5 * norm(start - exact)


def test_single_precision_start_is_refined_below_the_rounding_of_the_right_hand_side():
    A = cartesian_mri((8, 6), coils=4, fraction=0.4, dtype=torch.complex64)
    c = 3000.0
    x = normal(1, 1, 8, 6, dtype=torch.complex64)
    r = x + c * A.normal(x)
    null = x - A.normal(x) / A.normal(x).abs().max()
    start = x + 1e-5 * null * norm(x) / norm(null)
    # The start's residual is below the rounding of r, and its error is not.
    assert norm(start - x) < torch.finfo(torch.float32).eps * norm(r)
    solution = ConjugateGradient(rtol=0.05, relative_to="start")(A, c, r, start)
    assert solution.iterations.item() > 0
    assert norm(solution.value - x) < 0.5 * norm(start - x)


def test_real_operators():
    operator = Dense(normal(2, 6, 4, dtype=torch.float64))
    r = normal(2, 1, 4, dtype=torch.float64)
    assert torch.allclose(TIGHT(operator, 3.0, r).value, solve_shifted(operator, 3.0, r))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"rtol": -0.1}, "rtol is -0.1"),
        ({"rtol": 1.0}, "rtol is 1.0"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"relative_to": "end"}, "relative_to is 'end'"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        ConjugateGradient(**arguments)


@pytest.mark.parametrize("c", [-1.0, math.nan, math.inf, [1.0, -2.0]])
def test_weights_out_of_range_are_refused(c):
    with pytest.raises(InputError, match="finite values of at least 0"):
        ConjugateGradient()(cartesian_mri((4, 5)), torch.tensor(c), normal(2, 1, 4, 5))


@pytest.mark.parametrize("shape", [(3,), (2, 1)])
def test_weights_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"expected \(2,\)"):
        ConjugateGradient()(cartesian_mri((4, 5)), torch.ones(shape), normal(2, 1, 4, 5))


def test_every_status_has_a_sentence():
    sentences = [status.sentence for status in Status]
    assert len(set(sentences)) == len(Status)
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in sentences)


def test_solved_samples_leave_the_batch(monkeypatch):
    applied = []
    own = CartesianMRI.normal
    monkeypatch.setattr(CartesianMRI, "normal", lambda A, x: applied.append(len(x)) or own(A, x))
    A, r = cartesian_mri((4, 5), mask_batch=3, maps_batch=3), normal(3, 1, 4, 5)
    c = torch.tensor([0.0, 300.0, 2.0], dtype=torch.float64)
    together = ConjugateGradient(rtol=1e-9)(A, c, r)
    assert len(set(together.iterations.tolist())) == 3
    assert sum(applied) == together.iterations.sum()
    for n in range(3):
        one = A.for_samples(torch.tensor([n]))
        alone = ConjugateGradient(rtol=1e-9)(one, c[n : n + 1], r[n : n + 1])
        assert torch.equal(alone.iterations, together.iterations[n : n + 1])
        assert torch.allclose(alone.value[0], together.value[n], rtol=1e-12, atol=1e-12)
        assert torch.allclose(alone.residual, together.residual[n : n + 1], rtol=1e-6)
