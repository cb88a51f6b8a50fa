"""``molrecon evaluate``: an image against its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import AsPublished, Json
from molrecon.errors import InputError

Unit = Literal["slice", "volume"]
UNITS: dict[str, Unit] = {"slice": "slice", "volume": "volume"}

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.formats import ImageData
    from molrecon.evaluation.metrics import DataRange, Score


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
        help="Average the figures of all slices, or take the volume as one.",
        metavar="slice|volume",
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


def evaluate(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The image: FILE or FILE::KEY.")],
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="Its reference, of the same shape and units.")
    ],
    data_range: Range = None,
    over: Over = "slice",
    complex_values: Complex = False,
    as_published: AsPublished = False,
    json: Json = False,
) -> None:
    """Compare an image with its reference: PSNR, SSIM and NMSE, of magnitudes by default."""
    from molrecon.data.formats import is_picture, read_image
    from molrecon.evaluation.conventions import published_scores
    from molrecon.evaluation.metrics import METRICS
    from molrecon.evaluation.metrics import scores as all_scores

    if as_published and (data_range is not None or over != "slice" or complex_values):
        raise InputError(
            "--as-published fixes range, averaging and values, so that --range, --over and "
            "--complex cannot be given with it; leave one or the other out."
        )
    unit = _unit(over)
    wanted = _range(data_range)
    read = [read_image(path) for path in (out, ref)]
    image, reference = map(_arranged, read)
    if image.shape != reference.shape:
        raise InputError(
            f"{out} has the shape {tuple(image.shape)}, but its reference {ref} has "
            f"{tuple(reference.shape)}; compare images of the same shape."
        )
    if as_published:
        scores = published_scores(image, reference)
    else:
        scores = all_scores(
            image, reference, over=unit, data_range=wanted, complex_values=complex_values
        )
    grey = [path for path in (out, ref) if is_picture(path)]
    if len(grey) == 1:
        output.print_note(
            f"{grey[0]} is a picture, whose grey values are not in the units of the other image: "
            "the figures compare different units. Write the image as .npy, .h5 or .nii.gz instead."
        )
    if json:
        notes = {path: one.notes for path, one in zip((out, ref), read, strict=True)}
        output.print_json({**_facts(scores, as_published), "notes": notes})
        return
    rows = [
        (METRICS[name].title, f"{METRICS[name].text(score.value)} ({score.basis})")
        for name, score in scores.items()
    ]
    if as_published:
        rows.insert(0, ("Convention", "as published: not comparable with others"))
        output.print_note(
            "SSIM with a range of 2 is larger than with the true range, and changes with the unit "
            f"of the images; the maximum of this reference is {float(reference.abs().max()):.4g}, "
            "where the published images had about 1."
        )
    output.print_facts(f"{out} against {ref}", rows)


def _facts(scores: dict[str, Score], as_published: bool) -> dict[str, Any]:
    basis = {
        name: {
            "range": score.range_rule,
            "data_range": score.span,
            "averaging": score.averaging,
            "values": score.values,
        }
        for name, score in scores.items()
    }
    return {
        **{name: score.value for name, score in scores.items()},
        "convention": "as published" if as_published else "molrecon",
        **basis["psnr"],
        "basis": basis,
        "each": {name: score.each for name, score in scores.items()},
    }


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


def _arranged(image: ImageData) -> Tensor:
    """Return ``(batch, 1, *spatial)``; a stack of slices counts as a volume, one slice as a slice.

    Not every format tells them apart.
    """
    import torch

    array = image.array[0] if len(image.array) == 1 and image.array.ndim == 3 else image.array
    return torch.from_numpy(array).reshape(-1, 1, *array.shape[-3:])


COMMAND = Command("evaluate", evaluate, "molrecon evaluate image.npy ref.npy --json")
