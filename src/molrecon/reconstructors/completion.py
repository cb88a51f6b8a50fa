"""From what a method computed to what it gives out: the unit of the measurements, a full scan."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from molrecon.equilibrium import rounding
from molrecon.equilibrium.operator_model import operator_norm, operator_rounding
from molrecon.equilibrium.robustness import completed_constant
from molrecon.equilibrium.solution import Solution
from molrecon.operators.base import LinearOperator, norm, per_sample


def in_unit_of(
    solution: Solution,
    y: Tensor,
    A: LinearOperator,
    scale: Tensor,
    *,
    completed: bool,
    data_gain: Tensor | float = 1.0,
) -> Solution:
    """Return a solution in the unit of its measurements, its bounds those of what is returned.

    Parameters
    ----------
    solution
        What was computed from ``y / scale``.
    y
        Measurements ``(batch, *A.shape_out)``.
    A
        The forward operator.
    scale
        The unit, ``(batch,)``.
    completed
        Whether the image is to be what a full scan would have shown, see
        `LinearOperator.completed`. It is computed in double precision, so that rounding adds to
        the bound no more than the image's own.
    data_gain
        Factor on the measurements in the equation that was solved.
    """
    exact = x = solution.value
    guarantee = solution.guarantee
    value = x * per_sample(scale, x)
    if completed:
        wide = x.to(torch.complex128 if x.is_complex() else torch.float64)
        wide = wide * per_sample(scale, wide)
        operator = A.for_double
        full = operator.completed(wide, y if operator is A else y.to(wide.dtype))
        # An operator that knows of no complete measurement gives back what it is given.
        if full is not wide:
            exact, value = full, full.to(x.dtype)
            if guarantee is not None:
                constant = completed_constant(guarantee.robustness, A, gain=data_gain)
                bound = _full_scan_bound(guarantee.error_bound, norm(wide.detach()), y, A, value)
                guarantee = replace(guarantee, error_bound=bound, robustness=constant)
    if guarantee is not None:
        bound = guarantee.error_bound
        bound = (bound + rounding.lost(exact, value).to(bound)).nan_to_num(torch.inf, torch.inf)
        guarantee = replace(guarantee, error_bound=bound)
    return replace(solution, value=value, guarantee=guarantee)


@torch.no_grad()
def _full_scan_bound(
    bound: Tensor, before: Tensor, y: Tensor, A: LinearOperator, value: Tensor
) -> Tensor:
    """Bound of a completed image ``value`` from that of the image of norm ``before``."""
    size = norm(value.to(torch.complex128 if value.is_complex() else torch.float64))
    size = size.clamp_min(torch.finfo(size.dtype).tiny)
    gain, length = A.completion_gain.to(size), operator_norm(A).to(size)
    terms = length * (norm(y).to(size) + 2 * length * before)
    own = operator_rounding(A) * rounding.unit_roundoff(size.dtype) * terms / size
    found = bound * gain * before / size + own + rounding.unit_roundoff(value.dtype)
    return found.nan_to_num(torch.inf, torch.inf).to(bound.dtype)
