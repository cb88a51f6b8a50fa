"""Samples anywhere in k-space and their trajectory, in one file or two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molrecon.data.arrays import Array, complex_tensor, require_complex_numbers
from molrecon.data.atomic import check_writable
from molrecon.data.formats import bart, hdf5, ismrmrd, npz
from molrecon.data.formats.entries import Entries
from molrecon.data.formats.hdf5_file import open_hdf5
from molrecon.data.formats.location import Location
from molrecon.data.formats.parts import (
    NAMES,
    TRAJECTORY,
    read_image_shape,
    read_sigma,
    trajectory_name,
)
from molrecon.data.formats.reading import PathLike, describe, format_of, read_array, read_with
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.positions import settle_positions
from molrecon.errors import InputError, shape_text

WEIGHTS = ("weights", "density", "dcf", "density_compensation")
"""What files call weights of samples that compensate their density."""
UNWEIGHTED = (
    "every sample counts alike, as its noise has it, and the methods solve for the image without a "
    "compensation of the density; only zero-filled compensates it, by the area of each sample"
)
KSPACE = ("kspace", "ksp", "data", "y", "samples")
"""What files call samples, molrecon's own name first."""


def holds_samples(path: PathLike) -> bool:
    """Say whether a file holds samples with their trajectory, and no k-space on a grid.

    Parameters
    ----------
    path
        ``FILE``, as for `read_scan`.
    """
    location, kind = Location.parse(path), format_of(path)
    if kind.read_scan is None or kind is bart.FORMAT:
        return False
    if trajectory_name(describe(path)) is not None:
        return True
    if kind is not hdf5.FORMAT:
        return False
    with open_hdf5(location) as file:
        return ismrmrd.recognises(file.entries, location.key) and ismrmrd.has_trajectory(file)


def read_samples(
    path: PathLike,
    *,
    trajectory: PathLike | None = None,
    matrix: Sequence[int] | None = None,
    unit: str | None = None,
    field_of_view: float | None = None,
    max_memory: float | None = None,
) -> NonCartesianScan:
    """Return the samples of a file with their trajectory.

    Samples are complex ``(coil, lines, samples)``, with a batch in front if there are slices and
    without the coil if there is one; in BART's files ``1 samples lines coils``. Where one axis is
    the readout and another counts lines, the positions tell which is which.

    Parameters
    ----------
    path
        ``FILE`` or ``FILE::KEY``: ``.npy``, ``.npz``, ``.mat``, HDF5, a BART pair, or an ISMRMRD
        file, which holds its trajectory and matrix.
    trajectory
        File of the positions, ``(lines, samples, 2 or 3)`` in the order of the spatial axes, or
        ``kx + i ky``; BART's are ``3 samples lines``. By default the array ``trajectory`` of the
        same file.
    matrix
        Pixels of the image along its axes; by default those that the file names, or what a
        trajectory in cycles per field of view reaches.
    unit
        ``"radians"`` or ``"cycles"`` per pixel, ``"fov"`` for cycles per field of view, or
        ``"metres"`` for cycles per metre; by default found from the range of the trajectory.
    field_of_view
        Its size in mm, which cycles per metre need.
    max_memory
        Memory in GiB that an array of the file may take, see `read_scan`.

    Raises
    ------
    InputError
        If there is no trajectory, it is of another length or unit or holds NaN, the matrix is
        missing, or samples lie outside k-space.

    Examples
    --------
    >>> import tempfile, numpy
    >>> from molrecon import radial_trajectory
    >>> spokes = radial_trajectory((32, 32), 12).numpy()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.save(f"{folder}/y.npy", numpy.ones((4, 12, 64), dtype=numpy.complex64))
    ...     numpy.save(f"{folder}/spokes.npy", spokes)
    ...     read_samples(f"{folder}/y.npy", trajectory=f"{folder}/spokes.npy")
    NonCartesianScan(1 of 4 coils, 12 lines of 64 samples, 32 × 32 (y, x))
    """
    location, source = Location.parse(path, max_memory), str(path)
    settings: dict[str, Any] = {"unit": unit, "field_of_view": field_of_view}
    if format_of(path) is hdf5.FORMAT and trajectory is None:
        with open_hdf5(location) as file:
            if ismrmrd.recognises(file.entries, location.key):
                return _of_readouts(ismrmrd.read_lines(file), source, matrix, settings)
    _require_samples(path)
    kspace = _stored(path, KSPACE, max_memory)
    own: dict[str, Any] = {}
    known: tuple[int, ...] | None = None
    unused: tuple[str, ...] = ()
    if format_of(path) is not bart.FORMAT:
        entries = describe(path)
        own, known = _beside(path, entries, max_memory)
        unused = tuple(name for name in WEIGHTS if name in entries)
    if trajectory is None:
        trajectory = _own_trajectory(path)
    positions = _coordinates(_stored(trajectory, TRAJECTORY, max_memory))
    if matrix is None and known is not None:
        _require_fitting(known, positions, source)
        matrix = known
    frames = own.pop("frames", False)
    settled = settle_positions(positions, str(trajectory), matrix=matrix, **settings)
    y, places, swapped = _along_readout(kspace, settled.trajectory, source)
    notes = (*settled.notes, *swapped)
    if unused:
        notes = (*notes, f"{unused[0]} of the file are not used: {UNWEIGHTED}")
    shape = (len(places), *settled.shape) if frames else settled.shape
    return NonCartesianScan(y, places, shape, source=source, notes=notes, **own)


def write_samples(path: PathLike, scan: NonCartesianScan) -> None:
    """Write samples with their trajectory and what else is known to ``.npz`` or ``.h5``.

    Parameters
    ----------
    path
        The file; it is replaced as a whole or not at all.
    scan
        Written are samples, trajectory and matrix and, where known, coil maps, reference and sigma.

    Raises
    ------
    InputError
        If the extension is another or the folder cannot be written to.

    Examples
    --------
    >>> import tempfile, torch
    >>> from molrecon import radial_trajectory
    >>> spokes = radial_trajectory((32, 32), 12)
    >>> scan = NonCartesianScan(torch.ones(1, 4, 12, 64) + 0j, spokes, (32, 32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_samples(f"{folder}/radial.npz", scan)
    ...     read_samples(f"{folder}/radial.npz").kspace.shape
    torch.Size([1, 4, 12, 64])
    """
    target = check_samples_path(path)
    axes = scan.trajectory.shape[-1]
    arrays: dict[str, Array] = {
        "kspace": scan.kspace.cpu().resolve_conj().numpy(),
        "trajectory": scan.trajectory.cpu().numpy(),
        "matrix": np.array(scan.shape[-axes:]),
        "dynamic": np.array(scan.axes.time),
    }
    for name in ("coil_maps", "reference", "noise"):
        tensor: Tensor | None = getattr(scan, name)
        if tensor is not None:
            arrays[name] = tensor.cpu().resolve_conj().numpy()
    if scan.sigma is not None:
        arrays["sigma"] = np.array(scan.sigma)
    write = npz.write_arrays if target.suffix == ".npz" else hdf5.write_arrays
    write(target, arrays)


def check_samples_path(path: PathLike) -> Path:
    """Refuse an output for samples that could not be written, before any work is done for it."""
    target = check_writable(path)
    if target.suffix not in (".npz", ".h5", ".hdf5"):
        raise InputError(
            f"The output {target} has none of the extensions .npz, .h5, .hdf5, which samples and "
            "their trajectory are written to; rename it."
        )
    return target


def _require_fitting(matrix: tuple[int, ...], positions: Array, source: str) -> None:
    """Refuse a matrix of the file that has not as many lengths as the positions have axes."""
    axes = positions.shape[-1]
    # A third axis of zeros is dropped.
    if len(matrix) not in {axes, *([2] if axes == 3 else [])} or min(matrix) < 2:
        raise InputError(
            f"The matrix that is stored in {source} is {shape_text(matrix)}, expected the pixels "
            f"along the {axes} axes of its trajectory; correct it, or give another in its place "
            "(matrix)."
        )


def _own_trajectory(path: PathLike) -> str:
    name = None if format_of(path) is bart.FORMAT else trajectory_name(describe(path))
    if name is None:
        raise InputError(
            f"{path} holds no trajectory, expected one to say where its samples lie; give its file "
            "(trajectory)."
        )
    return f"{Location.parse(path).path}::{name}"


def _require_samples(path: PathLike) -> None:
    """Refuse a file of a trajectory alone."""
    if format_of(path) is bart.FORMAT or Location.parse(path).key is not None:
        return
    entries = describe(path)
    name = trajectory_name(entries)
    others = [one for one in entries if one != name and len(entries[one].shape) > 1]
    if name is not None and not others:
        raise InputError(
            f"{path} holds a trajectory and no samples, expected both; give the file of "
            "the samples, and this one as that of their trajectory (trajectory)."
        )


def _stored(path: PathLike, prefer: Sequence[str], max_memory: float | None) -> Array:
    """Read an array as it lies in a file, the slowest axis first."""
    if format_of(path) is bart.FORMAT:
        return read_with(Location.parse(path, max_memory), lambda one: bart.read_reversed)
    return read_array(path, prefer=prefer, max_memory=max_memory)


def _coordinates(array: Array) -> Array:
    """Bring positions to ``(*samples, axes)``."""
    array = array.squeeze()
    if np.iscomplexobj(array) and array.imag.any():
        return np.stack([array.imag, array.real], -1)
    array = array.real
    if array.ndim > 1 and array.shape[-1] not in (2, 3) and array.shape[0] in (2, 3):
        # MATLAB's first axis comes last here, but for rows and columns.
        return np.moveaxis(array, 0, -1)
    return array


def _along_readout(
    kspace: Array, positions: Tensor, source: str
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Bring samples to ``(batch, coil, *samples)``, their last axis being the readout."""
    require_complex_numbers(kspace, source)
    y = complex_tensor(kspace)
    samples = tuple(positions.shape[:-1])
    found = tuple(y.shape[-len(samples) :])
    if found != samples and len(samples) == 2 and found == samples[::-1]:
        y = y.transpose(-1, -2)
        found = samples
    lead = y.shape[: y.ndim - len(samples)]
    if found != samples or len(lead) > 2:
        raise InputError(
            f"The trajectory of {source} has {shape_text(samples)} positions, but the samples have "
            f"the shape {shape_text(y.shape)}, expected (coil, {shape_text(samples)}); give the "
            "trajectory of the same scan (trajectory)."
        )
    y = y.reshape((1,) * (2 - len(lead)) + tuple(y.shape))
    if len(samples) > 1:
        along, across = (positions.diff(dim=axis).norm(dim=-1).mean() for axis in (-2, -3))
        if across < along:
            note = ("the last axis but one is taken for the readout: its samples are neighbours",)
            turned = y.transpose(-1, -2), positions.transpose(-2, -3)
            return turned[0].contiguous(), turned[1].contiguous(), note
    return y.contiguous(), positions, ()


def _beside(
    path: PathLike, entries: Entries, max_memory: float | None
) -> tuple[dict[str, Any], tuple[int, ...] | None]:
    """Read what lies beside samples, and the matrix that the file names."""
    source, file = str(path), Location.parse(path).path
    found: dict[str, Any] = {}

    def read(name: str) -> Array:
        return read_array(f"{file}::{name}", max_memory=max_memory)

    for part in ("coil_maps", "reference"):
        name = next((one for one in NAMES[part] if one in entries), None)
        if name is not None:
            array = complex_tensor(read(name))
            found[part] = array[None] if array.ndim == 3 and part == "coil_maps" else array
    if "noise" in entries:
        found["noise"] = complex_tensor(read("noise"))
    if "sigma" in entries:
        found["sigma"] = read_sigma(read("sigma"), source)
    if "dynamic" in entries:
        found["frames"] = bool(read("dynamic").any())
    name = next((one for one in ("matrix", "image_shape") if one in entries), None)
    return found, None if name is None else read_image_shape(read(name).reshape(-1), source)


def _of_readouts(
    found: ismrmrd.Lines,
    source: str,
    matrix: Sequence[int] | None,
    settings: dict[str, Any],
) -> NonCartesianScan:
    """Return the scan of an ISMRMRD file."""
    settled = settle_positions(
        found.trajectory,
        source,
        matrix=matrix or found.matrix,
        **settings,
    )
    shape = (len(found.kspace[0, 0]), *settled.shape) if found.frames else settled.shape
    return NonCartesianScan(
        torch.from_numpy(found.kspace),
        settled.trajectory,
        shape,
        noise=None if found.noise is None else torch.from_numpy(found.noise),
        source=source,
        notes=(*found.notes, *settled.notes),
    )
