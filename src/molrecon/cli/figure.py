"""``molrecon figure``: images side by side as a figure for print."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.lists import numbers
from molrecon.cli.options import Json
from molrecon.errors import InputError


def figure(
    images: Annotated[
        list[str], typer.Argument(metavar="RECON…", help="The images: FILE or FILE::KEY each.")
    ],
    out: Annotated[
        str,
        typer.Option("--output", "-o", help="Figure to write: .png, .pdf or .svg.", metavar="FILE"),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            help="The right image, of the same shape and units: with it come PSNR, SSIM and "
            "errors.",
            metavar="REF",
        ),
    ] = None,
    titles: Annotated[
        str | None,
        typer.Option(
            help="Headings of the columns, that of the reference first if there is one.",
            metavar="TEXT,…",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="Some of image, zoom and error; all by default.", metavar="ROW,…"),
    ] = None,
    zoom: Annotated[
        str | None,
        typer.Option(
            help="Part that is enlarged: first and last row (not included), first and last column; "
            "by default where there is most detail.",
            metavar="R,R,C,C",
        ),
    ] = None,
    plane: Annotated[
        int | None,
        typer.Option(
            "--slice", help="Slice or frame, from 0; the middle slice by default.", metavar="NUMBER"
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="Values that are black and white, in the images' unit.", metavar="B,W"),
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the images.", metavar="TEXT")] = "a.u.",
    width: Annotated[
        float, typer.Option(help="Width in mm: 180 for a page, 85 for a column.", metavar="MM")
    ] = 180.0,
    dots_per_inch: Annotated[
        int, typer.Option("--dpi", help="Resolution of a PNG.", min=30, max=2400)
    ] = 600,
    json: Json = False,
) -> None:
    """Draw images side by side for print: a column for each, rows of images, a part, and errors.

    All images share one grey scale and all errors another; each has a colour bar with its unit. The
    scale bar is in mm if the first image tells the size of its pixels (NIfTI, DICOM).
    """
    from molrecon import figure as draw
    from molrecon.data.atomic import keep_inputs
    from molrecon.reports.figure import check_figure

    check_figure(out)
    keep_inputs(out, *images, reference)
    path = draw(
        images,
        out,
        reference=reference,
        titles=titles.split(",") if titles else None,
        rows=rows.split(",") if rows else None,
        zoom=_several("--zoom", zoom, 4, int),
        plane=plane,
        window=_several("--window", window, 2, float),
        unit=unit,
        width=width,
        dots_per_inch=dots_per_inch,
    )
    if json:
        output.print_json({"images": images, "reference": reference, "figure": str(path)})
    else:
        output.print_facts("Figure", [("File", str(path))])


def _several(option: str, text: str | None, count: int, kind: type[int | float]) -> Any:
    """Return so many numbers of an option; None where it is not given."""
    if text is None:
        return None
    found = numbers(option, text)
    if len(found) != count or any(kind(one) != one for one in found):
        whole = " whole" if kind is int else ""
        raise InputError(f"{option} is {text!r}, expected {count}{whole} numbers, as in its help.")
    return tuple(kind(one) for one in found)


COMMAND = Command(
    "figure",
    figure,
    "molrecon figure mol.nii.gz sense.nii.gz --reference ref.nii.gz -o figure.pdf",
)
