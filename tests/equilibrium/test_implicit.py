"""The gradient of an equilibrium, against unrolled iterations and finite differences."""

from dataclasses import replace

import pytest
import torch

from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.errors import ConvergenceError
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.linear.status import Status
from molrecon.operators.base import norm, per_sample

from ..support import cartesian_mri, contractive_cnn, normal, real_matrices, slope

SPATIAL = (4, 3)
M = 0.3
TIGHT = ForwardBackward(
    tol=1e-13,
    stopping="residual",
    max_iterations=1000,
    inner=ConjugateGradient(rtol=1e-3, relative_to="start"),
)


class Problem:
    """A batch of two with everything that may want a gradient."""

    def __init__(self, seed=0):
        self.A = cartesian_mri(SPATIAL, mask_batch=2, seed=seed)
        self.network = contractive_cnn(1 - M, seed=seed)
        self.y = self.A(normal(2, 1, *SPATIAL, seed=seed)).requires_grad_()
        self.lam = torch.tensor([0.8, 15.0], dtype=torch.float64, requires_grad=True)
        self.sigma = torch.tensor([0.01, 0.1], dtype=torch.float64, requires_grad=True)
        self.target = normal(2, 1, *SPATIAL, seed=seed + 1)

    @property
    def leaves(self):
        return [*self.network.parameters(), self.y, self.lam, self.sigma]

    def denoise(self, x):
        return self.network(x, self.sigma)

    def inclusion(self, shift=0.0):
        rhs = per_sample(self.lam, self.y) * self.A.H(self.y)
        return Inclusion(
            H=self.denoise, A=self.A, lam=self.lam, rhs=rhs, monotonicity=M, shift=shift
        )

    def loss(self, x):
        return (norm(x - self.target).square() + x.real.exp().mean((1, 2, 3))).sum()

    def gradients(self, x):
        return torch.autograd.grad(self.loss(x), self.leaves)


def unrolled(problem, iterations=200, shift=0.0):
    """The plain iteration with α = 1 and dense inverses, recorded step by step."""
    n = 2 * problem.target[0].numel()
    gram = real_matrices(problem.A.normal, problem.target)
    identity = torch.eye(n, dtype=torch.float64)
    matrices = (1 + shift) * identity + problem.lam[:, None, None] * gram
    inverse = torch.linalg.inv(matrices)
    rhs = problem.inclusion().rhs
    x = torch.zeros_like(problem.target)
    for _ in range(iterations):
        right = torch.view_as_real(problem.denoise(x) + rhs).reshape(2, n, 1)
        x = torch.view_as_complex((inverse @ right).reshape(*x.shape, 2))
    return x


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_equals_the_gradient_through_200_iterations(shift):
    problem = Problem()
    reference = unrolled(problem, shift=shift)
    solution = Equilibrium(TIGHT, TIGHT)(problem.inclusion(shift), torch.zeros_like(reference))
    assert torch.allclose(solution.value, reference, rtol=1e-9, atol=1e-10)
    expected, found = problem.gradients(reference), problem.gradients(solution.value)
    for exact, implicit in zip(expected, found, strict=True):
        assert exact.abs().max() > 1e-6
        assert torch.linalg.vector_norm(implicit - exact) <= 1e-8 * torch.linalg.vector_norm(exact)


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_equals_finite_differences(alpha):
    problem = Problem(seed=3)
    solver = ForwardBackward(alpha=alpha, tol=1e-13, stopping="residual", max_iterations=2000)
    equilibrium = Equilibrium(solver, solver)
    x0 = torch.zeros_like(problem.target)

    def loss():
        return problem.loss(equilibrium(problem.inclusion(), x0).value)

    gradients = torch.autograd.grad(loss(), problem.leaves)
    for number, (leaf, gradient) in enumerate(zip(problem.leaves, gradients, strict=True)):
        direction = normal(*leaf.shape, seed=number, dtype=leaf.dtype)
        predicted = (gradient.conj() * direction).real.sum().item()
        found = slope(loss, [leaf], [direction], 1e-5)
        assert predicted == pytest.approx(found, rel=1e-5, abs=1e-8)


def test_accuracy_follows_the_tolerances():
    problem = Problem()
    exact = torch.cat([g.abs().flatten() for g in problem.gradients(unrolled(problem))])
    errors = []
    for tol in (1e-1, 1e-3, 1e-6):
        solver = ForwardBackward(tol=tol)
        solution = Equilibrium(solver, solver)(
            problem.inclusion(), torch.zeros_like(problem.target)
        )
        found = torch.cat([g.abs().flatten() for g in problem.gradients(solution.value)])
        errors.append(((found - exact).norm() / exact.norm()).item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 1e-3
    assert errors[2] < 1e-6


def test_failed_adjoint_raises_by_default():
    problem = Problem()
    impatient = ForwardBackward(tol=1e-9, max_iterations=1)
    solution = Equilibrium(TIGHT, impatient)(problem.inclusion(), torch.zeros_like(problem.target))
    with pytest.raises(ConvergenceError, match=r"adjoint solve of sample 0 .* after 1 iterations"):
        problem.loss(solution.value).backward()


def test_adjoint_solution_is_reported():
    problem, seen = Problem(), []
    equilibrium = Equilibrium(TIGHT, ForwardBackward(tol=1e-2), raise_on_failure=False)
    solution = equilibrium(
        problem.inclusion(), torch.zeros_like(problem.target), on_backward=seen.append
    )
    assert seen == []
    problem.loss(solution.value).backward()
    assert len(seen) == 1
    assert seen[0].status == (Status.CONVERGED,) * 2
    assert (seen[0].error_bound <= 1e-2).all()


def test_a_sample_whose_adjoint_fails_gives_no_gradient():
    """The others' is as exact as ever: a wrong gradient is never used, and spoils none."""
    problem, seen = Problem(), []
    expected = problem.gradients(unrolled(problem) * torch.tensor([0, 1]).reshape(2, 1, 1, 1))
    accurate = ConjugateGradient(rtol=0.01, relative_to="start")
    backward = ForwardBackward(tol=1e-9, memory=0, inner=accurate)
    for _ in range(2):
        equilibrium = Equilibrium(TIGHT, backward, raise_on_failure=False)
        solution = equilibrium(
            problem.inclusion(), torch.zeros_like(problem.target), on_backward=seen.append
        )
        found = problem.gradients(solution.value)
        # Then again, with just enough iterations for the second sample, whose λ is larger.
        backward = replace(backward, max_iterations=int(seen[0].iterations[1]))
    assert seen[0].solved.tolist() == [True, True]
    assert seen[1].status == (Status.ITERATION_LIMIT, Status.CONVERGED)
    assert seen[1].solved.tolist() == [False, True]
    for exact, implicit in zip(expected, found, strict=True):
        assert torch.allclose(implicit, exact, rtol=1e-6, atol=1e-7 * float(exact.abs().max()))


def saved_bytes(run):
    """Bytes that ``run()`` stores for its backward pass."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    return result, sum(sizes)


def evaluations(problem, iterations):
    """Applications with gradients recorded, and bytes saved for the backward pass."""
    recorded = 0

    def counted(x):
        nonlocal recorded
        recorded += torch.is_grad_enabled()
        return problem.denoise(x)

    inclusion = problem.inclusion()
    counting = Inclusion(
        H=counted, A=inclusion.A, lam=inclusion.lam, rhs=inclusion.rhs, monotonicity=M
    )
    solver = ForwardBackward(
        alpha=0.1, tol=1e-15, stopping="residual", max_iterations=iterations, memory=0
    )
    equilibrium = Equilibrium(solver, TIGHT, raise_on_failure=False)
    start = torch.zeros_like(problem.target)
    solution, saved = saved_bytes(lambda: equilibrium(counting, start))
    assert solution.iterations.max() == iterations
    assert solution.network_evaluations == iterations + 1
    problem.loss(solution.value).backward()
    return recorded, saved


def test_memory_does_not_depend_on_the_iterations():
    problem = Problem()
    assert evaluations(problem, 10) == evaluations(problem, 60)
    # To attach the gradient, for the adjoint solve, and for the gradient of the weights.
    assert evaluations(problem, 10)[0] == 3


def test_nothing_inside_the_network_is_held_between_the_passes():
    """More features, more to store in the network, and as little as ever in the equilibrium."""

    def saved(features):
        network = contractive_cnn(1 - M, features=features)
        problem.network = network
        inside = saved_bytes(lambda: network(problem.target, problem.sigma))[1]
        return inside, evaluations(problem, 10)[1]

    problem = Problem()
    (few_inside, few), (many_inside, many) = saved(4), saved(40)
    assert many_inside > 4 * few_inside
    assert many == few


def test_without_gradients_the_network_is_not_applied_again():
    problem = Problem()
    with torch.no_grad():
        solution = Equilibrium(TIGHT)(problem.inclusion(), torch.zeros_like(problem.target))
    assert not solution.value.requires_grad
    assert solution.network_evaluations == solution.iterations.max()


def test_certified_is_passed_on():
    problem = Problem()
    for certified in (False, True):
        start = torch.zeros_like(problem.target)
        equilibrium = Equilibrium(ForwardBackward(tol=1e-6))
        solution = equilibrium(problem.inclusion(), start, certified=certified)
        assert solution.certified is certified
        # A bound that nobody asked for is not confirmed with its rounding.
        assert not Equilibrium(TIGHT)(problem.inclusion(), start, certified=certified).certified
        assert solution.monotonicity == M


def test_gradient_can_be_taken_twice():
    problem = Problem()
    solution = Equilibrium(TIGHT, TIGHT)(problem.inclusion(), torch.zeros_like(problem.target))
    loss = problem.loss(solution.value)
    first = torch.autograd.grad(loss, problem.lam, retain_graph=True)[0]
    second = torch.autograd.grad(loss, problem.lam)[0]
    assert torch.allclose(first, second)


def test_second_derivatives_are_refused():
    """They would lack how the adjoint solution depends on the equation."""
    problem = Problem()
    x = Equilibrium(TIGHT, TIGHT)(problem.inclusion(), 0 * problem.target).value
    (first,) = torch.autograd.grad(problem.loss(x), problem.lam, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        first.sum().backward()
