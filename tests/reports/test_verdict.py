"""What may be called proved."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molrecon import DataCheck, Finding, Guarantee
from molrecon.reports.verdict import verdict_of

SEVERITIES = ("refused", "warning", "note")


def check_of(severities):
    found = [Finding(f"check{n}", one, "seen", "means", "do") for n, one in enumerate(severities)]
    return DataCheck.of(found)


@given(
    proved=st.booleans(),
    checked=st.booleans(),
    severities=st.lists(st.sampled_from(SEVERITIES), max_size=3),
)
def test_proved_needs_weights_and_rounding_and_a_check_without_contradictions(
    proved, checked, severities
):
    guarantee = Guarantee(torch.tensor([2e-3]), proved, "the norms were computed")
    found = verdict_of(guarantee, check_of(severities) if checked else None)
    allowed = proved and checked and "refused" not in severities
    assert (found.kind == "proved") == allowed
    assert ("rounding included" in found.text) == allowed
    assert found.kind == ("proved" if allowed else "conditional")
    assert "0.2 %" in found.text
    if not allowed:
        assert " if " in found.text
        assert "proved" not in found.text.lower()


@pytest.mark.parametrize("check", [None, check_of([])])
def test_without_a_bound_there_is_none(check):
    assert verdict_of(None, check).kind == "none"


def test_every_image_has_its_own_bound():
    guarantee = Guarantee(
        torch.tensor([1e-3, 5e-2]), True, "x", robustness=torch.tensor([2.0, 3.0])
    )
    found = verdict_of(guarantee, check_of([]), sample=1)
    assert "5 %" in found.text
    assert "3 times" in " ".join(found.details)
