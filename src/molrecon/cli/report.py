"""``molrecon report``: one HTML file that shows images side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import Json


def report(
    images: Annotated[
        list[str], typer.Argument(metavar="RECON…", help="The images: FILE or FILE::KEY each.")
    ],
    out: Annotated[
        str, typer.Option("--output", "-o", help="Report to write, .html.", metavar="FILE")
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            help="The right image, of the same shape and units: with it come error maps, PSNR and "
            "SSIM.",
            metavar="REF",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading; that of the first image.")] = None,
    json: Json = False,
) -> None:
    """Write one HTML file to look at images side by side; it opens without a network.

    An image file says nothing about its error. The report that also shows what is guaranteed, the
    data check and the iterations is written with the image: molrecon reconstruct --report.
    """
    from molrecon import report as write
    from molrecon.cli.reading import check_report

    check_report(out, *images, reference)
    path = write(images, out, reference=reference, title=title)
    size = path.stat().st_size
    if json:
        facts = {"images": images, "reference": reference, "report": str(path), "bytes": size}
        output.print_json(facts)
    else:
        output.print_facts("Report", [("File", f"{path}, {size / 1e6:.1f} MB")])


COMMAND = Command(
    "report", report, "molrecon report mol.npy sense.npy --reference ref.npy -o report.html"
)
