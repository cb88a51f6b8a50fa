"""What a file holds, and what is missing to reconstruct it."""

from __future__ import annotations

from typing import Any

import numpy as np

from molrecon.data.check import check
from molrecon.data.formats import (
    ImageData,
    describe,
    format_of,
    kind_of,
    read_image,
    read_scan,
)
from molrecon.data.formats.reading import PathLike
from molrecon.data.sampling import Sampling, sampling_of
from molrecon.data.scan import Scan
from molrecon.errors import AmbiguousError
from molrecon.operators.fourier import ifft_centred
from molrecon.pipeline.measurements import known_noise


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
        ``"kind"``: scan, image, coil maps or several arrays; ``"format"``; ``"arrays"`` by name;
        ``"missing"``: a clause for each thing that a reconstruction needs and that is not there;
        ``"notes"`` of the reader; and the figures of a scan or an image.

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
    }
    if kind == "scan":
        return facts | scan_facts(read_scan(path, max_memory=max_memory))
    if kind == "image":
        return facts | image_facts(read_image(path, max_memory=max_memory))
    if kind == "coil maps":
        return facts | {"missing": {"k-space": "these are the coil maps of a scan"}}
    return facts | {"missing": {"choice": several}}


def scan_facts(scan: Scan) -> dict[str, Any]:
    """Return sizes, sampling, noise and companions of a scan, and what is missing, as values."""
    sampling = sampling_of(scan)
    sigma, uncertainty, source = _noise(scan)
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
        "sigma": sigma,
        "sigma_uncertainty": uncertainty,
        "sigma_source": source,
        "relative_sigma": None if sigma is None else sigma / _peak(scan),
        "has_coil_maps": scan.coil_maps is not None,
        "has_mask": scan.mask_given,
        "has_noise": scan.noise is not None,
        "image_shape": scan.image_shape,
        "spacing": None if scan.geometry is None else scan.geometry.spacing[-scan.axes.fourier :],
        "has_reference": scan.reference is not None,
        "missing": _missing(scan, sampling, sigma),
        "check": check(scan).facts(),
        "notes": scan.notes,
    }


def image_facts(image: ImageData) -> dict[str, Any]:
    """Return size and values of an image as plain values."""
    return {
        "shape": image.array.shape,
        "axes": image.axes,
        "spatial_axes": image.ndim,
        "complex": bool(np.iscomplexobj(image.array)),
        "peak": float(np.abs(image.array).max()),
        "spacing": image.spacing,
        "missing": {"k-space": "this is an image; simulate a scan of it"},
        "notes": image.notes,
    }


def _noise(scan: Scan) -> tuple[float | None, float | None, str]:
    """Return the noise level, its relative standard error and where it comes from."""
    found = known_noise(scan)
    if found is None:
        return None, None, "k-space does not show it"
    uncertainty = float(found.uncertainty.median())
    source = "given in the file" if scan.sigma is not None else found.source
    return float(found.sigma.median()), uncertainty, source


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
