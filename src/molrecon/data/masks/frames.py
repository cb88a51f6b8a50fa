"""Lines of a series of frames: another set of phase encodings in every frame.

Every function draws a pattern ``(t, line)`` with the same number of lines in each frame, the
calibration lines among them: aliasing that differs from frame to frame is what a reconstruction
with a time axis can tell from the object.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from molrecon.data.masks.geometry import BoolArray, polynomial_density
from molrecon.data.masks.lines import spaced
from molrecon.data.masks.variable_density import variable_density

GOLDEN = (5**0.5 - 1) / 2
"""Step of the golden-ratio sequence: any number of successive points covers [0, 1) evenly."""


def frames_variable_density(
    centre: BoolArray, count: int, generator: np.random.Generator
) -> BoolArray:
    """Draw the lines of each frame on their own, as `variable_density` does, ``count`` in all.

    ``centre`` is true on the calibration lines, ``(t, line)``; the count is a multiple of the
    number of frames. (Lustig et al., "k-t SPARSE", Proc. ISMRM 14, 2006, 2420.)
    """
    return _each(
        centre, count, lambda frame, lines, wanted: variable_density(lines, wanted, generator)
    )


def frames_golden_step(centre: BoolArray, count: int, generator: np.random.Generator) -> BoolArray:
    """Take lines in the order of the golden ratio, on from frame to frame, denser at the centre.

    The sequence ``u, u + g, u + 2g, … (mod 1)`` is mapped to lines by the cumulative density ``(1 -
    r)²`` outside the calibration lines; a line that the frame has already is replaced by the
    nearest one it has not. So lines of any few successive frames are spread evenly, as spokes of a
    golden angle are (Winkelmann et al., IEEE Trans. Med. Imaging 26, 2007, 68). Arguments are those
    of `frames_variable_density`; ``u`` is random.
    """
    start = generator.random()

    def draw(frame: int, lines: BoolArray, wanted: int) -> BoolArray:
        mask = lines.copy()
        density = polynomial_density(lines.shape) * ~lines
        cumulative = np.cumsum(density) / max(density.sum(), np.finfo(float).tiny)
        new = wanted - int(lines.sum())
        for k in range(new):
            u = (start + GOLDEN * (frame * new + k)) % 1
            target = int(np.searchsorted(cumulative, u, side="right"))
            free = np.flatnonzero(~mask)
            mask[free[np.argmin(np.abs(free - target))]] = True
        return mask

    return _each(centre, count, draw)


def frames_lattice(centre: BoolArray, count: int, generator: np.random.Generator) -> BoolArray:
    """Take equispaced lines that slide by one line from frame to frame, outside the calibration.

    The pattern is a lattice in k-t space, so a still object aliases to as few places as can be
    (Tsao, Boesiger, Pruessmann, "k-t BLAST and k-t SENSE", Magn. Reson. Med. 50, 2003, 1031).
    Arguments are those of `frames_variable_density`; the offset of the first frame is random.
    """
    start = generator.random()

    def draw(frame: int, lines: BoolArray, wanted: int) -> BoolArray:
        outside = int((~lines).sum())
        step = (wanted - int(lines.sum())) / max(outside, 1)
        return spaced(lines, wanted, (start + frame * step) % 1)

    return _each(centre, count, draw)


def _each(
    centre: BoolArray, count: int, draw: Callable[[int, BoolArray, int], BoolArray]
) -> BoolArray:
    per_frame = count // len(centre)
    return np.stack([draw(frame, lines, per_frame) for frame, lines in enumerate(centre)])
