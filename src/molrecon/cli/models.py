"""``molrecon models``: the models that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.certify import certificate_text
from molrecon.cli.command import Command
from molrecon.cli.options import Json

if TYPE_CHECKING:
    from pathlib import Path


def models(
    long: Annotated[
        bool, typer.Option("--long", help="Everything known of each, in place of one line.")
    ] = False,
    json: Json = False,
) -> None:
    """List the shipped models: what each is for, and what bounds its network.

    What is listed stands in the files and is not checked here: certify checks a model.
    """
    from molrecon.reconstructors.store import shipped_models

    facts = [_facts(name, path) for name, path in shipped_models().items()]
    if json:
        output.print_json({"models": facts})
        return
    if not facts:
        output.print_facts("Shipped models", [("None", "this installation carries no model.")])
    elif long:
        for item in facts:
            output.print_facts(item["name"], _rows(item))
    else:
        _print_table(facts)


def _print_table(facts: list[dict[str, Any]]) -> None:
    """Print a line for every model."""
    licences: dict[str, list[str]] = {}
    for item in facts:
        if item["licence"] not in (None, "Apache-2.0"):
            licences.setdefault(item["licence"], []).append(item["name"])
    restricted = [f"{', '.join(names)}: {text}" for text, names in licences.items()]
    output.print_table(
        "Shipped models",
        ("model", "method", "Lip(H)", "for"),
        [(one["name"], one["method"], _bound(one), _purpose(one)) for one in facts],
        note="Lip(H): its bound by construction, proved from the weights whenever the model is "
        "used; * towards which it was trained, not proved; – none: the method gives no bound. "
        + " ".join(["More: molrecon models --long.", *restricted]),
        words=4,
    )


def _purpose(item: dict[str, Any]) -> str:
    """Return what is left of the description, whose first part names the network."""
    parts = [one for one in item["description"].split(", ") if one != "certified"]
    return ", ".join(parts[1:] or parts)


def _bound(item: dict[str, Any]) -> str:
    from molrecon.equilibrium.bound_text import bound_text

    if item["monotonicity"] is None:
        return "–"
    if _by_construction(item):
        return f"≤ {bound_text(item['lipschitz_bound'], 4)}"
    return f"≤ {bound_text(1 - item['monotonicity'], 4)} *"


def _by_construction(item: dict[str, Any]) -> bool:
    m, bound = item["monotonicity"], item["lipschitz_bound"]
    return item["method"] == "mol" and None not in (m, bound) and bool(bound <= 1 - m)


def _facts(name: str, path: Path) -> dict[str, Any]:
    from molrecon.evaluation.certificate import read_certificate
    from molrecon.reconstructors.store import count_weights, read_plain_header

    # From the headers alone: weights, and the import of PyTorch, would take ten times as long.
    config, about = read_plain_header(path)
    training = about.get("training") or {}
    at_best = [row for row in about.get("curve", ()) if row.get("step") == about.get("step")]
    network = config.get("network") or {}
    ndim = network.get("ndim", 2)
    return {
        "name": name,
        "path": str(path),
        "method": config.get("method", "mol"),
        "description": about.get("description", ""),
        "lipschitz_bound": (network.get("plane") or network).get("lipschitz"),
        "monotonicity": config.get("monotonicity"),
        "spatial_axes": ndim,
        "axes": config.get("axes") or "zyx"[-ndim:],
        "weights": count_weights(path),
        "network": network,
        "data_weight": config.get("weight"),
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
    optional = {"Trained on": "data", "Licence": "licence", "Validation": "validation"}
    return rows + [(label, _text(item[key])) for label, key in optional.items() if item[key]]


def _monotone(item: dict[str, Any]) -> str:
    from molrecon.equilibrium.bound_text import bound_text

    if item["monotonicity"] is None:
        return "not meant to be: the method gives no bounds"
    if _by_construction(item):
        bound = f"Lip(H) ≤ {bound_text(item['lipschitz_bound'], 4)}"
        return f"by construction, {bound}: proved from the weights whenever it is used"
    return f"not proved: trained towards m = {item['monotonicity']:g}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


COMMAND = Command("models", models, "molrecon models")
