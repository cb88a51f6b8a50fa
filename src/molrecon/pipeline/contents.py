"""What a file holds, and what is missing to reconstruct it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from molrecon.data.check import ITEMS, evenly
from molrecon.data.check.kind import constant_values
from molrecon.data.check.samples import check_samples
from molrecon.data.formats import (
    ImageData,
    describe,
    format_of,
    kind_of,
    read_image,
    scan_items,
)
from molrecon.data.formats.reading import PathLike
from molrecon.data.non_cartesian_scan import NonCartesianScan
from molrecon.data.sampling import Sampling, SamplingCount
from molrecon.data.scan import Scan
from molrecon.data.scan_items import ScanItems
from molrecon.errors import AmbiguousError
from molrecon.operators.fourier import ifft_centred
from molrecon.operators.non_cartesian_mri import NonCartesianMRI
from molrecon.pipeline.checking import check_items
from molrecon.pipeline.measurements import known_noise
from molrecon.pipeline.prepared_samples import samples_noise, sampling_of_samples
from molrecon.pipeline.provenance import read_record

_COMPANIONS = ("coil_maps", "noise", "reference")
_PARTS = {
    "coil maps": "these are the coil maps of a scan",
    "mask": "this is the sampling mask of a scan",
}
"""What a file of a part of a scan is."""


def contents_of(path: PathLike, *, max_memory: float | None = None) -> dict[str, Any]:
    """Return what a file holds as plain values.

    Parameters
    ----------
    path
        ``FILE``, or ``FILE::KEY`` for one array of a file.
    max_memory
        Memory in GiB that an array may take, beyond 200 MB and four times the size of the file.

    Returns
    -------
    dict
        ``"kind"``: scan, image, coil maps, mask or several arrays; ``"format"``; ``"arrays"`` by
        name; ``"missing"``: a clause for each thing that a reconstruction needs and that is not
        there; ``"notes"`` of the reader; ``"made_by"``: what was written down when molrecon made
        the file, or None; and the figures of a scan or an image.

    Raises
    ------
    InputError
        If the file is missing, damaged or of an unknown format.
    """
    kind: str
    try:
        kind = kind_of(path, max_memory=max_memory)
    except AmbiguousError as error:
        kind, several = "several arrays", str(error)
    facts: dict[str, Any] = {
        "file": str(path),
        "kind": kind,
        "format": format_of(path).name,
        "arrays": {name: str(entry) for name, entry in describe(path).items()},
        "notes": [],
        "made_by": read_record(str(path).partition("::")[0]),
    }
    if kind == "scan":
        return facts | scan_facts(scan_items(path, max_memory=max_memory))
    if kind == "image":
        facts["kind"] = kind = _looks_like(path, max_memory)
    if kind == "image":
        return facts | image_facts(read_image(path, max_memory=max_memory))
    if kind in _PARTS:
        return facts | {"missing": {"k-space": _PARTS[kind]}}
    return facts | {"missing": {"choice": several}}


def _looks_like(path: PathLike, max_memory: float | None) -> str:
    """Say whether what is no k-space is an image or, as the data check has it, coil maps or a mask.

    Real numbers of an image may be all alike; those that are true or false are a mask.
    """
    entries = describe(path)
    if len(entries) == 1 and next(iter(entries.values())).dtype.kind == "b":
        return "mask"
    array = read_image(path, max_memory=max_memory).array
    found = None
    if np.iscomplexobj(array) and array.ndim == 3:
        found = constant_values(torch.from_numpy(array))
    return "image" if found is None else found[1]


def scan_facts(items: ScanItems) -> dict[str, Any]:
    """Return sizes, sampling, noise and companions of a scan, and what is missing, as values.

    The items are read one after the other; noise and peak are those of a few, evenly spaced.
    """
    count, chosen = SamplingCount(), evenly(len(items), ITEMS)
    scan, seen = items[0], []
    for number, item in enumerate(items):
        count.add(item)
        seen += [_noise(item)] if number in chosen else []
    sampling = count.sampling()
    levels = sorted(one for one in seen if one.sigma is not None)
    noise = levels[len(levels) // 2] if levels else seen[0]
    peak = max(one.peak for one in seen)
    return {
        "slices": sampling.slices,
        "coils": sampling.coils,
        "shape": sampling.shape,
        "spatial_axes": scan.ndim,
        "axes": scan.axes.letters,
        "sampled": sampling.share,
        "acceleration": sampling.acceleration,
        "calibration": sampling.calibration,
        "separate_calibration": None if scan.calibration is None else scan.calibration.shape[2:],
        "sigma": noise.sigma,
        "sigma_uncertainty": noise.uncertainty,
        "sigma_source": noise.source,
        "relative_sigma": None if noise.sigma is None else noise.sigma / peak,
        "has_coil_maps": scan.coil_maps is not None,
        "has_mask": scan.mask_given,
        "has_noise": scan.noise is not None,
        "image_shape": scan.image_shape,
        "spacing": None if scan.geometry is None else scan.geometry.spacing[-scan.axes.fourier :],
        "has_reference": scan.reference is not None,
        "missing": _missing(scan, sampling, noise.sigma),
        "check": check_items(items, lambda item: item).facts(),
        "notes": scan.notes,
    }


def samples_contents(path: PathLike, scan: NonCartesianScan) -> dict[str, Any]:
    """Return what a file of samples along lines holds as plain values, as `contents_of` does.

    Parameters
    ----------
    path
        The file.
    scan
        What was read from it.
    """
    sampling, found = sampling_of_samples(scan), samples_noise(scan)
    sigma = None if found is None else float(found.sigma.median())
    missing = {}
    if scan.coil_maps is None and sampling.coils > 1 and sampling.calibration is None:
        missing["coil maps"] = "the trajectory does not show the centre, to estimate them from"
    if sigma is None:
        missing["noise"] = "it cannot be estimated from these data"
    present = {f"has_{name}": getattr(scan, name) is not None for name in _COMPANIONS}
    return {
        "file": str(path),
        "kind": "scan along lines",
        "format": format_of(path).name,
        "arrays": {name: str(entry) for name, entry in describe(path).items()},
        **{"slices": sampling.slices, "coils": sampling.coils, "shape": sampling.shape},
        **{"spatial_axes": scan.axes.ndim, "axes": scan.axes.letters, "lines": sampling.lines},
        **{"sampled": sampling.share, "acceleration": sampling.acceleration},
        **{"calibration": sampling.calibration, "separate_calibration": None},
        "sigma": sigma,
        "sigma_uncertainty": None if found is None else float(found.uncertainty.median()),
        "sigma_source": "k-space does not show it" if found is None else found.source,
        "relative_sigma": None if sigma is None else sigma / _gridded_peak(scan),
        **{"image_shape": None, "spacing": None, "has_mask": False, **present},
        "missing": missing,
        "check": check_samples(scan).facts(),
        "notes": scan.notes,
    }


def _gridded_peak(scan: NonCartesianScan) -> float:
    """Return the peak of the root-sum-of-squares image, gridded with its density compensated."""
    axes = scan.trajectory.shape[-1]
    plane = scan.shape[-axes:]
    places = scan.trajectory.reshape(-1, axes)
    A = NonCartesianMRI(torch.ones(1, 1, *plane, dtype=torch.complex64), places)
    images = A.zero_filled(scan.kspace[0].flatten(1)[:, None])
    return float(images.abs().double().norm(dim=0).max())


def image_facts(image: ImageData) -> dict[str, Any]:
    """Return size and values of an image as plain values."""
    return {
        "shape": image.array.shape,
        "axes": image.axes,
        "spatial_axes": image.ndim,
        "complex": bool(np.iscomplexobj(image.array)),
        "peak": float(np.abs(image.array).max()),
        "spacing": image.spacing,
        "missing": {"k-space": "this is an image"},
        "notes": image.notes,
    }


class _Noise(NamedTuple):
    """Noise level, its relative standard error and where it comes from; and the peak of images."""

    sigma: float | None
    uncertainty: float | None
    source: str
    peak: float


def _noise(scan: Scan) -> _Noise:
    found, peak = known_noise(scan), _peak(scan)
    if found is None:
        return _Noise(None, None, "k-space does not show it", peak)
    uncertainty = float(found.uncertainty.median())
    source = "given in the file" if scan.sigma is not None else found.source
    return _Noise(float(found.sigma.median()), uncertainty, source, peak)


def _peak(scan: Scan) -> float:
    """Return the peak of the root-sum-of-squares image, the unit of relative noise."""
    # Squares of k-space in small units would vanish.
    largest = float(scan.kspace.abs().max())
    images = ifft_centred(scan.kspace / largest, scan.axes.fourier)
    return largest * float(images.abs().square().sum(1).sqrt().max())


def _missing(scan: Scan, sampling: Sampling, sigma: float | None) -> dict[str, str]:
    missing = {}
    known = scan.coil_maps is not None or scan.calibration is not None
    if not known and sampling.coils > 1 and sampling.calibration is None:
        missing["coil maps"] = "there is no calibration region to estimate them from"
    if sigma is None:
        missing["noise"] = "it cannot be estimated from these data"
    return missing
