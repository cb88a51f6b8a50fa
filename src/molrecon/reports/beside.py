"""Other methods on the same scan, to be shown beside a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from molrecon.errors import ConvergenceError
from molrecon.pipeline import Reconstruction, reconstruct
from molrecon.pipeline.parts import AnyScan
from molrecon.pipeline.tuning import CannotTuneError, Strength
from molrecon.reconstructors.base import Reconstructor
from molrecon.reports.content import Panel
from molrecon.reports.verdict import Verdict


def reconstruct_beside(
    scan: AnyScan, methods: Sequence[Reconstructor], *, tuned: bool = False, **settings: Any
) -> list[Reconstruction | Panel]:
    """Reconstruct a scan by other methods; one that does not converge is shown as failed.

    Parameters
    ----------
    scan
        The scan, its items or its path.
    methods
        The methods, built.
    tuned
        Whether the strength of each is chosen where it has one (``strength="auto"``).
    settings
        Arguments of `reconstruct`, the same for all.
    """
    found: list[Reconstruction | Panel] = []
    for method in methods:
        try:
            strength: Strength = "auto" if tuned and method.tunable else None
            found.append(reconstruct(scan, method, strength=strength, **settings))
        except (ConvergenceError, CannotTuneError) as error:
            nothing = Verdict("none", "There is no image.")
            found.append(Panel(method.label, None, nothing, failure=str(error)))
    return found
