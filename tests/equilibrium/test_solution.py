"""What a solution says about itself."""

import pytest
import torch

from molrecon.equilibrium.solution import Guarantee, Solution
from molrecon.errors import ConvergenceError
from molrecon.linear.status import Status


def solution(*status: Status, **known) -> Solution:
    batch = len(status)
    return Solution(torch.zeros(batch, 1, 4, 4), status, torch.arange(batch) + 7, **known)


KNOWN = Guarantee(torch.tensor([0.1, 0.2]), True, "a theorem", 0.5, torch.tensor([3.0, 4.0]))


def test_without_a_guarantee_nothing_is_claimed_and_nothing_is_nan():
    one = solution(Status.CONVERGED)
    assert (one.error_bound, one.monotonicity, one.robustness) == (None, None, None)
    assert not one.certified
    facts = one.facts()
    unknown = [name for name, value in facts.items() if value is None]
    assert unknown == [
        "relative_residual",
        "error_bound",
        "rests_on",
        "monotonicity",
        "robustness",
        "lam",
        "sigma",
    ]
    assert repr(one) == "Solution(1 × (1, 4, 4) float32, converged, no error bound)"


def test_facts_are_plain_values_of_one_sample():
    both = solution(Status.CONVERGED, Status.STAGNATED, guarantee=KNOWN, lam=torch.tensor([1, 2]))
    facts = both.facts(1)
    assert facts["status"] == "stagnated"
    assert facts["error_bound"] == pytest.approx(0.2)
    assert (facts["robustness"], facts["lam"], facts["iterations"]) == (4.0, 2.0, 8)
    assert (facts["certified"], facts["rests_on"], facts["monotonicity"]) == (
        True,
        "a theorem",
        0.5,
    )
    assert all(isinstance(v, str | int | float | None) for v in facts.values())
    assert both.solved.tolist() == [True, False]
    # The single number nearest to 0.2 is above it, and a bound is told rounded up.
    assert "stagnated, error bound 0.201 proved" in repr(both)


def test_the_first_failure_is_named_with_what_was_reached():
    fine = solution(Status.CONVERGED)
    assert fine.failure() is None
    fine.raise_unless_converged()
    failed = solution(Status.CONVERGED, Status.ITERATION_LIMIT, guarantee=KNOWN)
    with pytest.raises(ConvergenceError, match=r"The solve of sample 1 ended .* 8 .* of 2\.0e-01"):
        failed.raise_unless_converged()
    plain = solution(Status.NON_FINITE).failure("linear solve")
    assert plain is not None
    assert plain.startswith("the linear solve of sample 0 ended with status 'non-finite' after 7")
    assert plain.endswith(Status.NON_FINITE.sentence)


def test_converged_means_that_value_and_bound_bear_it_out():
    """A bound above the tolerance, or a pixel that is no number, is another end."""
    three = solution(
        Status.CONVERGED,
        Status.CONVERGED,
        Status.ITERATION_LIMIT,
        guarantee=Guarantee(torch.tensor([0.1, 0.3, 0.4]), True, "a theorem"),
    )
    held = three.held_to(0.1)
    assert held.status == (Status.CONVERGED, Status.STAGNATED, Status.ITERATION_LIMIT)
    assert three.held_to(None).status == three.status
    assert held.held_to(0.1).status == held.status
    broken = solution(Status.CONVERGED, Status.CONVERGED)
    broken.value[1, 0, 2, 3] = torch.inf
    for tol in (None, 0.1):
        assert broken.held_to(tol).status == (Status.CONVERGED, Status.NON_FINITE)
