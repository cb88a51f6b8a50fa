"""Reconstruction of everything a scan holds, one slice, volume or series after the other."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molrecon.errors import ConvergenceError, InputError

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.scan import Scan
    from molrecon.equilibrium.solution import Solution
    from molrecon.operators.base import LinearOperator
    from molrecon.reconstructors.memory import MemoryPlan
    from molrecon.reconstructors.methods import Method

Report = Callable[[str, int], None]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image, and what is known of the solves it is made of.

    Attributes
    ----------
    image
        ``(batch, 1, *spatial)`` of the scan, on the CPU.
    solutions
        One for every slice, volume or series that was solved for.
    places
        Where each belongs, in words.
    """

    image: Tensor
    solutions: list[Solution]
    places: list[str]


def count_of(scan: Scan, *, apart: bool) -> int:
    """Return the number of solves a scan takes, at most."""
    count: int = scan.kspace.shape[0]
    if apart:
        axis = 0 if scan.axes.time else scan.readout_axis
        assert axis is not None
        count *= scan.kspace.shape[2 + axis]
    return count


def fit_memory(scan: Scan, method: Method, *, limit: int | None, apart: bool = False) -> MemoryPlan:
    """Estimate the memory of a reconstruction, and have the network work in tiles if need be.

    Parameters
    ----------
    scan, method, apart
        As in `solve_scan`.
    limit
        Bytes that may be used; None for any number.

    Raises
    ------
    InputError
        If it does not fit.
    """
    from molrecon.reconstructors.memory import apply_plan, plan_memory

    coils, *spatial = scan.kspace.shape[1:]
    held = scan.kspace[1:].nbytes
    shared = scan.axes.time and (scan.coil_maps is None or scan.coil_maps.shape[2] == 1)
    maps_shape = [1, *spatial[1:]] if shared else spatial
    if apart:
        axis = 0 if scan.axes.time else scan.readout_axis
        assert axis is not None
        # The volume and its slices, their coil maps, and what taking apart needs in passing.
        held += 5 * scan.kspace[:1].nbytes
        del spatial[axis]
        maps_shape = spatial
    plan = plan_memory(
        spatial, coils, method.learned, limit=limit, maps_shape=maps_shape, held=held
    )
    apply_plan(plan, method.learned)
    return plan


def solve_scan(
    scan: Scan,
    method: Method,
    *,
    tol: float,
    device: str,
    report: Report,
    apart: bool = False,
) -> Reconstruction:
    """Reconstruct all a scan holds; coil maps are estimated where it has none.

    Parameters
    ----------
    scan
        The scan.
    method
        The method, built for ``device``, of the axes of the scan or ``apart``.
    tol
        Tolerance on the relative distance to the method's solution.
    device
        Where to compute.
    report
        Called with what is being done and the number of solves done.
    apart
        Whether volumes and series are taken apart, see `match_axes`.

    Raises
    ------
    InputError
        If coil maps are missing and there is no calibration region.
    ConvergenceError
        If a solve did not converge.
    """
    from dataclasses import replace

    import torch

    from molrecon.data.measurement import operator_of

    images: list[Tensor] = []
    solutions: list[Solution] = []
    places: list[str] = []
    total = count_of(scan, apart=apart)
    for number, item in enumerate(_with_maps(scan, report)):
        parts = _parts(item, apart=apart)
        values = []
        for name, part in parts.scans():
            done = len(solutions)
            label = f"{done + 1} of {total}: " if total > 1 else ""
            report(f"{label}{method.name}", done)
            A = operator_of(part).to(device)
            solution = method.solve(part.kspace.to(device), A, part.sigma, tol)
            own = f"{scan.axes.item} {number}"
            place = own if name is None else name if len(scan.kspace) == 1 else f"{own}, {name}"
            _require_converged(solution, f"{scan.source}, {place}", tol)
            values.append(solution.value.cpu())
            solutions.append(replace(solution, value=values[-1]))
            places.append(place)
            report(f"{label}{method.name}", done + 1)
        images.append(parts.join(torch.cat(values)))
    return Reconstruction(torch.cat(images), solutions, places)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is solved for by itself of one item, and how it comes together again."""

    scan: Scan
    names: list[str | None]
    join: Callable[[Tensor], Tensor]

    def scans(self) -> Iterator[tuple[str | None, Scan]]:
        for number, name in enumerate(self.names):
            yield name, self.scan.item(number)


def _parts(item: Scan, *, apart: bool) -> _Parts:
    from dataclasses import replace

    from molrecon.data.measurement import estimated_noise
    from molrecon.data.stack import stack_of

    if not apart:
        return _Parts(item, [None], lambda images: images)
    if item.sigma is None:
        # Of all slices at once: it is the same in each, and a volume shows more of it. Where it
        # does not, methods that need no noise level go on, and others refuse.
        with contextlib.suppress(InputError):
            item = replace(item, sigma=float(estimated_noise(item)))
    stack = stack_of(item)
    return _Parts(stack.scan, [f"{item.axes.plane} {place}" for place in stack.places], stack.join)


def _with_maps(scan: Scan, report: Report) -> Iterator[Scan]:
    """Return every item of a scan, with coil maps; missing ones are estimated."""
    from molrecon.data.measurement import require_coil_maps, with_coil_maps

    # Refused here, before the first solve, if there is nothing to estimate them from.
    require_coil_maps(scan)
    count = len(scan.kspace)
    for number in range(count):
        if scan.coil_maps is None:
            report(f"{scan.axes.item} {number + 1} of {count}: coil maps", number)
        yield with_coil_maps(scan.item(number))


def operators_of(
    scan: Scan, device: str, report: Report
) -> Iterator[tuple[Tensor, LinearOperator]]:
    """Return measurements and operator of every item; missing coil maps are estimated.

    Parameters and exceptions are those of `solve_scan`.
    """
    from molrecon.data.measurement import operator_of

    for item in _with_maps(scan, report):
        yield item.kspace.to(device), operator_of(item).to(device)


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
