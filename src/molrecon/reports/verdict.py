"""What is guaranteed of an image, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from molrecon.data.check import DataCheck
from molrecon.equilibrium.bound_text import bound_text, share_text
from molrecon.equilibrium.solution import AS_TRAINED, Guarantee

Kind = Literal["proved", "conditional", "none"]

SCOPE = (
    "A bound is on the distance of the computed image to the exact solution of its method's "
    "equation, relative to its size. It says nothing about the distance to the anatomy; no method "
    "can."
)
GAIN_SCOPE = (
    "The bound is on ‖Δx‖ / ‖Δy‖, the change of the image over the error of the measurements, for "
    "every error. It says nothing about the distance of the image to the anatomy; no method can."
)


@dataclass(frozen=True)
class Verdict:
    """Proved, conditional or none, and what is meant."""

    kind: Kind
    text: str  # a sentence
    details: tuple[str, ...] = ()  # sentences: on what it rests, and what else is known
    scope: str = SCOPE  # of what there is a bound, and of what there is none

    @property
    def word(self) -> str:
        """The kind as a heading."""
        return {"proved": "Proved", "conditional": "Conditional", "none": "No guarantee"}[self.kind]


UNKNOWN = Verdict(
    "none",
    "A file holds an image alone: how far it is from the solution of its method is not known. A "
    "report that is written with the reconstruction says it.",
)

HELD = "what is said to be fixed"


def verdict_of(guarantee: Guarantee | None, check: DataCheck | None, *, sample: int = 0) -> Verdict:
    """Return what may be said of an image.

    "Proved" stands only where the bound rests on the weights in memory and counts rounding, which
    is what ``guarantee.proved`` says, and where the data were checked and leave no doubt.

    Parameters
    ----------
    guarantee
        What bounds the distance to the exact solution; None for nothing.
    check
        What the data check found; None if the data were not checked.
    sample
        Number of the image in the batch of the guarantee.
    """
    if guarantee is None:
        return Verdict("none", "The method bounds no distance.")
    conditions = _conditions(guarantee.proved, guarantee.rests_on, check)
    within = f"Within {share_text(float(guarantee.error_bound[sample]))} of the exact solution"
    also: tuple[str, ...] = ()
    if guarantee.robustness is not None:
        held = f"{guarantee.held_text} fixed: σ is the noise level, λ the weight of the data"
        also = (_gain(float(guarantee.robustness[sample]), held),)
    if conditions:
        return Verdict("conditional", f"{within} if {', and '.join(conditions)}.", also)
    text = f"{within}, rounding included; the data check found no contradiction."
    return Verdict("proved", text, (f"It rests on this: {guarantee.rests_on}.", *also))


def gain_verdict(bound: float | None, certified: bool, check: DataCheck) -> Verdict:
    """Return what may be said of the largest gain ‖Δx‖ / ‖Δy‖, as `verdict_of` does.

    Parameters
    ----------
    bound
        The bound; None if there is none.
    certified
        Whether it follows from the weights in memory.
    check
        What the data check found.
    """
    if bound is None:
        return Verdict("none", "Nothing bounds how far an error of the measurements moves it.")
    conditions = _conditions(certified, AS_TRAINED, check)
    if conditions:
        text = f"{_gain(bound, HELD)[:-1]}, if {', and '.join(conditions)}."
        return Verdict("conditional", text, scope=GAIN_SCOPE)
    return Verdict("proved", _gain(bound, HELD), scope=GAIN_SCOPE)


def _conditions(proved: bool, rests_on: str, check: DataCheck | None) -> list[str]:
    """Return what a bound rests on that is not shown, clauses."""
    conditions = [] if proved else [rests_on]
    if check is None:
        conditions.append("the scan is what it is taken for, which was not checked")
    elif check.doubts and (proved or check.rests_on not in rests_on):
        conditions.append(check.rests_on)
    return conditions


def _gain(factor: float, held: str) -> str:
    return (
        "An error of the measurements moves the exact solution by at most "
        f"{bound_text(factor)} times its size, with {held}."
    )
