"""What ``molrecon reconstruct`` prints of an image, and writes down beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from molrecon.cli import output
from molrecon.cli.certify import certificate_text

if TYPE_CHECKING:
    from molrecon.pipeline import Reconstruction


def print_reconstruction(
    found: Reconstruction,
    under: str,
    out: str,
    coil_maps: str | None,
    report: str | None,
    json: bool,
) -> None:
    """Print what is known of the image."""
    from dataclasses import replace

    import molrecon
    from molrecon.data.root import file_digest
    from molrecon.reconstructors.store import resolve

    if coil_maps is not None:
        source = found.coil_maps.replace("those of the scan", f"read from {coil_maps}")
        found = replace(found, coil_maps=source)
    for doubt in found.check.warnings:
        output.print_note(output.with_options(f"Data check: {doubt}."))
    if "axes" in found.assumed:
        output.print_note(found.assumed["axes"])
    certificate = _certificate_of(found.model)
    if json:
        weights = None if found.model is None else file_digest(resolve(found.model))
        files = {"input": under, "output": out, "report": report}
        files |= {"version": molrecon.__version__, "weights_sha256": weights}
        output.print_json({**files, **found.facts(), **certificate})
        return
    rows = found.summary()
    if found.model is not None:
        proved = found.guarantee is not None and bool(found.guarantee.proved)
        rows.append(("Certificate", certificate_text(certificate, proved=proved)))
    if report is not None:
        rows.append(("Report", report))
    output.print_facts(out, rows)
    if found.guarantee is not None:
        output.print_note(
            "The distance is that of the computed image to the exact solution of the method; it "
            "says nothing about the distance to the anatomy."
        )


def write_records(
    found: Reconstruction,
    under: str,
    images: Sequence[str],
    parts: tuple[str | None, ...],
    settings: dict[str, Any],
) -> None:
    """Write down beside the images what made them."""
    from molrecon.pipeline.provenance import plain_settings, write_record

    plain = plain_settings(settings, method=found.method, model=found.model, parts=parts)
    known = {"command": output.command_line(), "settings": plain, "facts": found.facts()}
    for image in images:
        write_record(image, {"scan": under, **known})


def _certificate_of(model: str | None) -> dict[str, Any]:
    """Return the certificate of a model's weights, and why there is none."""
    from molrecon.evaluation.certificate import read_certificate
    from molrecon.reconstructors.store import resolve

    if model is None:
        return {"certificate": None, "no_certificate": None}
    return read_certificate(resolve(model)).facts
