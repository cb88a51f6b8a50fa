"""An attack on the methods that reconstruct the scan of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from molrecon.evaluation.attack.attacked import Attacked, AttackEffort, attack
from molrecon.evaluation.scan_slice import OneScan, check_of, problem_of
from molrecon.operators.base import LinearOperator
from molrecon.progress import Advance, silent
from molrecon.reconstructors.base import Reconstructor
from molrecon.reconstructors.start import require_plausible


def attack_scan(
    methods: Sequence[Reconstructor],
    scan: OneScan,
    epsilons: Sequence[float],
    *,
    sigma: float | None = None,
    reference: Tensor | None = None,
    effort: AttackEffort | None = None,
    device: str = "cpu",
    report: Advance = silent,
) -> tuple[list[Attacked], LinearOperator]:
    """Attack every method on the same measurements and coil maps.

    Where the data check leaves doubts, no bound on the gain is called certified.

    Parameters
    ----------
    methods
        The methods, on ``device``.
    scan
        One slice, volume or series; coil maps are estimated where it has none.
    epsilons
        Sizes ``‖Δy‖ / ‖y‖`` of the perturbations, in (0, 1].
    sigma
        Noise level in the units of the scan, in place of the scan's own; estimated if neither is
        known.
    reference
        The right image ``(1, 1, *spatial)``, in the units of the scan; None for none.
    effort
        How hard to try.
    device
        Where to compute.
    report
        Told what is being done and the number of steps done since the last call.

    Returns
    -------
    tuple
        The methods under attack, and the operator.

    Raises
    ------
    InputError
        If coil maps cannot be estimated, a size is out of range, or the noise level is larger than
        measurements can have.
    ConvergenceError
        If a reconstruction fails.
    """
    report("coil maps", 0)
    y, A = problem_of(scan, device)
    require_plausible(sigma, y)
    attacked = [
        attack(
            method,
            y,
            A,
            epsilons,
            sigma=scan.sigma if sigma is None else sigma,
            reference=None if reference is None else reference.to(device),
            effort=effort,
            report=report,
        )
        for method in methods
    ]
    checked = check_of(scan)
    if checked.doubts:
        doubted: dict[str, Any] = {"certified": False, "doubt": checked.rests_on}
        attacked = [replace(one, **doubted) for one in attacked]
    return attacked, A
