"""``molrecon convert``: a scan or an image in another format."""

from __future__ import annotations

from typing import Annotated

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import Json, ReadMemory


def convert(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A scan or an image: FILE or FILE::KEY.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="A scan: .npz or .h5. An image: .npy, .npz, .h5, .cfl, .nii.gz, .dcm or .png.",
        ),
    ],
    max_memory: ReadMemory = None,
    json: Json = False,
) -> None:
    """Write a scan or an image in another format, with its geometry where the format keeps it."""
    from molrecon.data.atomic import keep_inputs
    from molrecon.data.formats import (
        check_image_path,
        check_scan_path,
        kind_of,
        read_image,
        read_scan,
        write_image,
        write_scan,
    )

    keep_inputs(target, source)
    kind = kind_of(source, max_memory=max_memory)
    notes: tuple[str, ...]
    if kind == "image":
        check_image_path(target)
        image = read_image(source, max_memory=max_memory)
        write_image(target, image.tensor(), geometry=image.geometry, frames=image.frames)
        notes = image.notes
    else:
        check_scan_path(target)
        scan = read_scan(source, max_memory=max_memory)
        write_scan(target, scan)
        notes = scan.notes
    facts = {"from": source, "to": target, "kind": kind, "notes": notes}
    if json:
        output.print_json(facts)
        return
    rows = [("Holds", kind), *([("Read as", "; ".join(notes))] if notes else [])]
    output.print_facts(f"{source} written to {target}", rows)


COMMAND = Command("convert", convert, "molrecon convert measurement.dat scan.h5")
