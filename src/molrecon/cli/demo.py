"""``molrecon demo``: everything once, on an image that needs no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import Device, Folder, Json, Seed
from molrecon.defaults import DEFAULT_MODEL

MODELS = ["brain2d-sn", DEFAULT_MODEL]


def demo(
    folder: Folder = "demo",
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Model to show ({' and '.join(MODELS)} by default); may be repeated.",
            metavar="NAME|FILE",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Reconstruct a real MR image end to end and compare methods, without any download.

    A scan of 8 coils with a smooth phase and 1 % noise is simulated from an MR image that comes
    with matplotlib, undersampled four times, and reconstructed by zero filling, SENSE and MOL.
    The folder receives report.html to look at them, comparison.png, the scan and the reference.
    """
    from molrecon.arguments import resolve_device
    from molrecon.reconstructors.methods import build_method
    from molrecon.reports.demo import demonstrate

    device = resolve_device(device)
    methods = [build_method(name, device=device) for name in ("zero-filled", "sense")]
    methods += [build_method("mol", model=name, device=device) for name in model or MODELS]
    with output.progress() as show:
        facts = demonstrate(folder, methods, seed=seed, device=device, report=show)
    if json:
        output.print_json(facts)
        return
    _print(facts["methods"])
    files = ("report", "figure", "scan", "reference")
    output.print_facts("Files", [(name, facts[name]) for name in files])
    address = Path(facts["report"]).resolve().as_uri()
    output.print_note(f"To look at the images, open this in a browser: {address}")


def _print(results: list[dict[str, Any]]) -> None:
    from molrecon.evaluation.metrics import METRICS
    from molrecon.reports.demo import TITLE, title_of

    output.print_table(
        TITLE,
        ("", *(metric.heading for metric in METRICS.values()), "iter.", "error bound", "time/s"),
        [
            (
                title_of(result),
                *(f"{result[name]:.{metric.digits}f}" for name, metric in METRICS.items()),
                str(result["iterations"]),
                _bound(result),
                f"{result['seconds']:.2f}",
            )
            for result in results
        ],
    )
    conditional = any(_conditional(result) for result in results)
    starred = "; * conditional: it holds if the network is as monotone here as it was trained to be"
    output.print_note(
        "Range of values: the maximum of the reference; magnitudes. Error bound: relative "
        "distance to the exact solution of the method, not to the anatomy"
        f"{starred if conditional else ''}."
    )


def _conditional(result: dict[str, Any]) -> bool:
    return result["error_bound"] is not None and not result["certified"]


def _bound(result: dict[str, Any]) -> str:
    from molrecon.equilibrium.bound_text import share_text

    if result["error_bound"] is None:
        return "–"
    return f"{share_text(result['error_bound'])}{' *' if _conditional(result) else ''}"


COMMAND = Command("demo", demo, "molrecon demo -o demo")
