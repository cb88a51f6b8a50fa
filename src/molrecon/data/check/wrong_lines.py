"""Which few lines, if any, are the reason that the lines of a scan disagree.

Where lines lie far apart, as the arms of a spiral do, a single wrong one leads the predictions of
its neighbours astray, and all seem to disagree. So the worst lines are left out one after the
other, until the rest agree as those of a right scan do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from molrecon.data.check.line_agreement import Agreement, CloseLines

FEW, MOST_WRONG = 4, 8
"""One line in so many may be left out, and so many in all."""
MOST_COMPARED = 128
"""Lines up to which it is tried: of more, so few wrong ones do not add up to a doubtful share."""
FEWEST_TRIED, TRIED = 4, 256
"""How many of the worst lines are tried at least, and this by the number of all, of the arms of a
spiral every one: that is left out which makes the rest agree best, as next to a wrong line others
seem as wrong."""
SPARSE, LOOKS, SLOW = 32, 2, 0.9
"""Of more lines than the first, each wrong one by itself adds its part to what is unexplained; so
if the second number of them is left out and the third of it remains, the search ends early."""


@dataclass(frozen=True, eq=False)
class WithoutSome:
    """How well lines agree without some others.

    Parameters
    ----------
    rest
        The agreement of the lines that are left.
    wrong
        The lines that were left out and that the rest contradict.
    """

    rest: Agreement
    wrong: list[int]


def without_few(close: CloseLines, agreed: float, apart: float, least: float) -> WithoutSome | None:
    """Return the few lines without which the rest agree; None if there are no such lines.

    Parameters
    ----------
    close
        The lines near the centre of k-space.
    agreed
        Share that is left unexplained, at most, where lines agree.
    apart
        Share of the difference of a single line, at least, that the rest leave unexplained where
        that line is wrong.
    least
        How many times more than by chance lines have to differ.
    """
    count = len(close.places)
    left_out = torch.zeros(count, dtype=torch.bool)
    found = close.agreement(left_out)
    first = 0.0 if found is None else found.unexplained
    while found is not None and (share := found.of_lines(~left_out).unexplained) > agreed:
        kept = count - int(left_out.sum())
        if count - kept >= min(count // FEW, MOST_WRONG) or count > MOST_COMPARED:
            return None
        if count - kept == LOOKS and count > SPARSE and share > SLOW * first:
            return None
        worst = (found.own - found.chance) / (found.other - found.chance).clamp_min(1e-300)
        worst = worst.masked_fill(left_out, -torch.inf)
        tries = []
        for line in worst.topk(min(max(FEWEST_TRIED, TRIED // count), kept)).indices.tolist():
            with_it = left_out.clone()
            with_it[line] = True
            one = close.agreement(with_it)
            if one is not None:
                tries.append((one.of_lines(~with_it).unexplained, one, with_it))
        if not tries:
            return None
        _, found, left_out = min(tries, key=lambda one: one[0])
    if found is None or not found.of_lines(~left_out).told(least):
        return None
    # Neighbours that were left out on the way to a wrong line are taken in again.
    wrong = left_out & found.contradicted(apart)
    if not bool(wrong.equal(left_out)):
        found = close.agreement(wrong)
        if found is None or found.of_lines(~wrong).unexplained > agreed:
            return None
    return WithoutSome(found.of_lines(~wrong), found.numbers[wrong].tolist())
