"""The audit: it passes what holds, and finds what does not."""

import math

import pytest
import torch
from torch import nn

from molrecon.errors import InputError
from molrecon.evaluation.audit import Audited, AuditEffort, audit
from molrecon.evaluation.exact import exact_solution
from molrecon.networks import MultiscaleStrictCNN, ResidualStrictCNN
from molrecon.networks.base import Network
from molrecon.networks.guide import ThresholdGuide
from molrecon.operators.base import norm
from molrecon.reconstructors.mol import MOL
from molrecon.reconstructors.weights import DataWeight

from ..reconstructors.methods import model
from ..support import cartesian_mri, dense_matrices, normal

QUICK = AuditEffort(jacobians=12, problems=3)


def strict(kind=ResidualStrictCNN, **settings):
    torch.manual_seed(0)
    network = kind(features=4, lipschitz=0.9, noise_conditioned=True, **settings)
    built = MOL(network, DataWeight("fixed", lam0=5.0), monotonicity=0.1)
    return built.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ResidualStrictCNN, {"layers": 1, "channels": 1}),
        (MultiscaleStrictCNN, {"scales": (1, 2), "coarse_channels": 2, "coarse_features": 6}),
    ],
)
def test_what_is_proved_is_not_violated_and_nearly_attained(kind, settings):
    told = []
    found = audit(strict(kind, **settings), QUICK, report=lambda text, done: told.append(done))
    own, changed, quotients, solutions = found
    assert sum(told) == QUICK.steps
    assert own.cases + changed.cases == quotients.cases == 12
    assert solutions.cases >= 2  # all but those whose exact solution was not found
    for one in found:
        assert one.proved
        assert one.violations == 0
        assert one.examples == []
        assert 0 < one.largest <= 1
        assert one.worst
    # Where all features are far beyond their thresholds the layers are the identity.
    assert own.largest > 0.99


def test_solutions_of_a_guided_model_are_those_at_the_thresholds_that_were_set():
    settings = {"scales": (1, 2), "coarse_channels": 2, "coarse_features": 6}
    built = strict(MultiscaleStrictCNN, **settings)
    guide = ThresholdGuide(built.network, features=4, coarse_features=8)
    for part in (guide.fine_factors, guide.coarse_factors):
        nn.init.normal_(part.weight)
    built.guide = guide.eval().requires_grad_(False)
    solutions = audit(built, QUICK)[-1]
    assert solutions.proved
    assert solutions.cases == QUICK.problems
    assert solutions.violations == 0


class Steep(Network):
    """H(x) = 2x, which says that its Lipschitz bound is 0.9."""

    ndim, channels, noise_conditioned = 2, 2, False

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList()

    def apply_channels(self, x, code):
        return 2 * x

    def lipschitz_bound(self):
        return 0.9

    def composed_bound(self):
        return 0.9


def test_a_bound_that_is_wrong_is_found():
    built = MOL(Steep(), DataWeight("fixed", lam0=500.0), monotonicity=0.1)
    found = audit(built.eval().requires_grad_(False), AuditEffort(jacobians=12, problems=1))
    first = found[0]
    assert "claimed" not in "".join(one.check for one in found)
    assert first.violations == first.cases > 0
    assert first.largest == pytest.approx(2 / 0.9, rel=1e-6)
    assert len(first.examples) == 3


def test_a_claim_that_is_not_proved_is_called_one():
    found = audit(model("mol").float().requires_grad_(False), QUICK)
    *proved, claimed, distances = found
    assert all(one.proved and one.violations == 0 for one in proved)
    assert not claimed.proved
    assert "claimed" in claimed.check
    assert not distances.proved
    assert "conditional" in distances.check


def test_counts():
    one = Audited("x", True)
    for ratio in (0.5, 0.2, 1.5, math.nan):
        one.add(ratio, f"case {ratio}")
    assert (one.cases, one.violations) == (4, 2)
    assert one.worst == "case nan"
    assert one.examples[0] == "case 1.5: 1.5 of the bound"


@torch.no_grad()
def test_exact_solutions_are_those_of_a_linear_network():
    """Of H(x) = 2x/3 they are ``(1/3 + λAᴴA)⁻¹ λAᴴy``."""

    class Third(Steep):
        def apply_channels(self, x, code):
            return 2 / 3 * x

    A, unit, lam = cartesian_mri((4, 3), dtype=torch.complex64), torch.tensor([3.0]), 7.0
    y = A(normal(1, 1, 4, 3, dtype=torch.complex64))
    built = MOL(Third(), monotonicity=1 / 3).eval()
    found, error = exact_solution(
        built, A, y, unit, torch.tensor([0.1]), torch.tensor([lam]), torch.zeros(1, 1, 4, 3),
        torch.tensor([1e-10]),
    )  # fmt: skip
    matrix = dense_matrices(A.in_double)[0]
    gram = matrix.mH @ matrix
    right = lam * matrix.mH @ (y.to(torch.complex128) / 3).flatten()
    exact = torch.linalg.solve(torch.eye(12).double() / 3 + lam * gram, right)
    assert float(error) < 1e-11
    assert norm(found.flatten()[None] - exact[None]) < 1e-11 * norm(exact[None])


def test_refuses_what_has_no_bound():
    with pytest.raises(InputError, match="has no bound, neither proved nor claimed"):
        audit(model("mnm-mol"), QUICK)
    with pytest.raises(InputError, match="jacobians is 0"):
        AuditEffort(jacobians=0)
    with pytest.raises(InputError, match="cases is -1"):
        AuditEffort.of(-1, 0)
