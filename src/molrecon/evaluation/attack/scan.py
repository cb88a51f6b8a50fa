"""An attack on the methods that reconstruct the scan of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from molrecon.data.formats import read_image, read_scan
from molrecon.data.formats.reading import PathLike
from molrecon.data.oversampling import without_oversampling
from molrecon.data.scan import Scan
from molrecon.errors import InputError
from molrecon.evaluation.attack.attacked import Attacked, AttackEffort, attack, label_of
from molrecon.operators.base import LinearOperator
from molrecon.pipeline.match import match_whole, require_mri
from molrecon.pipeline.measurements import ensure_coil_maps, operator_of, require_coil_maps
from molrecon.reconstructors.base import Reconstructor


def read_slice(
    path: PathLike, methods: Sequence[Reconstructor], *, number: int | None = None
) -> Scan:
    """Return one slice, volume or series of a scan, the middle one by default.

    It is brought to the axes of all methods; one that has others is refused.
    """
    scan = without_oversampling(read_scan(path))
    count = scan.kspace.shape[0]
    chosen = count // 2 if number is None else number
    if not 0 <= chosen < count:
        raise InputError(
            f"number is {number}, but the scan {scan.source} has the slices 0 to {count - 1}; "
            "choose one of them."
        )
    scan = scan.item(chosen)
    for method in methods:
        require_mri(method)
        scan = match_whole(scan, method.axes, label_of(method))
    require_coil_maps(scan)
    return scan


def read_reference(path: PathLike, scan: Scan, *, number: int | None = None) -> Tensor:
    """Return the image to compare with, ``(1, 1, *spatial)``; of a stack, one slice.

    That is the one of ``number``, or the middle one.
    """
    image = torch.from_numpy(read_image(path).array)
    spatial = tuple(scan.kspace.shape[2:])
    found = tuple(image.shape)
    if image.ndim == scan.ndim + 1:
        chosen = image.shape[0] // 2 if number is None else number
        image = image[chosen] if chosen < image.shape[0] else image
    if tuple(image.shape) != spatial:
        raise InputError(
            f"The reference {path} has the shape {found}, but the scan {scan.source} gives images "
            f"of {spatial}; give the reference of this scan."
        )
    return image.reshape(1, 1, *spatial)


def attack_scan(
    methods: Sequence[Reconstructor],
    scan: Scan,
    epsilons: Sequence[float],
    *,
    sigma: float | None = None,
    reference: Tensor | None = None,
    effort: AttackEffort | None = None,
    device: str = "cpu",
    report: Callable[[str, int], None] = lambda text, done: None,
) -> tuple[list[Attacked], LinearOperator]:
    """Attack every method on the same measurements and coil maps.

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
        If coil maps cannot be estimated, or a size is out of range.
    ConvergenceError
        If a reconstruction fails.
    """
    report("coil maps", 0)
    scan = ensure_coil_maps(scan)
    y, A = scan.kspace.to(device), operator_of(scan).to(device)
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
    return attacked, A
