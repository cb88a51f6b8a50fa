"""``molrecon evaluate``: an image against its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import Json
from molrecon.errors import InputError

Unit = Literal["slice", "volume"]
UNITS: dict[str, Unit] = {"slice": "slice", "volume": "volume"}

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.data.formats import ImageData
    from molrecon.evaluation.metrics import DataRange


def evaluate(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The image: FILE or FILE::KEY.")],
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="Its reference, of the same shape and units.")
    ],
    data_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="Range of values for PSNR and SSIM: 'slice' or 'volume' for the maximum of the "
            "reference in each, or a number. By default as --over.",
            metavar="slice|volume|NUMBER",
        ),
    ] = None,
    over: Annotated[
        str,
        typer.Option(
            help="Average the figures of all slices, or take the volume as one.",
            metavar="slice|volume",
        ),
    ] = "slice",
    complex_values: Annotated[
        bool,
        typer.Option(
            "--complex",
            help="PSNR and NMSE of complex values instead of magnitudes; "
            "sensible if both images rest on the same coil maps.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Compare an image with its reference: PSNR, SSIM and NMSE, of magnitudes by default."""
    from molrecon.data.formats import read_image
    from molrecon.evaluation.metrics import nmse, psnr, ssim

    unit = _unit(over)
    wanted = _range(data_range)
    image, reference = (_arranged(read_image(path)) for path in (out, ref))
    if image.shape != reference.shape:
        raise InputError(
            f"{out} has the shape {tuple(image.shape)}, but its reference {ref} has "
            f"{tuple(reference.shape)}; compare images of the same shape."
        )
    scores = {
        "psnr": psnr(image, reference, over=unit, data_range=wanted, complex_values=complex_values),
        "ssim": ssim(image, reference, over=unit, data_range=wanted),
        "nmse": nmse(image, reference, over=unit, complex_values=complex_values),
    }
    ranges = scores["psnr"].data_range
    facts: dict[str, Any] = {
        **{name: score.value for name, score in scores.items()},
        "range": scores["psnr"].range_rule,
        "data_range": ranges[0] if len(set(ranges)) == 1 else ranges,
        "averaging": scores["psnr"].averaging,
        "values": "complex (SSIM: magnitude)" if complex_values else "magnitude",
        "each": {name: score.each for name, score in scores.items()},
    }
    if json:
        output.print_json(facts)
        return
    span = f"{min(ranges):.4g}" + (f" to {max(ranges):.4g}" if len(set(ranges)) > 1 else "")
    output.print_facts(
        f"{out} against {ref}",
        [
            ("PSNR", f"{facts['psnr']:.2f} dB"),
            ("SSIM", f"{facts['ssim']:.4f}"),
            ("NMSE", f"{facts['nmse']:.5f}"),
            ("Values", facts["values"]),
            ("Range", f"{span}, {facts['range']}"),
            ("Averaging", facts["averaging"]),
        ],
    )


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
    """Return ``(batch, 1, *spatial)``; a stack of slices counts as a volume.

    Not every format tells the two apart.
    """
    import torch

    return torch.from_numpy(image.array).reshape(-1, 1, *image.array.shape[-3:])


COMMAND = Command("evaluate", evaluate, "molrecon evaluate image.npy ref.npy --json")
