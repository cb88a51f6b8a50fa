"""What a check of the data found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from molrecon.errors import InputError

Severity = Literal["refused", "warning", "note"]
"""A certain contradiction, a doubt, or something worth knowing."""
_ORDER: tuple[Severity, ...] = ("refused", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that a check of the data found.

    Parameters
    ----------
    name
        What was checked, a key of `molrecon.data.check.CHECKS`.
    severity
        ``"refused"`` if the data cannot be what they are taken for, ``"warning"`` if that is
        doubtful, ``"note"`` if it is right and worth knowing.
    seen
        What was seen in the data, a clause.
    meaning
        What it means, a clause.
    settle
        What settles it, a clause with the name of the argument in brackets.
    mended
        Whether the scan is mended, so that the image is as good as the data allow; otherwise a
        warning leaves it open whether the scan is what it is taken for, and nothing is called
        proved.

    Examples
    --------
    >>> from molrecon import Finding
    >>> found = Finding("spikes", "warning", "2 samples stand out", "stripes", "remove them")
    >>> str(found)
    '2 samples stand out: stripes; remove them'
    """

    name: str
    severity: Severity
    seen: str
    meaning: str
    settle: str
    mended: bool = False

    def __str__(self) -> str:
        return f"{self.seen}: {self.meaning}; {self.settle}"


@dataclass(frozen=True)
class DataCheck:
    """What a check of a scan found, the gravest first.

    Parameters
    ----------
    findings
        What was found.

    Examples
    --------
    >>> from molrecon import DataCheck, Finding
    >>> DataCheck(()).summary
    'no contradiction found'
    >>> found = DataCheck((Finding("mask", "refused", "zeros", "a wrong mask", "correct it"),))
    >>> found.contradictions[0].name, found.summary
    ('mask', 'contradicted: zeros (a wrong mask)')
    """

    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> DataCheck:
        """Return what was found, the gravest first and of every kind only the gravest.

        Parameters
        ----------
        findings
            Findings in any order, of one item or of several.
        """
        ordered = sorted(findings, key=lambda one: _ORDER.index(one.severity))
        first: dict[str, Finding] = {}
        for one in ordered:
            first.setdefault(one.name, one)
        return cls(tuple(first.values()))

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        """The findings that are refused."""
        return tuple(one for one in self.findings if one.severity == "refused")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The doubtful ones."""
        return tuple(one for one in self.findings if one.severity == "warning")

    @property
    def doubts(self) -> tuple[Finding, ...]:
        """What keeps a bound from being proved: contradictions, and warnings not mended."""
        doubtful = tuple(one for one in self.warnings if not one.mended)
        return (*self.contradictions, *doubtful)

    @property
    def summary(self) -> str:
        """One line about all of it."""
        if self.contradictions:
            said = "; ".join(f"{one.seen} ({one.meaning})" for one in self.contradictions)
            return f"contradicted: {said}"
        if self.warnings:
            return f"doubtful: {'; '.join(one.seen for one in self.warnings)}"
        notes = ", ".join(one.name for one in self.findings)
        return f"no contradiction found{f' (noted: {notes})' if notes else ''}"

    @property
    def rests_on(self) -> str:
        """What a bound on the distance rests on if there are doubts, a clause."""
        names = ", ".join(one.name for one in self.doubts)
        verb = "contradict" if self.contradictions else "make doubtful"
        return f"the scan is what it is taken for, which the data {verb} ({names})"

    def require_none(self, source: str, *, settles: bool = True) -> None:
        """Refuse a scan with contradictions.

        Parameters
        ----------
        source
            Name of the scan.
        settles
            Whether who reads the scan can settle what was found, or go on in spite of it.

        Raises
        ------
        InputError
            If there is one.
        """
        if self.contradictions:
            first, *others = self.contradictions
            more = f" (and {', '.join(one.name for one in others)})" if others else ""
            what = f"{first}, or go on in spite of it (force), and nothing is called proved"
            if not settles:
                what = f"{first.seen}: {first.meaning}; give a scan without this fault"
            raise InputError(f"The data check refuses {source}{more}: {what}.")

    def facts(self) -> list[dict[str, Any]]:
        """Return the findings as plain values."""
        return [dict(vars(one)) for one in self.findings]
