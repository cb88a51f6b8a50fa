from itertools import pairwise

import pytest
import torch

from molrecon.equilibrium.anderson import AndersonHistory, select
from molrecon.equilibrium.forward_backward import ForwardBackward
from molrecon.equilibrium.inclusion import Inclusion
from molrecon.linear.conjugate_gradient import ConjugateGradient
from molrecon.operators.base import norm

from ..support import Dense, contraction, normal, solve_real_linear

ALL = torch.ones(2, dtype=torch.bool)


def test_the_first_proposal_is_the_plain_step():
    history = AndersonHistory(3)
    image, step = normal(2, 1, 4), normal(2, 1, 4, seed=1)
    history.push(image, step, ALL)
    assert torch.equal(history.propose(), image)


def test_solves_an_affine_problem_of_few_dimensions_at_once():
    """In n real dimensions, n + 1 points determine an affine map and its fixed point."""
    linear, offset = contraction(2, 0.9), normal(2, 1, 2)
    exact = solve_real_linear(lambda x: x - linear(x), offset)
    history = AndersonHistory(4, regularisation=1e-14)
    for seed in range(5):
        x = normal(2, 1, 2, seed=10 + seed)
        image = linear(x) + offset
        history.push(image, image - x, ALL)
    assert torch.allclose(history.propose(), exact, rtol=1e-5)


def test_weights_minimise_the_combined_residual():
    images = [normal(2, 1, 6, seed=s) for s in range(3)]
    steps = [normal(2, 1, 6, seed=20 + s) for s in range(3)]
    history = AndersonHistory(2, regularisation=1e-14)
    for image, step in zip(images, steps, strict=True):
        history.push(image, step, ALL)
    proposal = history.propose()
    for sample in range(2):
        real = [torch.view_as_real(s[sample]).flatten() for s in steps]
        differences = torch.stack([real[2] - real[0], real[2] - real[1]], dim=1)
        weights = torch.linalg.lstsq(differences, real[2][:, None]).solution.flatten()
        expected = images[2][sample] - sum(
            w * (images[2][sample] - images[i][sample]) for i, w in enumerate(weights)
        )
        assert torch.allclose(proposal[sample], expected, rtol=1e-6)


def test_keeps_no_more_than_its_memory():
    long, short = AndersonHistory(1), AndersonHistory(1)
    for seed in range(5):
        pair = normal(2, 1, 6, seed=seed), normal(2, 1, 6, seed=50 + seed)
        long.push(*pair, ALL)
        if seed >= 3:
            short.push(*pair, ALL)
    assert torch.equal(long.propose(), short.propose())


def test_entries_that_do_not_count_leave_no_trace():
    """Not even those that hold NaN; and the samples of a batch have histories of their own."""
    spoilt, clean = AndersonHistory(4), AndersonHistory(4)
    for seed in range(4):
        image, step = normal(2, 1, 6, seed=seed), normal(2, 1, 6, seed=50 + seed)
        if seed == 1:
            broken = image.clone()
            broken[0] = complex(float("nan"), float("inf"))
            spoilt.push(broken, broken, torch.tensor([False, True]))
        else:
            spoilt.push(image, step, ALL)
            clean.push(image, step, ALL)
    assert torch.allclose(spoilt.propose()[0], clean.propose()[0])
    assert not torch.allclose(spoilt.propose()[1], clean.propose()[1])


@pytest.mark.parametrize("flush", [False, True])
def test_equal_steps_propose_the_plain_one(flush):
    """No difference between the steps, no direction to go: the small system is singular."""
    torch.set_flush_denormal(flush)
    try:
        history = AndersonHistory(3)
        step = normal(2, 1, 6)
        for seed in range(3):
            image = normal(2, 1, 6, seed=seed)
            history.push(image, step, ALL)
        assert torch.allclose(history.propose(), image)
    finally:
        torch.set_flush_denormal(False)


def test_selects_whole_samples():
    a, b = normal(2, 1, 3), normal(2, 1, 3, seed=1)
    chosen = select(torch.tensor([True, False]), a, b)
    assert torch.equal(chosen[0], a[0])
    assert torch.equal(chosen[1], b[1])


def kinked_inclusion(seed):
    """A weak contraction with kinks, across which extrapolation often fails."""
    turn = torch.linalg.qr(normal(24, 24, seed=seed, dtype=torch.float64)).Q

    def kinked(x):
        flat = torch.view_as_real(x.contiguous()).reshape(2, 24)
        return torch.view_as_complex(0.97 * ((flat @ turn.T).abs() @ turn).reshape(2, 1, 12, 2))

    A = Dense(normal(2, 6, 12, seed=seed) / 6)
    lam = torch.tensor([0.3, 3.0], dtype=torch.float64)
    rhs = normal(2, 1, 12, seed=seed + 2)
    return Inclusion(H=kinked, A=A, lam=lam, rhs=rhs, monotonicity=0.03)


def test_residuals_of_accepted_steps_do_not_grow():
    rejected = 0
    for seed in range(2):
        inclusion, x0 = kinked_inclusion(seed), 3 * normal(2, 1, 12, seed=30 + seed)
        residuals, values = [], []
        for count in range(1, 31):
            solver = ForwardBackward(
                tol=1e-12,
                memory=5,
                max_iterations=count,
                inner=ConjugateGradient(rtol=1e-13, relative_to="start"),
            )
            solution = solver(inclusion, x0)
            assert solution.iterations.tolist() == [count, count]
            residuals.append(solution.relative_residual * norm(solution.value))
            values.append(solution.value)
        assert (torch.stack(residuals).diff(dim=0) <= 1e-12).all()
        rejected += sum(torch.equal(a[i], b[i]) for a, b in pairwise(values) for i in range(2))
    # A safeguard that never had anything to do would prove nothing.
    assert rejected > 10


def test_acceleration_with_its_safeguard_is_no_worse_than_twice_the_plain_iteration():
    """A rejected proposal costs one application; the plain step follows and keeps its promise."""
    for seed in range(4):
        inclusion, x0 = kinked_inclusion(seed), 3 * normal(2, 1, 12, seed=30 + seed)
        plain, accelerated = (
            ForwardBackward(tol=1e-3, memory=memory, max_iterations=2000)(inclusion, x0)
            for memory in (0, 5)
        )
        assert plain.converged
        assert accelerated.converged
        assert (accelerated.iterations <= 2 * plain.iterations).all()
