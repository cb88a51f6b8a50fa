"""How bounds are written: rounded up, so that what is written is a bound, too."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context, Decimal

SLACK = 1e-12
"""What is written as 0.1 is a little more than that in binary, and no reason for 0.11."""


def bound_text(bound: float, digits: int = 3) -> str:
    """Return a bound rounded up to its significant digits.

    Parameters
    ----------
    bound
        The bound.
    digits
        How many digits.
    """
    if not math.isfinite(bound):
        return f"{bound:g}"
    rounded = Context(prec=digits, rounding=ROUND_CEILING).create_decimal(
        Decimal(bound * (1 - SLACK))
    )
    return f"{float(rounded):.{digits}g}"


def share_text(bound: float) -> str:
    """Return a bound in per cent, rounded up to two digits, and to no more places than it needs.

    Rounded to the nearest one, a bound of 1e-6 would read as 0.00%, which is none.

    Parameters
    ----------
    bound
        The bound, 1 for the whole.
    """
    percent = 100 * bound
    if not 0 < percent < math.inf:
        return f"{percent:.2f}%"
    places = max(2, 1 - math.floor(math.log10(percent)))
    up = math.ceil(percent * 10**places * (1 - SLACK)) / 10**places
    return f"{up:.{places}f}%"
