"""Reconstruction of all slices of a scan, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from molrecon.errors import ConvergenceError, InputError

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.scan import Scan
    from molrecon.equilibrium.solution import Solution
    from molrecon.operators.cartesian_mri import CartesianMRI
    from molrecon.reconstructors.methods import Method

Report = Callable[[str, int], None]


def solve_slices(
    scan: Scan, method: Method, *, tol: float, device: str, report: Report
) -> list[Solution]:
    """Reconstruct every slice; coil maps are estimated where the scan has none.

    Parameters
    ----------
    scan
        The scan.
    method
        The method, built for ``device``.
    tol
        Tolerance on the relative distance to the method's solution.
    device
        Where to compute.
    report
        Called with what is being done and the number of slices done.

    Raises
    ------
    InputError
        If the method is not made for this number of spatial axes, or coil maps are missing and
        there is no calibration region.
    ConvergenceError
        If a slice did not converge.
    """
    from dataclasses import replace

    check_axes(scan, method.ndim, method.model)
    solutions = []
    count = scan.kspace.shape[0]
    for number, (y, A) in enumerate(operators_of(scan, device, report)):
        label = _label(number, count)
        report(f"{label}{method.name}", number)
        solution = method.solve(y, A, scan.sigma, tol)
        _require_converged(solution, f"{scan.source}, slice {number}", tol)
        solutions.append(replace(solution, value=solution.value.cpu()))
        report(f"{label}{method.name}", number + 1)
    return solutions


def check_axes(scan: Scan, ndim: int | None, model: str | None) -> None:
    """Refuse a scan of another number of spatial axes than the model's; None is any.

    Raises
    ------
    InputError
        If they differ.
    """
    if ndim not in (None, scan.ndim):
        raise InputError(
            f"The scan {scan.source} has {scan.ndim} spatial axes, but the model {model} "
            f"reconstructs {ndim}; give a scan or a model of the same number of axes."
        )


def operators_of(scan: Scan, device: str, report: Report) -> Iterator[tuple[Tensor, CartesianMRI]]:
    """Return measurements and operator of every slice; missing coil maps are estimated.

    Parameters and exceptions are those of `solve_slices`.
    """
    from molrecon.data.calibration import calibration_region
    from molrecon.data.coil_maps import estimate_coil_maps
    from molrecon.operators.cartesian_mri import CartesianMRI

    if scan.coil_maps is None and scan.kspace.shape[1] > 1:
        # Refused here, before the first slice, if it is missing.
        calibration_region(scan.sampling_mask())
    count = scan.kspace.shape[0]
    for number in range(count):
        item = scan.item(number)
        sampled, maps = item.sampling_mask(), item.coil_maps
        if maps is None:
            report(f"{_label(number, count)}coil maps", number)
            maps = estimate_coil_maps(item.kspace, sampled)
        yield item.kspace.to(device), CartesianMRI(maps, sampled).to(device)


def _label(number: int, count: int) -> str:
    return f"slice {number + 1} of {count}: " if count > 1 else ""


def facts_of(solution: Solution) -> dict[str, Any]:
    """Return what is known about the reconstruction of one slice, as plain values."""
    return {
        "status": solution.status[0].value,
        "iterations": int(solution.iterations[0]),
        "network_evaluations": solution.network_evaluations,
        "normal_evaluations": solution.normal_evaluations,
        "relative_residual": float(solution.relative_residual[0]),
        "error_bound": float(solution.error_bound[0]),
        "certified": solution.certified,
        "robustness": None if solution.robustness is None else float(solution.robustness[0]),
        "lam": None if solution.lam is None else float(solution.lam[0]),
        "sigma": None if solution.sigma is None else float(solution.sigma[0]),
        "seconds": solution.seconds,
    }


def worst_of(facts: Sequence[dict[str, Any]]) -> int:
    """Return the number of the slice with the largest error bound."""
    bounds = [item["error_bound"] for item in facts]
    return max(range(len(bounds)), key=lambda i: -1.0 if math.isnan(bounds[i]) else bounds[i])


def _require_converged(solution: Solution, where: str, tol: float) -> None:
    from molrecon.linear.status import Status

    status = solution.status[0]
    if status is not Status.CONVERGED:
        raise ConvergenceError(
            f"{where}: the solve ended with status {status.value!r} after "
            f"{int(solution.iterations[0])} iterations, with an error bound of "
            f"{float(solution.error_bound[0]):.1e} where {tol:.1e} was wanted. Nothing was "
            f"written. {status.sentence}"
        )
    bound = float(solution.error_bound[0])
    if bound > tol:
        # Rounding ends a linear solve as converged although this tolerance is below its reach.
        raise ConvergenceError(
            f"{where}: the error bound is {bound:.1e} where {tol:.1e} was wanted, and rounding "
            "leaves no better one. Nothing was written. Give a looser tolerance."
        )
