"""The order of the axes: coils that are not first, and axes too short or too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from molrecon.data.check.centre import off_centre
from molrecon.data.check.findings import Finding
from molrecon.errors import shape_text

if TYPE_CHECKING:
    from molrecon.data.check.evidence import Evidence

SHORTEST, MOST_COILS = 16, 128
"""Axes of a slice that are shorter, and more coils, are doubted unless the axes are named."""
ALIKE, RELATED, MARGIN = 0.85, 0.7, 0.07
"""Correlation of neighbours that coils with strong noise do not have, the least of neighbouring
slices, and by how much coils are more alike than slices where these may have changed places."""
CLOSE, THIN = 0.7, 0.95
"""What neighbours lack of a correlation of 1, times their number: of coils around an object it is
more, unless they are few, of thin slices less; and the least correlation of thin slices, which maps
may explain as one object, as they explain coils."""
ONE_OBJECT, SEVERAL, CLEARLY = 0.7, 0.8, 0.88
"""Second eigenvalue of the maps up to which coils see one object, and from which on they show
several where they are alike, and where they are only related (`Evidence.second_object`)."""


def check_layout(evidence: Evidence) -> Iterator[Finding]:
    """Find axes that are not what their place in the array says."""
    scan = evidence.scan
    shape = scan.kspace.shape
    spatial = evidence.fourier_axes
    others = [axis for axis in range(len(shape)) if axis not in spatial]
    flat = [axis for axis in spatial if evidence.is_flat(axis)]
    peaked = [axis for axis in others if evidence.is_peaked(axis)]
    if not flat:
        peaked = [axis for axis in peaked if evidence.rises_in_the_middle(axis)]
    if peaked:
        names = _proposed(evidence)
        what = "axes" if len(peaked) > 1 else "axis"
        both = "slice" in names and "coil" in names
        exchanged = " (or with slice and coil exchanged)" if both else ""
        lengths = " and ".join(str(shape[axis]) for axis in flat)
        yield Finding(
            "axes",
            "refused",
            f"read as {_read(evidence)}, k-space has its energy in the middle of the {what} "
            f"{' and '.join(str(shape[axis]) for axis in peaked)} long"
            f"{f' and evenly along that of {lengths}' if flat else ''}",
            "the axes are stored in another order",
            f"append '::axes={names}' to the path{exchanged}, or move them to (batch, coil, "
            f"{scan.axes.names})",
        )
        return
    if not scan.axes_inferred:
        return
    # Where the centre of k-space is elsewhere, noise is compared, and `check_centre` says so.
    if not off_centre(evidence):
        yield from _slices(evidence)
    short = scan.ndim == 2 and min(shape[-2:]) < SHORTEST
    if short or shape[1] > MOST_COILS:
        what = f"{min(shape[-2:])} samples along one axis" if short else f"{shape[1]} coils"
        letters = ",".join(scan.axes.letters)
        yield Finding(
            "axes",
            "refused",
            f"read as {_read(evidence)}, the scan has {what}",
            "the axes may be stored in another order",
            f"append '::axes=coil,{letters}' to the path, with the axes in the order in which "
            "they are stored",
        )


def _slices(evidence: Evidence) -> Iterator[Finding]:
    """Refuse coils that show several objects, as slices do, and doubt those that may."""
    batch, coils = evidence.scan.kspace.shape[:2]
    # Maps of that many coils say what they are.
    if coils < 3 or evidence.scan.coil_maps is not None:
        return
    alike = evidence.likeness(1)
    if alike <= (RELATED if batch == 1 else evidence.likeness(0) + MARGIN):
        return
    second = evidence.second_object()
    several = second is not None and second > SEVERAL and (alike > ALIKE or batch > 1)
    if batch == 1:
        one_object = second is not None and second <= ONE_OBJECT and alike < THIN
        doubtful = ((1 - alike) * coils < CLOSE and not one_object) or (second or 0) > CLEARLY
    else:
        # Where the two did change places the items are coils of one object.
        other = evidence.second_object(0)
        doubtful = second is None or second > ONE_OBJECT or other is None or other < SEVERAL
    if not several and not doubtful:
        return
    spatial = ",".join(evidence.scan.axes.letters)
    objects = ", and no maps of coils explain them by one object" if several else ""
    if batch == 1:
        yield Finding(
            "coils or slices",
            "refused" if several else "warning",
            f"neighbours among the {coils} coils have a correlation of {alike:.2f}{objects}",
            f"they {'look like' if several else 'may be'} slices of one coil",
            f"append '::slices' to the path if they are, or '::axes=coil,{spatial}' if not",
        )
        return
    yield Finding(
        "coils or slices",
        "refused" if several else "warning",
        f"of {batch} {evidence.scan.axes.items} and {coils} coils the coils are more alike"
        f"{objects}",
        f"coils {'seem to' if several else 'may'} have been stored before slices",
        f"append '::axes=coil,slice,{spatial}' to the path if they were ('::frames' if these "
        f"are the frames of a series), or '::axes=slice,coil,{spatial}' if not",
    )


def _read(evidence: Evidence) -> str:
    scan = evidence.scan
    batch, coils, *spatial = scan.kspace.shape
    items = f"{batch} {scan.axes.items} of " if batch > 1 else ""
    return f"{items}{coils} coils of {shape_text(spatial)}"


def _proposed(evidence: Evidence) -> str:
    """Return names of the axes by what they look like, in the order in which they are stored."""
    shape = evidence.scan.kspace.shape
    stored = [axis for axis, n in enumerate(shape) if n > 1 or axis == 1]
    order = sorted(stored, key=evidence.concentration)
    count = sum(evidence.is_peaked(axis) for axis in stored)
    chosen = sorted(order[: max(2, min(3, count))])
    names = dict(zip(chosen, ("z", "y", "x")[-len(chosen) :], strict=True))
    rest = [axis for axis in stored if axis not in names]
    words = ("slice", "coil")[-len(rest) :] if rest else ()
    names |= dict(zip(rest[-2:], words, strict=True))
    return ",".join(names.get(axis, "slice") for axis in stored)
