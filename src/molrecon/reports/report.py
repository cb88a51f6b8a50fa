"""`molrecon.report`: one HTML file about reconstructions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from molrecon.data.atomic import check_writable, write_text
from molrecon.data.formats.reading import PathLike
from molrecon.errors import InputError
from molrecon.pipeline.reconstruction import Reconstruction
from molrecon.reports.content import Panel, Report
from molrecon.reports.page import MEGABYTES, page
from molrecon.reports.sources import Shown, section_of


def report(
    shown: Shown | Sequence[Shown | Panel],
    output: PathLike,
    *,
    reference: Reconstruction | PathLike | Tensor | None = None,
    title: str | None = None,
    megabytes: float = MEGABYTES,
) -> Path:
    """Write one HTML file that shows images side by side and says how far they can be trusted.

    It opens in any browser without a network, and holds the images, error maps where there is a
    reference, the noise map of a reconstruction, what is guaranteed, what the data check found, the
    residuals of the iterations, settings and provenance. "Proved" stands there only of
    reconstructions that were made in this process: an image file says nothing about its error.

    Parameters
    ----------
    shown
        What `reconstruct` returned, or the path of an image file (see `read_image`), or several of
        them, of one shape. The first is the one that others are shown beside.
    output
        The file, ``.html``; it is replaced as a whole or not at all.
    reference
        The right image, of the same shape and in the same unit; an image ``(batch, 1, *spatial)``
        or a file.
    title
        Heading; by default the name of the scan or file.
    megabytes
        Size that the file may have, in 10⁶ bytes. Magnitudes are kept in 16 bits where that leaves
        room, else in fewer, and at last not of every slice; the report says which.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the shapes differ, there is nothing to show, or the file cannot be written.

    Examples
    --------
    >>> import tempfile, torch
    >>> from molrecon import CartesianMRI, Scan, reconstruct, report
    >>> image = torch.hann_window(32)[:, None] * torch.hann_window(32) * (1 + 0j)
    >>> mask = torch.rand(1, 1, 32, 32) < 0.8
    >>> A = CartesianMRI(torch.ones(1, 1, 32, 32, dtype=torch.complex64), mask)
    >>> found = reconstruct(Scan(A(image[None, None]), mask), "sense", sigma=0.01)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = report(found, f"{folder}/report.html", reference=image[None, None])
    ...     "Proved" in file.read_text()
    True
    """
    target = check_html(output)
    items = [shown] if isinstance(shown, str | os.PathLike | Reconstruction) else shown
    section = section_of(items, reference, title=title)
    return write_report(Report(section.title, (section,)), target, megabytes=megabytes)


def write_report(made: Report, output: PathLike, *, megabytes: float = MEGABYTES) -> Path:
    """Write a report as a whole or not at all, and return its path."""
    return write_text(check_html(output), page(made, megabytes=megabytes))


def check_html(output: PathLike) -> Path:
    """Refuse a report that could not be written, before any work is done for it."""
    target = check_writable(output)
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"The report {target} ends in {target.suffix or 'nothing'}, expected .html; rename it."
        )
    return target
