"""The results of an attack as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrecon.data.atomic import atomic_path, make_folder
from molrecon.data.plain import finite
from molrecon.evaluation.attack.attacked import Attacked
from molrecon.evaluation.attack.figures import attack_pictures, gain_figure
from molrecon.operators.base import LinearOperator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    if any(point.image is not None for one in attacked for point in one.points):
        for number, point in enumerate(attacked[0].points):
            heading = f"{title}, ‖Δy‖ = {100 * point.epsilon:g} % of ‖y‖"
            figures[f"pictures-{point.epsilon:g}.png"] = attack_pictures(
                attacked, A, number, title=heading
            )
    for name, figure in figures.items():
        _save(figure, target / name)
    names = [*files, *figures, "attack.json"]
    paths = {name: str(target / name) for name in names}
    files["attack.json"] = (
        json.dumps(finite({**facts, "files": paths}), ensure_ascii=False, indent=1) + "\n"
    )
    for name, text in files.items():
        with atomic_path(target / name) as part:
            part.write_text(text, encoding="utf-8")
    return paths


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as part:
        figure.savefig(part, dpi=_DOTS_PER_INCH)


def _table(attacked: Sequence[Attacked]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in attacked:
        for point in one.points:
            for kind, effect in (("worst-case", point.worst), ("gaussian", point.gaussian)):
                if effect is not None:
                    bound = ("", "") if one.bound is None else (one.bound, one.certified)
                    clean = "" if one.psnr is None else one.psnr
                    named = (one.name, one.method, point.epsilon, kind)
                    figures = (effect.change, effect.gain, effect.gain_error)
                    writer.writerow((*named, *figures, *bound, clean, effect.psnr))
    return text.getvalue()
