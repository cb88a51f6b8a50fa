"""docs/performance.md, written from the figures of `performance.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
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
        "![Distance to the solution against seconds and applications of the network]"
        "(pictures/performance.png)",
        "",
    ]
    pieces = facts.get("pieces", {})
    parts = {
        "solves": _solves,
        "series": _series,
        "rivals": _rivals,
        "deepinv": _deepinv,
        "pieces": _pieces,
        "bf16": partial(_bf16, pieces=pieces),
        "training": _training,
        "scaling": _scaling,
        "tried": _tried,
    }
    for name, part in parts.items():
        if facts.get(name):
            heading, *rest = part(facts[name])
            lines += [heading, *_apart(facts.get("apart", {}).get(name)), *rest]
    return "\n".join(lines).rstrip() + "\n"


def _apart(machine: Facts | None) -> list[str]:
    """Say on what a part was measured that was not measured with the others."""
    if machine is None:
        return []
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    clock = "processor time, " if machine.get("clock") == "processor" else ""
    load = f", load {machine['load']:.0f} by other work" if "load" in machine else ""
    return [
        "",
        f"Measured apart: {machine['processor']}, {threads}, PyTorch {machine['torch']}, "
        f"{clock}{machine['repeats']} runs in turns{load}.",
    ]


STEPS = ("to", "s", "networks", "AᴴA", "distance", "bound")


def _steps(rows: list[Facts]) -> list[tuple[str, ...]]:
    """Return the lines of solves to distances and to the proof."""
    return [
        (
            one["to"],
            f"{one['seconds']:.2f}",
            str(one["networks"]),
            str(one["normals"]),
            f"{one['distance']:.1e}",
            f"{one['bound']:.1e}",
        )
        for one in rows
    ]


def _solves(rows: list[Facts]) -> list[str]:
    lines = ["## The real scan, to a distance and to a proof", ""]
    for row in rows:
        lines += [f"`{row['model']}`, {row['acceleration']:g}×, variable density:", ""]
        steps = _steps(row["steps"])
        for one in row.get("published", []):
            name = f"published settings, {one['to']}"
            found = f"{one['seconds']:.1f}", str(one["networks"]), "", f"{one['distance']:.1e}", ""
            steps.append((name, *found))
        lines += table(STEPS, steps)
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
    lines = ["## Drawn objects: a slice, a volume and a series", ""]
    lines += ["12 coils (8 of the series), σ = 1 %, undersampled 4 times (6 times the series).", ""]
    for row in rows:
        size = " × ".join(map(str, row["shape"]))
        lines += [
            f"`{row['model']}`, {size}:",
            "",
            *table(STEPS, _steps(row["steps"])),
        ]
    return lines


def _deepinv(facts: Facts) -> list[str]:
    rows = []
    for one in facts["equilibrium"]:
        name = "Anderson" if one["anderson"] else "plain"
        if "best" in one:
            rows.append((name, f"{one['target']:g}", *[""] * 4, f"not reached: {one['best']:.0e}"))
            continue
        found = (
            f"{one['networks']}, {one['our networks']}",
            f"{one['distance']:.1e}, {one['our distance']:.1e}",
            f"{one['deepinv']:.2f}",
            f"{one['ours']:.2f}",
            f"{one['deepinv'] / one['ours']:.1f}",
        )
        rows.append((name, f"{one['target']:g}", *found))
    pieces = []
    for kind, own in facts["operators"].items():
        residuals = own["inverse residual"]
        for name, note in (
            ("AHA", f"apart by {own['AHA apart']:.0e}"),
            ("inverse", f"residuals {residuals['deepinv']:.0e}, {residuals['ours']:.0e}"),
        ):
            times = own[f"{name} s"]
            title = {"AHA": "AᴴA", "inverse": "(I + λAᴴA)⁻¹, λ = 10"}[name]
            both = f"{1e3 * times['deepinv']:.1f}", f"{1e3 * times['ours']:.1f}"
            ratio = f"{times['deepinv'] / times['ours']:.1f}"
            pieces.append((f"{title}, {kind}", *both, ratio, note))
    return [
        "## deepinv's equilibrium and operators on the same weights and data",
        "",
        "    MOLRECON_DATA=… python benchmarks/performance.py --only deepinv --deepinv FOLDER",
        "",
        f"makes an environment in the folder (several GB). deepinv {facts['deepinv']}, PyTorch "
        f"{facts['torch']} for both; the real scan at 4× with `brain2d-sn`. "
        "deepinv's proximal gradient descent as a deep equilibrium, with our network as its "
        "denoiser, is forward–backward splitting of our equation. It starts where ours does, for "
        "nothing, and has the smallest number of iterations that comes within the distance, which "
        "in use nobody knows; ours is a whole call, with its start and its bound in double "
        "precision.",
        "",
        *table(
            ("deepinv", "distance", "networks", "distances", "deepinv, s", "ours, s", "ratio"), rows
        ),
        "The operators, 256 × 232 × 12:",
        "",
        *table(("", "deepinv, ms", "ours, ms", "ratio", ""), pieces),
    ]


def _bf16(rows: list[Facts], pieces: Facts) -> list[str]:
    lines = [
        "## bf16 far from the solution: tried, and not there",
        "",
        "The network in bf16 until a residual, then single precision and the proof as always, on "
        "the real scan at 4×; tried only where a processor is faster in bf16 at all.",
        "",
    ]
    for row in rows:
        network = row["network s"]
        single = row["solves"][0]["seconds"]
        found = [
            (
                "single precision" if one["until"] == "single" else f"bf16 until {one['until']}",
                str(one["in bf16"]),
                str(one["networks"]),
                f"{one['seconds']:.2f}",
                f"{single / one['seconds']:.2f}",
                f"{one['bound']:.1e}",
            )
            for one in row["solves"]
        ]
        head = ("", "networks in bf16", "others", "s", "times faster", "bound")
        lines += [f"`{row['model']}`:", "", *table(head, found)]
        lines += [
            f"The network takes {1e3 * network['bf16']:.0f} ms in bf16 and "
            f"{1e3 * network['single']:.0f} ms in single precision there; "
            f"{100 * row['share']:.0f} % of a solve to the proof are its applications in single "
            "precision, the rest is AᴴA and the bound in double precision.",
            "",
        ]
    if pieces:
        share = max(row["share"] for row in rows)
        bf16, single = pieces["network bf16 s"], pieces["network single s"]
        lines += [
            f"Were all of these applications in bf16, those near the solution too, which need "
            f"single precision, at the {1e3 * bf16:.0f} ms for {1e3 * single:.0f} ms of the table "
            "above, a solve would be "
            f"{1 / (1 - share * (1 - bf16 / single)):.2f} times faster. An option had to bring "
            "1.2.",
            "",
        ]
    return lines


def _pieces(facts: Facts) -> list[str]:
    rate = facts["network TFLOP/s, batch 1"]
    rows = [
        (
            f"AᴴA, 256 × 232 × 12, {mask}",
            f"{facts[f'AHA ms{kind}']:.1f} ms",
            f"{facts[f'FFTs ms{kind}']:.1f} ms of FFTs of both axes, there and back",
        )
        for kind, mask in KINDS.items()
    ]
    rows += [
        (f"(I + λAᴴA)⁻¹ to 1e-6, λ = 10, {mask}", f"{facts[f'inverse ms{kind}']:.0f} ms", "")
        for kind, mask in KINDS.items()
    ]
    rows += [
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


KINDS = {"": "variable density", " of lines": "equispaced lines"}
"""Masks of the pieces, by what is added to the names of the figures."""


def _tried(facts: Facts) -> list[str]:
    lines = [
        "## Shorter ways that were tried",
        "",
        "Applications of the network (and of AᴴA) until the iterate is within a distance of the "
        "solution, on the real scan; at 2.5e-5 a bound of 1e-3 is proved of `brain2d-sn`. – is "
        "more than 60, or no convergence. The last two ways know the solution, which nobody does: "
        "they say what a coarse grid, or any better start, could save at best.",
        "",
    ]
    ways = facts["ways"]
    for model, acceleration in dict.fromkeys((one["model"], one["acceleration"]) for one in ways):
        own = [one for one in ways if (one["model"], one["acceleration"]) == (model, acceleration)]
        rows = [
            (
                one["way"],
                *(_reached(one["reached"].get(d)) for d in ("0.01", "0.001", "2.5e-05")),
            )
            for one in own
        ]
        lines += [
            f"`{model}`, {acceleration:g}×:",
            "",
            *table(("", "1e-2", "1e-3", "2.5e-5"), rows),
        ]
    own = facts["factors"]
    lines += [
        "**Factors in place of conjugate gradients**, where a readout is fully sampled: 256 × 232 "
        f"× 12, equispaced lines, λ = 10; {own['MB']:.0f} MB, residual {own['residual']:.0e}.",
        "",
        *table(("", "ms"), [(k, f"{1e3 * v:.0f}") for k, v in own["seconds"].items()]),
    ]
    return lines


def _reached(counts: Sequence[int] | None) -> str:
    return "–" if counts is None else f"{counts[0]} ({counts[1]})"


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
