"""Methods built from settings."""

import pytest

from molrecon.errors import InputError
from molrecon.evaluation.comparison.config import MethodConfig
from molrecon.evaluation.comparison.methods import build, definition
from molrecon.reconstructors.base import Reconstructor, direct_solution
from molrecon.reconstructors.methods import METHODS


@pytest.fixture
def strong(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Register a method with options; return those it was built with."""
    given: dict[str, object] = {}

    class Strong(Reconstructor):
        name = "strong"

        def __init__(self, *, strength: float = 1.0, steps: int = 10) -> None:
            if strength < 0:
                raise InputError(f"strength is {strength}, expected a positive number")
            given.update(strength=strength, steps=steps)

        def __call__(self, y, A, *, sigma=None, tol=None, raise_on_failure=True):
            return direct_solution(A.H(y))

    monkeypatch.setitem(METHODS, "strong", Strong)
    return given


def test_options_reach_the_method(strong):
    build(MethodConfig(method="strong", options={"strength": 3.0}), "cpu")
    assert strong["strength"] == 3.0
    assert strong["steps"] == 10


def test_options_that_are_unknown_or_refused(strong):
    with pytest.raises(
        InputError,
        match="no setting 'colour', expected strength, steps",
    ):
        build(MethodConfig(method="strong", label="mine", options={"colour": 1}), "cpu")
    with pytest.raises(InputError, match=r"'mine': strength is -1"):
        build(MethodConfig(method="strong", label="mine", options={"strength": -1}), "cpu")
    with pytest.raises(InputError, match="refuses its options"):
        build(MethodConfig(method="strong", options={"strength": "much"}), "cpu")


def test_all_that_matters_is_in_the_definition(strong):
    plain = MethodConfig(method="strong")
    method = build(plain, "cpu")
    same = definition(plain.model_copy(update={"label": "other"}), method)
    assert definition(plain, method) == same
    for change in (
        {"tol": 0.1},
        {"options": {"strength": 2}},
        {"strength": 2.0},
        {"strength": "auto"},
        {"method": "sense"},
    ):
        assert definition(plain.model_copy(update=change), method) != same


def test_labels():
    assert MethodConfig(method="sense").label == "sense"
    assert MethodConfig(method="mol", model="a/tiny.safetensors").label == "mol tiny"
