"""docs/performance.md, written from the figures of `performance.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Facts = dict[str, Any]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def written(facts: Facts) -> str:
    """Return the page."""
    machine = facts["machine"]
    lines = [
        "# Performance",
        "",
        "    MOLRECON_DATA=… make bench",
        "",
        f"writes this page from `benchmarks/results.json`. {machine['processor']}, "
        f"{machine['threads']} threads, PyTorch {machine['torch']}; medians of "
        f"{machine['repeats']} runs in turns, all ratios of one run. Distances are relative, to "
        "the solution of the same equation in double precision at 1e-8. No figures of a GPU are "
        "on record (`benchmarks/gpu.py` makes them where there is one).",
        "",
    ]
    parts = (_solves, _rivals, _series, _pieces, _training, _scaling)
    for part in parts:
        if facts.get(part.__name__[1:]):
            lines += part(facts[part.__name__[1:]])
    return "\n".join(lines).rstrip() + "\n"


def _solves(rows: list[Facts]) -> list[str]:
    lines = ["## The real scan, to a distance and to a proof", ""]
    for row in rows:
        lines += [f"`{row['model']}`, {row['acceleration']:g}×, variable density:", ""]
        steps = [
            (
                one["to"],
                f"{one['seconds']:.2f}",
                str(one["networks"]),
                str(one["normals"]),
                f"{one['distance']:.1e}",
                f"{one['bound']:.1e}",
            )
            for one in row["steps"]
        ]
        for one in row.get("published", []):
            name = f"published settings, {one['to']}"
            found = f"{one['seconds']:.1f}", str(one["networks"]), "", f"{one['distance']:.1e}", ""
            steps.append((name, *found))
        head = ("to", "s", "networks", "AᴴA", "distance", "bound")
        lines += table(head, steps)
        if "published" in row:
            times = {one["to"]: one["seconds"] for one in row["steps"]}
            stop, on = (one["seconds"] for one in row["published"])
            lines += [
                f"The published settings take {stop / times['proved']:.0f} times as long to stop "
                f"as the proof takes, and {on / times['proved']:.0f} times as long to come near "
                f"1e-3: {on / times['distance 0.001']:.0f} times as long as ours to a true 1e-3.",
                "",
            ]
    return lines


def _rivals(rows: list[Facts]) -> list[str]:
    lines = [
        "## torchdeq on the same map, to a true 1e-3",
        "",
        "`brain2d-sn`, the real scan at 4×; the smallest number of iterations that reaches it. "
        "Ours is a whole call: its start and its bound in double precision are in the time, of "
        "torchdeq the iterations alone.",
        "",
    ]
    found = [
        (
            one["solver"],
            one["inner"],
            str(one["iterations"]),
            f"{one['torchdeq']:.2f}",
            f"{one['ours']:.2f}",
            f"{one['torchdeq'] / one['ours']:.2f}",
        )
        for one in rows
    ]
    head = ("solver", "linear systems by", "iterations", "s", "ours, s", "ratio")
    return lines + table(head, found)


def _series(rows: list[Facts]) -> list[str]:
    found = [
        (
            f"`{one['model']}`",
            " × ".join(map(str, one["shape"])),
            f"{one['seconds']:.1f}",
            str(one["networks"]),
            f"{one['distance']:.1e}",
            f"{one['bound']:.1e}",
        )
        for one in rows
    ]
    lines = ["## Volumes and series, to a proof of 1e-3", "", "Drawn objects, σ = 1 %.", ""]
    return lines + table(("model", "size", "s", "networks", "distance", "bound"), found)


def _pieces(facts: Facts) -> list[str]:
    rate = facts["network TFLOP/s, batch 1"]
    rows = [
        ("AᴴA, 256 × 232 × 12", f"{facts['AHA ms']:.1f} ms", f"{facts['FFTs ms']:.1f} ms of FFTs"),
        ("(I + λAᴴA)⁻¹ to 1e-6, λ = 10", f"{facts['inverse ms']:.0f} ms", ""),
        (
            "network of `brain2d-sn`, 256 × 232",
            f"{facts['network ms, batch 1']:.0f} ms, {1e3 * rate:.0f} GFLOP/s of the full products",
            f"{1e3 * facts['machine TFLOP/s']:.0f} GFLOP/s of a matrix product of 2048²",
        ),
        (
            "the same in bf16",
            f"{facts['network bf16 s'] * 1e3:.0f} ms",
            f"{facts['network single s'] * 1e3:.0f} ms in single precision, in turns",
        ),
        ("copies", "", f"{facts['machine GB/s']:.0f} GB/s of a copy of 256 MiB"),
    ]
    return ["## The pieces, beside what the machine does", "", *table(("", "time", "floor"), rows)]


def _training(facts: Facts) -> list[str]:
    rows = [
        (name, f"{facts[f'{name} s']:.1f}", f"{facts[f'{name} gradient error']:.1e}")
        for name in ("ours", "published")
    ]
    ratio = facts["published s"] / facts["ours s"]
    return [
        "## A training step of 256 × 256 and 12 coils",
        "",
        *table(("settings", "s", "error of the gradient"), rows),
        f"{ratio:.0f} times faster. The error is relative to the gradient at solutions of 1e-6.",
        "",
    ]


def _scaling(facts: Facts) -> list[str]:
    lines = ["## Cost against size", ""]
    for name, found in facts.items():
        rows = [
            (str(one["at"]), f"{1e3 * one['network']:.1f}", f"{1e3 * one['AHA']:.1f}")
            for one in found["points"]
        ]
        lines += table((name, "network, ms", "AᴴA, ms"), rows)
        exponents = found["exponent of network"], found["exponent of AHA"]
        lines += [f"Exponents: {exponents[0]:.2f} and {exponents[1]:.2f}.", ""]
    return lines
