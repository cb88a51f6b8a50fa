"""What may be called proved."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon import DataCheck, Finding, Guarantee
from molrecon.reports.verdict import gain_verdict, verdict_of

SEVERITIES = ("refused", "warning", "note")


def check_of(severities, mended=False):
    kinds = enumerate(severities)
    return DataCheck.of([Finding(f"{n}", one, "seen", "means", "do", mended) for n, one in kinds])


@given(
    proved=st.booleans(),
    checked=st.booleans(),
    severities=st.lists(st.sampled_from(SEVERITIES), max_size=3),
    mended=st.booleans(),
)
def test_proved_needs_weights_and_rounding_and_a_check_without_doubts(
    proved, checked, severities, mended
):
    guarantee = Guarantee(
        torch.tensor([2e-3], dtype=torch.float64), proved, "the norms were computed"
    )
    found = verdict_of(guarantee, check_of(severities, mended) if checked else None)
    doubtful = "refused" in severities or ("warning" in severities and not mended)
    allowed = proved and checked and not doubtful
    assert (found.kind == "proved") == allowed
    assert ("rounding included" in found.text) == allowed
    assert found.kind == ("proved" if allowed else "conditional")
    assert "Within 0.20% of" in found.text
    if not allowed:
        assert " if " in found.text
        assert "proved" not in found.text.lower()


@pytest.mark.parametrize("check", [None, check_of([])])
def test_without_a_bound_there_is_none(check):
    assert verdict_of(None, check).kind == "none"


def test_every_image_has_its_own_bound():
    guarantee = Guarantee(
        torch.tensor([1e-3, 5e-2], dtype=torch.float64),
        True,
        "x",
        robustness=torch.tensor([2.0, 3.0]),
    )
    found = verdict_of(guarantee, check_of([]), sample=1)
    assert "Within 5.00% of" in found.text
    assert "3 times" in " ".join(found.details)


@given(certified=st.booleans(), severities=st.lists(st.sampled_from(SEVERITIES), max_size=2))
def test_a_gain_is_proved_under_the_same_conditions(certified, severities):
    found = gain_verdict(7.5, certified, check_of(severities))
    allowed = certified and not {"refused", "warning"} & set(severities)
    assert found.kind == ("proved" if allowed else "conditional")
    assert "7.5 times" in found.text
    assert (" if " in found.text) == (not allowed)
    assert gain_verdict(None, certified, check_of([])).kind == "none"
