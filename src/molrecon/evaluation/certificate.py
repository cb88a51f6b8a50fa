"""The certificate of a model: what it says, and the file it is kept in.

It lies beside the weights, ``NAME.certificate.json`` beside ``NAME.safetensors``, and is tied to
them by the SHA-256 of the weights file: any change of a weight or setting makes it stale. What is
read is a claim, which anybody may write, and is shown as one: `certify` computes it anew, and a
reconstruction rests on `molrecon.networks.bounds.proved_bound` of the weights in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from molrecon.data.atomic import atomic_path
from molrecon.data.root import file_digest
from molrecon.equilibrium.bound_text import bound_text
from molrecon.settings import Settings


class ImageValues(Settings):
    """What was measured at one image."""

    image: str  # file and slice, or what was simulated
    status: str  # how the reconstruction of the image ended; the values are those at its result
    # Noise relative to the peak, and data weight λ; null where a method has none.
    sigma: float | None
    lam: float | None
    attack: float  # largest difference quotient found around the image
    # ‖J‖₂, a distance within which a singular value lies, and what ‖J‖₂ does not exceed with a
    # probability of 99 %.
    local: float
    local_error: float
    local_probable: float | None
    symmetric: float  # the same for ``λ_max((J + Jᵀ)/2)``
    symmetric_error: float
    symmetric_probable: float | None
    # Proved bound on ``‖Δimage‖ / ‖Δy‖`` at this λ, for the image the model returns; null if not
    # certified.
    robustness: float | None
    violated: tuple[str, ...]  # the conditions that do not hold here


class Proof(Settings):
    """What follows from the weights in memory."""

    # Whether ``bound ≤ limit`` is proved and convergence, uniqueness and robustness follow.
    certified: bool
    map: str  # the map whose Lipschitz constant is meant
    # What it must not exceed: 1 − m for `MOL`; null where a method rests on no such constant.
    limit: float | None
    bound: float | None  # the certified bound of `certified_bound`, or why there is none
    refusal: str | None
    holds_for: str  # the map and the inputs that the bound is proved for
    monotonicity: float | None  # the proved m; null if not certified
    # Factor by which each plain iteration, its linear system solved exactly, reduces the distance
    # to the solution; null if not certified.
    contraction: float | None
    # So many plain iterations reduce the starting distance to this share of it.
    tolerance: float = Field(gt=0, lt=1)
    iterations: int | None

    @property
    def proved_sentence(self) -> str:
        """What is proved, in words."""
        if self.bound is None:
            return "not certified (no bound)"
        bound = bound_text(self.bound, 4)
        if self.certified:
            return f"certified: Lip({self.map}) ≤ {bound} proved, m = {self.monotonicity:g}"
        return f"not certified (the proved bound is {bound})"

    def proof(self) -> list[tuple[str, str]]:
        """Return what was proved, as a list of subjects and sentences."""
        why = ("Holds for", self.holds_for) if self.refusal is None else ("No bound", self.refusal)
        rows = [("Proof", self.proved_sentence), why]
        if self.contraction is not None:
            speed = (
                "every plain iteration, its linear system solved exactly, leaves at most "
                f"{bound_text(self.contraction, 6)} of the distance, and {self.iterations} leave "
                f"{self.tolerance:g} of it"
            )
            rows.append(("Convergence", speed))
        return rows


class Certificate(Proof):
    """What is proved and what was measured of a model; the JSON file has these fields."""

    # Of the file, and of the molrecon that wrote it.
    format: Literal["molrecon-certificate-1"] = "molrecon-certificate-1"
    version: str
    weights: str  # name and SHA-256 of the weights file
    sha256: str
    method: str  # of the model
    attack: float  # the largest of the values of all images
    local: float
    symmetric: float
    output: str  # the image that the model returns and ``robustness`` is for
    images: tuple[ImageValues, ...]  # every image that was measured

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        within = None not in (self.bound, self.limit) and (self.bound or 0) <= (self.limit or 0)
        if self.certified and (not within or self.monotonicity is None or self.violations):
            raise ValueError("certified is true, expected a bound within the limit")
        return self

    def measured(self) -> list[tuple[str, str]]:
        """Return what was measured, as a list of subjects and sentences."""
        bound = "unknown" if self.bound is None else bound_text(self.bound, 4)
        values = f"attack {self.attack:.4g} ≤ local {self.local:.4g} ≤ certified {bound}"
        return [("Result", self.sentence), ("Values", values)] + [
            ("Violated", f"{image.image}: {'; '.join(image.violated)}") for image in self.violations
        ]

    @property
    def violations(self) -> tuple[ImageValues, ...]:
        """The images at which a condition does not hold."""
        return tuple(image for image in self.images if image.violated)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        if self.certified:
            return self.proved_sentence
        measured = f"{self.proved_sentence}; ‖J‖ up to {self.local:.4g} measured"
        if self.limit is None:
            return measured
        if self.violations:
            names = ", ".join(one.image for one in self.violations)
            return f"{measured}, {self.limit:g} exceeded at {names}"
        return f"{measured}, within {self.limit:g} at the {len(self.images)} images measured"


@dataclass(frozen=True)
class Stored:
    """The certificate beside a weights file, or why there is none."""

    certificate: Certificate | None = None
    # why the file that lies there does not count; None if there is no file or it does count
    problem: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """As plain values: ``certificate``, in brief or null, and ``no_certificate``, why so.

        In brief are the fields of `Certificate` but for the images, and its sentence.
        """
        if self.certificate is None:
            return {"certificate": None, "no_certificate": self.problem or "there is none"}
        brief = self.certificate.model_dump(mode="json", exclude={"images", "holds_for", "format"})
        brief["sentence"] = self.certificate.sentence
        bound, m = self.certificate.bound, self.certificate.monotonicity
        if self.certificate.certified and bound is not None:
            # Read from a file, it is a claim.
            claimed = f"Lip({self.certificate.map}) ≤ {bound_text(bound, 4)}"
            brief["sentence"] = f"it claims {claimed}, m = {m:g}"
        return {"certificate": brief, "no_certificate": None}


def certificate_path(weights: Path) -> Path:
    """Return where the certificate of a weights file lies."""
    return weights.with_suffix(".certificate.json")


def read_certificate(weights: Path) -> Stored:
    """Read the certificate beside a weights file; nothing is raised for one that does not count."""
    path = certificate_path(weights)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Stored()
    except (OSError, UnicodeDecodeError):
        return Stored(problem=f"{path.name} cannot be read")
    try:
        certificate = Certificate.model_validate_json(text)
    except ValidationError:
        return Stored(problem=f"{path.name} is not a certificate of molrecon")
    if certificate.sha256 == file_digest(weights):
        return Stored(certificate)
    if certificate.weights != weights.name:
        return Stored(problem=f"{path.name} is foreign: it certifies {certificate.weights}")
    return Stored(
        problem=f"{path.name} is stale: the weights have changed since; run molrecon certify again"
    )


def write_certificate(certificate: Certificate, weights: Path) -> Path:
    """Write a certificate beside its weights, atomically; return its path."""
    path = certificate_path(weights)
    with atomic_path(path) as temporary:
        temporary.write_text(certificate.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path
