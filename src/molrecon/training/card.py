"""The model card that goes with a weights file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from molrecon.equilibrium.bound_text import bound_text
from molrecon.reconstructors.learned import LearnedReconstructor
from molrecon.reconstructors.store import load, read_header


def model_card(weights: str | Path) -> str:
    """Write a Markdown card from what a weights file says about itself."""
    path = Path(weights)
    config, about = read_header(path)
    model = load(path)
    run = about.get("training", {})
    card = run.get("card", {})
    parameters = sum(p.numel() for p in model.parameters())
    settings = config.model_dump(mode="json")
    sections = [
        f"# {about.get('name', path.stem)}",
        f"{about.get('description', '')}. {_guarantee(model)}",
        "## Licence\n\n" + str(card.get("licence", "not stated")),
        "## Data\n\nTrained on (file names):\n\n" + _bullets(run.get("data", {}).get("train", ())),
        "Validated on files that were not trained on:\n\n"
        + _bullets(run.get("data", {}).get("validation", ())),
        str(card.get("data", "")),
        "## Not for\n\n" + str(card.get("not_for", "not stated")),
        "## Settings\n\n"
        + _table(
            {
                "method": settings["method"],
                "network": _inline(settings["network"]),
                "weights": f"{parameters:,}",
                **{
                    label: show(settings[key])
                    for key, (label, show) in _OPTIONAL.items()
                    if key in settings
                },
                "seed": run.get("seed"),
                "started from": _started_from(run),
                "loss": run.get("loss"),
                "compared in training": f"{run.get('trained_output') or config.output} with "
                f"{run.get('target', 'not stated')}",
                "image returned": config.output,
                "Lipschitz constraint": _inline(run.get("lipschitz", {})),
                "steps": ", ".join(
                    f"{s['steps']} to {s['objective']}" for s in run.get("stages", ())
                ),
                "best step": about.get("step"),
            }
        ),
        "## Training curve\n\nHeld-out images, PSNR of magnitudes in dB (range: the target's "
        "maximum, mean over images), largest ‖J_H‖₂ measured, network evaluations per solve.\n\n"
        + _curve(about.get("curve", ())),
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


def _guarantee(model: LearnedReconstructor) -> str:
    bound = model.network.lipschitz_bound()
    if model.certified and bound is not None:
        return f"Certified: Lip(H) ≤ {bound_text(bound, 4)} for every image and noise level."
    if model.constraint_text is None:
        return "No guarantee: nothing bounds the distance of its images to anything."
    return (
        f"Not certified: trained towards {model.constraint_text}; error bounds are conditional on "
        "it."
    )


def _bullets(items: Any) -> str:
    return "\n".join(f"* `{item}`" for item in items)


def _inline(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} ({_inline(value)})" if isinstance(value, Mapping) else f"{key} {value}"
        for key, value in settings.items()
    )


_OPTIONAL: dict[str, tuple[str, Callable[[Any], str]]] = {
    "iterations": ("iterations", str),
    "weight": ("data weight", _inline),
    "step": ("step", str),
    "monotonicity": ("monotonicity m", str),
}
"""Settings that only some methods have: what they are called and how they are shown."""


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {key} | {value} |" for key, value in rows.items()]
    return "\n".join(["| setting | value |", "|---|---|", *lines])


def _curve(points: Any) -> str:
    lines = [
        f"| {p['step']:.0f} | {p['psnr']:.2f} | "
        f"{format(p['lipschitz'], '.3f') if 'lipschitz' in p else '–'} | "
        f"{p['network_evaluations']:.1f} |"
        for p in points
    ]
    head = ["| step | PSNR | ‖J‖ | evaluations |", "|---|---|---|---|"]
    return "\n".join([*head, *lines])


def _started_from(run: Mapping[str, Any]) -> str:
    guide = run.get("initial_guide")
    return (run.get("initial") or "fresh weights") + (f", the guide from {guide}" if guide else "")
