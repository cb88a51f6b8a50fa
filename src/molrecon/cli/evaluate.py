"""``molrecon evaluate``: an image against its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import AsPublished, Json, ReadMemory
from molrecon.errors import InputError

if TYPE_CHECKING:
    from molrecon.evaluation.metrics import DataRange, Unit

UNITS: dict[str, Unit] = {"slice": "slice", "volume": "volume"}

Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        help="Range of values where a figure needs one: 'slice' or 'volume' for the maximum "
        "of the reference in each, or a number. By default as --over.",
        metavar="slice|volume|NUMBER",
    ),
]
Over = Annotated[
    str,
    typer.Option(
        help="Average the figures of all slices, or take the volume as one.", metavar="slice|volume"
    ),
]
Complex = Annotated[
    bool,
    typer.Option(
        "--complex",
        help="Compare complex values instead of magnitudes, except by SSIM; sensible if both "
        "images rest on the same coil maps.",
    ),
]
FitScale = Annotated[
    bool,
    typer.Option("--fit-scale", help="Multiply the image by the number that fits it best."),
]


def evaluate(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The image: FILE or FILE::KEY.")],
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="Its reference, of the same shape and units.")
    ],
    data_range: Range = None,
    over: Over = "slice",
    complex_values: Complex = False,
    as_published: AsPublished = False,
    fit_scale: FitScale = False,
    max_memory: ReadMemory = None,
    json: Json = False,
) -> None:
    """Compare an image with its reference: PSNR, SSIM and NMSE, of magnitudes by default."""
    from molrecon.evaluation.files import score_files
    from molrecon.evaluation.metrics import METRICS

    found = score_files(
        out,
        ref,
        over=_unit(over),
        data_range=_range(data_range),
        complex_values=complex_values,
        as_published=as_published,
        fit_scale=fit_scale,
        max_memory=max_memory,
    )
    for remark in found.remarks:
        output.print_note(output.with_options(remark))
    if json:
        output.print_json(found.facts())
        return
    rows = [
        (METRICS[name].title, f"{METRICS[name].text(score.value)} ({score.basis})")
        for name, score in found.scores.items()
    ]
    if as_published:
        rows.insert(0, ("Convention", "as published: not comparable with others"))
    output.print_facts(f"{out} against {ref}", rows)


def _unit(text: str) -> Unit:
    if text in UNITS:
        return UNITS[text]
    raise InputError(f"--over is {text!r}, but 'slice' or 'volume' was expected.")


def _range(text: str | None) -> DataRange | None:
    if text is None or text in UNITS:
        return None if text is None else UNITS[text]
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"--range is {text!r}, but 'slice', 'volume' or a number was expected."
        ) from None


COMMAND = Command("evaluate", evaluate, "molrecon evaluate image.npy ref.npy --json")
