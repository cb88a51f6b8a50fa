"""The picture of docs/performance.md: distances against time and work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


def drawn_progress(facts: Facts, path: Path) -> None:
    """Draw the distance to the solution against seconds and applications of the network."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for name, style, rows in curves(facts):
        distances = [one["distance"] for one in rows]
        for panel, figure_of in zip(panels, ("seconds", "networks"), strict=True):
            panel.plot([one[figure_of] for one in rows], distances, style, label=name)
    for panel, title in zip(panels, ("seconds", "applications of the network"), strict=True):
        panel.set(xscale="log", yscale="log", xlabel=title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("distance to the solution, relative")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def curves(facts: Facts) -> Iterator[tuple[str, str, list[Facts]]]:
    """Yield name, style and points of each line."""
    for row in facts.get("solves", []):
        name = f"{row['model']}, {row['acceleration']:g}×"
        # The last point is the proof, that with the first image aside.
        own = [one for one in row["steps"] if "first image" not in one["to"]]
        yield name, "o-" if "guided" in name else "s-", own
        if "published" in row:
            yield f"published settings, {row['acceleration']:g}×", "x--", row["published"]
    for row in facts.get("series", []):
        size = " × ".join(map(str, row["shape"]))
        yield f"{row['model']}, {size}", "^:", row["steps"]
