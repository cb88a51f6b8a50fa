import pytest
import torch

from molrecon.errors import ConvergenceError, InputError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.regularised import solve_regularised
from molrecon.linear.status import Status
from molrecon.operators.base import LinearOperator

from ..support import Dense, cartesian_mri, normal

TIGHT = ConjugateGradient(rtol=1e-13)


def test_gradients_equal_finite_differences():
    A = cartesian_mri((3, 4), mask_batch=2)
    r = normal(2, 1, 3, 4).requires_grad_()
    c = torch.tensor([0.7, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda r, c: solve_regularised(A, c, r, solver=TIGHT), (r, c), atol=1e-6
    )


def test_gradients_of_a_shared_weight_add_up():
    A, r = cartesian_mri((3, 4)), normal(2, 1, 3, 4)
    shared = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    own = torch.full((2,), 5.0, dtype=torch.float64, requires_grad=True)
    for c in (shared, own):
        solve_regularised(A, c, r, solver=TIGHT).abs().square().sum().backward()
    assert shared.grad.item() == pytest.approx(own.grad.sum().item(), rel=1e-9)
    assert shared.grad.item() != 0


def test_gradient_does_not_depend_on_the_start():
    A, r = cartesian_mri((3, 4)), normal(1, 1, 3, 4)
    gradients = []
    for x0 in (None, normal(1, 1, 3, 4, seed=8)):
        leaf = r.clone().requires_grad_()
        solve_regularised(A, 5.0, leaf, x0, solver=TIGHT).abs().sum().backward()
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients, rtol=1e-9)


class Counting(Dense):
    """Counts applications while gradients are recorded."""

    recorded = 0

    def normal(self, x):
        self.recorded += torch.is_grad_enabled()
        return super().normal(x)


def test_iterations_are_not_recorded():
    operator: LinearOperator = Counting(normal(1, 5, 6))
    r = normal(1, 1, 6).requires_grad_()
    x = solve_regularised(operator, 100.0, r)
    x.abs().sum().backward()
    # One application, at the solution, however many iterations lead there.
    assert operator.recorded == 1


def test_second_derivatives_are_refused():
    A, r = cartesian_mri((6, 5)), normal(1, 1, 6, 5)
    c = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    loss = solve_regularised(A, c, r).abs().square().sum()
    (first,) = torch.autograd.grad(loss, c, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        first.sum().backward()


def test_failure_raises_in_both_directions():
    A, r = cartesian_mri((6, 5)), normal(1, 1, 6, 5)
    lazy = ConjugateGradient(rtol=1e-12, max_iterations=2)
    with pytest.raises(ConvergenceError, match=r"forward linear solve of sample 0 .* after 2 iter"):
        solve_regularised(A, 100.0, r, solver=lazy)
    # The exact solution as the start needs no iteration; the gradient does.
    exact = solve_regularised(A, 100.0, r, solver=ConjugateGradient(rtol=1e-14))
    x = solve_regularised(A, 100.0, r.requires_grad_(), exact, solver=lazy)
    with pytest.raises(ConvergenceError, match="backward linear solve"):
        x.abs().sum().backward()


def test_with_a_report_failures_raise_nothing_and_give_no_gradient():
    A = cartesian_mri((6, 5), mask_batch=2)
    A = type(A)(A.coil_maps, torch.cat([A.mask[:1], torch.zeros_like(A.mask[:1])]))
    r, seen = normal(2, 1, 6, 5).requires_grad_(), []
    c = torch.tensor([100.0, 100.0], dtype=torch.float64, requires_grad=True)
    lazy = ConjugateGradient(rtol=1e-12, max_iterations=2)
    x = solve_regularised(A, c, r, solver=lazy, report=lambda *what: seen.append(what))
    x.abs().square().sum().backward()
    assert [direction for direction, _ in seen] == ["forward", "backward"]
    # The second sample was not measured: its matrix is the identity.
    for _, solution in seen:
        assert solution.status == (Status.ITERATION_LIMIT, Status.CONVERGED)
    assert r.grad[0].abs().max() == 0
    assert torch.allclose(r.grad[1], 2 * x[1].detach())
    assert c.grad[0] == 0


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (-1.0, "is -1, expected finite values of at least 0"),
        (torch.tensor([2.0, float("nan")]), "is nan, expected"),
        (normal(2), "complex128, expected real values"),
        (torch.ones(3), r"shape \(3,\), expected \(2,\)"),
    ],
)
def test_wrong_weights_are_refused_in_a_sentence(weight, words):
    with pytest.raises(InputError, match=f"^the weight of AᴴA .*{words}") as caught:
        solve_regularised(cartesian_mri((3, 4)), weight, normal(2, 1, 3, 4))
    assert len(str(caught.value)) < 100
