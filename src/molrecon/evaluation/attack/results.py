"""The results of an attack as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from molrecon.data.atomic import make_folder, write_text
from molrecon.data.plain import csv_text, finite
from molrecon.evaluation.attack.attacked import Attacked
from molrecon.evaluation.attack.figures import attack_pictures, gain_figure, robust_figure
from molrecon.evaluation.figure import save_figure
from molrecon.operators.base import LinearOperator

COLUMNS = (
    "name",
    "method",
    "epsilon",
    "kind",
    "change",
    "gain",
    "gain_error",
    "bound",
    "certified",
    "psnr_clean",
    "psnr",
)
_DOTS_PER_INCH = 160


def write_results(
    folder: str | Path,
    attacked: Sequence[Attacked],
    A: LinearOperator,
    facts: Mapping[str, Any],
    *,
    title: str = "",
) -> dict[str, str]:
    """Write table, ``facts``, plot and pictures, each file atomically; return their paths by name.

    The folder is made if need be, and files of an earlier attack are replaced. All methods were
    attacked at the same sizes.
    """
    target = make_folder(folder)
    files = {"attack.csv": _table(attacked)}
    plot = gain_figure(attacked, title=title)
    figures = {"gain.png": plot, "gain.pdf": plot}
    if any(one.most_gain is not None and one.psnr is not None for one in attacked):
        figures["robust.png"] = robust_figure(attacked, title=title)
    if any(point.image is not None for one in attacked for point in one.points):
        for number, point in enumerate(attacked[0].points):
            heading = f"{title}, ‖Δy‖ = {100 * point.epsilon:g} % of ‖y‖"
            figures[f"pictures-{point.epsilon:g}.png"] = attack_pictures(
                attacked, A, number, title=heading
            )
    for name, figure in figures.items():
        save_figure(figure, target / name, dots_per_inch=_DOTS_PER_INCH)
    paths = {name: str(target / name) for name in (*files, *figures, "attack.json")}
    kept = finite({**facts, "files": paths})
    files["attack.json"] = json.dumps(kept, ensure_ascii=False, indent=1) + "\n"
    for name, text in files.items():
        write_text(target / name, text)
    return paths


def _table(attacked: Sequence[Attacked]) -> str:
    rows = []
    for one in attacked:
        for point in one.points:
            for kind, effect in (("worst-case", point.worst), ("gaussian", point.gaussian)):
                if effect is not None:
                    bound = ("", "") if one.bound is None else (one.bound, one.certified)
                    clean = "" if one.psnr is None else one.psnr
                    named = (one.name, one.method, point.epsilon, kind)
                    figures = (effect.change, effect.gain, effect.gain_error)
                    rows.append((*named, *figures, *bound, clean, effect.psnr))
    return csv_text(COLUMNS, rows)
