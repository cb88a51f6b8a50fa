"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import typer

from molrecon.errors import InputError

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output and nothing else there."),
]
AsPublished = Annotated[
    bool,
    typer.Option(
        "--as-published",
        help="Score as the published tables do: PSNR slice by slice with the maximum of the "
        "reference as range, SSIM with range 2 (scikit-image without a range).",
    ),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.", metavar="NAME")
]
MaskKind = Annotated[
    str,
    typer.Option(
        help="variable-density, poisson-disc, equispaced (lines) or random (lines).",
        metavar="KIND",
    ),
]
Acceleration = Annotated[
    float, typer.Option(help="Size of k-space over the number of its sampled points.")
]
Calibration = Annotated[
    int, typer.Option(help="Width of the fully sampled centre of k-space, in samples.")
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        help="Memory in GiB that may be used; by default nine tenths of what is free. Where a "
        "network needs more, it is applied tile by tile.",
        metavar="GIB",
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed of all that is random; the same seed, the same file.")
]


def require_positive(option: str, value: float | None) -> None:
    """Refuse a number that is not positive and finite; None passes."""
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise InputError(
            f"{option} is {value:g}, but a positive number was expected; correct it or leave it "
            "out."
        )


def resolve_device(name: str) -> str:
    """Return the device to compute on.

    Raises
    ------
    InputError
        If it is unknown or this machine has none.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    counts: dict[str, Callable[[], int]] = {"cpu": lambda: 1, "cuda": torch.cuda.device_count}
    kind, _, index = name.partition(":")
    if kind not in counts or not (index.isdigit() or name == kind):
        raise InputError(f"--device is {name!r}, but auto, cpu, cuda or cuda:N was expected.")
    if int(index or 0) >= counts[kind]():
        raise InputError(
            f"--device is {name!r}, but this machine (or this build of PyTorch) has "
            f"{counts[kind]()} such devices; use --device cpu."
        )
    return name
