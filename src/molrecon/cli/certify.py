"""``molrecon certify``: what is proved of a model, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.failures import VIOLATED
from molrecon.cli.options import Device, Json, Model, Seed
from molrecon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from molrecon.evaluation.audit import Audited, AuditEffort
    from molrecon.evaluation.certificate import Certificate

Data = Annotated[
    list[str] | None,
    typer.Option(
        help="A scan to measure at, as reconstruct reads it; may be repeated. Simulated scans "
        "by default.",
        metavar="FILE",
    ),
]
Tolerance = Annotated[
    float, typer.Option(help="Share of the starting distance, for the number of iterations.")
]
Accuracy = Annotated[
    float,
    typer.Option(help="Relative tolerance of the local values, on their residuals; at least 1e-4."),
]


Thorough = Annotated[
    bool,
    typer.Option(
        "--thorough",
        help="Try the bounds out afterwards, where the answer can be computed exactly; exit code 1 "
        "if one is violated.",
    ),
]
Cases = Annotated[
    int, typer.Option(help="With --thorough: dense Jacobians; exact solutions are a third as many.")
]


def certify(
    model: Model,
    data: Data = None,
    tol: Tolerance = 1e-3,
    accuracy: Accuracy = 0.02,
    thorough: Thorough = False,
    cases: Cases = 150,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Prove what can be proved of a model, and measure the rest: attack ≤ local ≤ certified.

    The proof is printed first; it takes a second, and the measurements half a minute.

    Attack: the largest difference quotient found. Local: ‖J‖ and the largest eigenvalue of its
    symmetric part, at the reconstructed images. Certified: the proved bound for every image. The
    result is stored beside a weights file, tied to it by SHA-256; models and reconstruct show it.
    A shipped model, called by its name, keeps the certificate it came with.

    With --thorough the bounds are held against what does not use their proofs: dense Jacobians in
    double precision at tiny and odd sizes, extreme values and noise levels, of the weights as they
    are and perturbed; and exact solutions of small problems, in double precision, found apart from
    the solver. The table counts cases and violations, and the largest ratio of what was found to
    its bound.

    With --json: the fields of the certificate (see molrecon.evaluation.certificate), and model,
    stored (the file written, or null), not_stored (why), audit (the table, or null) and seconds.
    """
    import time

    from molrecon.arguments import resolve_device
    from molrecon.data.axes import Axes
    from molrecon.evaluation.audit import AuditEffort
    from molrecon.evaluation.certification_images import (
        SIMULATED,
        images_of,
        read_scans,
        simulated_images,
    )
    from molrecon.evaluation.certify import STEPS, MeasuringEffort
    from molrecon.evaluation.certify import certify as run
    from molrecon.reconstructors.store import read_header, resolve

    started = time.perf_counter()
    effort = MeasuringEffort(accuracy=accuracy, seed=seed)
    checked = AuditEffort.of(cases, seed) if thorough else None
    device = resolve_device(device)
    weights = resolve(model)
    config = read_header(weights)[0]
    axes, channels = Axes(config.spatial_axes), config.network.images.channels
    # Read first: a wrong file is refused before any work.
    scans = read_scans(data or (), axes, channels, model)
    count = len(scans) or len(SIMULATED)
    with output.progress(STEPS * count) as show:

        def told(text: str, done: int, total: int) -> None:
            show(text)

        measurements = (
            images_of(scans, device, told) if scans else simulated_images(axes.ndim, channels)
        )
        certificate = run(
            weights,
            measurements,
            device=device,
            tol=tol,
            effort=effort,
            on_proof=lambda proof: None if json else output.print_facts(model, proof.proof()),
            report=lambda text, done: show(text, advance=done),
        )
    stored, reason = _store(certificate, model, weights)
    tried = [] if checked is None else _audited(weights, checked)
    if json:
        facts = {"model": model, **certificate.model_dump(mode="json")}
        facts["stored"] = None if stored is None else str(stored)
        facts["not_stored"] = None if stored is not None else reason
        facts["audit"] = [vars(one) for one in tried] or None
        facts["seconds"] = time.perf_counter() - started
        output.print_json(facts)
    else:
        _print(model, certificate)
        note = f"Written to {stored}." if stored is not None else f"Not stored: {reason}"
        output.print_note(note)
        _print_audit(tried)
    if any(one.violations for one in tried):
        raise typer.Exit(VIOLATED)


def _audited(weights: Path, effort: AuditEffort) -> list[Audited]:
    from molrecon.evaluation.audit import audit
    from molrecon.reconstructors.store import load

    with output.progress(effort.steps) as show:
        return audit(load(weights), effort, report=lambda text, done: show(text, advance=done))


def _print_audit(tried: list[Audited]) -> None:
    if tried:
        rows = [
            (one.check, f"{one.cases}", f"{one.violations}", f"{one.largest:.6f}") for one in tried
        ]
        columns = ("found, against its bound", "cases", "violations", "largest ratio")
        output.print_table("Bounds tried out", columns, rows)
    for one in tried:
        output.print_note(f"Largest ratio of {one.check}: at {one.worst}.")
        for example in one.examples:
            output.print_note(f"Violated, {one.check}: {example}.")


def _store(certificate: Certificate, model: str, weights: Path) -> tuple[Path | None, str]:
    """Write a certificate beside its weights; return its path, or None and the reason."""
    from molrecon.evaluation.certificate import write_certificate
    from molrecon.reconstructors.store import shipped_models

    if model in shipped_models():
        return None, "a shipped model keeps the certificate it came with"
    try:
        return write_certificate(certificate, weights), ""
    except InputError as error:
        return None, str(error)


def _print(model: str, one: Certificate) -> None:
    from molrecon.equilibrium.bound_text import bound_text

    output.print_table(
        f"Lipschitz constant of {one.map}",
        ("", "attack", "local ‖J‖", "λ_max(sym J)", "robustness"),
        [
            (
                image.image,
                f"{image.attack:.4f}",
                f"{image.local:.4f} ± {image.local_error:.4f}",
                f"{image.symmetric:.4f} ± {image.symmetric_error:.4f}",
                "–" if image.robustness is None else bound_text(image.robustness, 4),
            )
            for image in one.images
        ],
    )
    output.print_facts(model, one.measured())
    output.print_note(
        "±: a singular value or eigenvalue of the Jacobian lies within. Robustness: the image "
        "moves by at most so many times an error of the measurements, with noise level, unit and "
        "coil maps held fixed."
    )


def certificate_text(facts: Mapping[str, Any], *, proved: bool = False) -> str:
    """Return what `Stored.facts` come to, as a line; `proved` if the image beside it is."""
    known = facts["certificate"]
    if not known:
        return f"none: {facts['no_certificate']}"
    if proved:
        return (
            "on file; 'proved' does not rest on it, the weights themselves were checked; "
            f"{known['sentence']}"
        )
    return f"on file, not checked here: {known['sentence']}"


COMMAND = Command("certify", certify, "molrecon certify brain2d-sn --data scan.cfl")
