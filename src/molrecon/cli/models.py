"""``molrecon models``: the models that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from molrecon.cli import output
from molrecon.cli.certify import certificate_text
from molrecon.cli.command import Command
from molrecon.cli.options import Json

if TYPE_CHECKING:
    from pathlib import Path


def models(json: Json = False) -> None:
    """List the shipped models: what each is for, its training data, licence and figures."""
    from molrecon.reconstructors.store import shipped_models

    facts = [_facts(name, path) for name, path in shipped_models().items()]
    if json:
        output.print_json({"models": facts})
        return
    if not facts:
        output.print_facts("Shipped models", [("None", "this installation carries no model.")])
    for item in facts:
        output.print_facts(item["name"], _rows(item))


def _facts(name: str, path: Path) -> dict[str, Any]:
    from molrecon.evaluation.certificate import read_certificate
    from molrecon.reconstructors.store import load, read_header

    config, about = read_header(path)
    model = load(path)
    settings = config.model_dump(mode="json")
    training = about.get("training") or {}
    at_best = [row for row in about.get("curve", ()) if row.get("step") == about.get("step")]
    return {
        "name": name,
        "path": str(path),
        "method": config.method,
        "description": about.get("description", ""),
        "certified": model.certified,
        "lipschitz_bound": model.network.lipschitz_bound(),
        "monotonicity": model.monotonicity,
        "constraint": model.constraint_text,
        "spatial_axes": model.network.ndim,
        "axes": config.spatial_axes,
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "network": settings["network"],
        "data_weight": settings.get("weight"),
        "data": (training.get("data") or {}).get("train"),
        "licence": (training.get("card") or {}).get("licence"),
        "validation": at_best[-1] if at_best else None,
        **read_certificate(path).facts,
        "about": {key: value for key, value in about.items() if key not in ("curve", "training")},
    }


def _rows(item: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("Method", item["method"]),
        ("For", f"{item['description']} ({item['spatial_axes']} spatial axes)"),
        ("Network", f"{item['network'].get('kind', '?')}, {item['weights']:,} weights"),
        ("Monotone", _monotone(item)),
        ("Certificate", certificate_text(item)),
    ]
    for label, key in (
        ("Trained on", "data"),
        ("Licence", "licence"),
        ("Validation", "validation"),
    ):
        if item[key]:
            rows.append((label, _text(item[key])))
    return rows


def _monotone(item: dict[str, Any]) -> str:
    if item["certified"]:
        return f"proved: Lip(H) ≤ {item['lipschitz_bound']:.4f}"
    if item["constraint"] is None:
        return "not meant to be: the method gives no bounds"
    return f"not proved: trained towards {item['constraint']}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


COMMAND = Command("models", models, "molrecon models")
