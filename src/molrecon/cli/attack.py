"""``molrecon attack``: what the worst error of the measurements does to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molrecon.cli import output
from molrecon.cli.command import Command
from molrecon.cli.options import (
    Against,
    Device,
    FieldOfView,
    Folder,
    Frames,
    Json,
    Matrix,
    ReadMemory,
    Report,
    Scan,
    Seed,
    Sigma,
    SliceNumber,
    Trajectory,
    Unit,
)

if TYPE_CHECKING:
    from torch import Tensor

    from molrecon.evaluation.attack.attacked import Attacked, AttackEffort, Effect
    from molrecon.evaluation.scan_slice import OneScan
    from molrecon.reconstructors.base import Reconstructor

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A shipped model, a weights file, or a method without a model: sense, tikhonov "
        "or zero-filled; for l1-wavelet and tv, which have no gradient, Gaussian only.",
    ),
]
Sizes = Annotated[
    str,
    typer.Option(
        help="Sizes of the perturbation, relative to the norm of the sampled measurements.",
        metavar="E,…",
    ),
]
Goal = Annotated[
    str,
    typer.Option(
        help="What the attack makes as large as possible: change, of the image, or loss, the error "
        "against the reference.",
        metavar="change|loss",
    ),
]
Robust = Annotated[
    str | None,
    typer.Option(
        help="Attack MODEL also with its proved gain kept to each of these numbers.",
        metavar="G,…",
    ),
]
Restarts = Annotated[int, typer.Option(help="Starts of the ascent for every size.")]
Steps = Annotated[int, typer.Option(help="Steps of the ascent from every start.")]
Reference = Annotated[
    str | None,
    typer.Option(
        help="Image for PSNR, of the scan's shape and units; without it PSNR is against the "
        "method's own unperturbed image.",
        metavar="FILE",
    ),
]
Tolerance = Annotated[
    float, typer.Option(help="Relative tolerance of the solves that are reported.")
]


def attack(
    model: Model,
    under: Scan,
    folder: Folder,
    epsilon: Sizes = "0.01,0.02,0.05",
    against: Against = None,
    robust: Robust = None,
    goal: Goal = "change",
    restarts: Restarts = 2,
    steps: Steps = 12,
    reference: Reference = None,
    number: SliceNumber = None,
    trajectory: Trajectory = None,
    matrix: Matrix = None,
    unit: Unit = None,
    field_of_view: FieldOfView = None,
    frames: Frames = None,
    sigma: Sigma = None,
    tol: Tolerance = 1e-4,
    max_memory: ReadMemory = None,
    seed: Seed = 0,
    report: Report = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Seek the measurement error of given size that changes the image most.

    Gradient ascent on the change of the image, or on its error, over all errors of the sampled
    measurements with ‖Δy‖ = ε‖y‖; beside it Gaussian errors of the same size, and the proved bound
    on the gain ‖Δx‖/‖Δy‖. Unit, noise level, data weight, coil maps and mask are held fixed, which
    is the condition of the bound. What is found is a lower bound of the true worst case. A
    certified model never exceeds its bound; gains are compared after the solvers' own error bounds.

    The folder receives gain.png and .pdf, pictures for every size, attack.csv and attack.json; with
    --robust and --reference also robust.png, PSNR against the proved gain.
    """
    import time
    from pathlib import Path

    from molrecon.arguments import require_positive, resolve_device
    from molrecon.cli import lists
    from molrecon.cli.reading import Along, check_report, read_any
    from molrecon.data.atomic import check_folder
    from molrecon.evaluation.attack.attacked import HELD_FIXED, AttackEffort, check_sizes
    from molrecon.evaluation.attack.results import write_results
    from molrecon.evaluation.attack.scan import attack_scan
    from molrecon.evaluation.scan_slice import check_of, chosen_slice
    from molrecon.reports.report import write_report
    from molrecon.reports.trials import attack_report

    started = time.perf_counter()
    sizes = lists.numbers("--epsilon", epsilon)
    check_sizes(sizes)
    aim: Any = goal
    effort = AttackEffort(restarts=restarts, steps=steps, tol=tol, seed=seed, goal=aim)
    require_positive("sigma", sigma)
    check_folder(folder)
    check_report(report, under, reference, trajectory)
    device = resolve_device(device)
    methods = _methods(model, against, robust, device)
    along = Along(trajectory, matrix, unit, field_of_view, frames)
    source = read_any(under, None, None, None, max_memory, along)
    scan = chosen_slice(source, methods, number=number)
    truth = _truth(reference, scan, number, effort)
    known: dict[str, Any] = {"sigma": sigma, "reference": truth, "effort": effort, "device": device}
    with output.progress(len(methods) * effort.solves(len(sizes))) as show:
        attacked, A = attack_scan(
            methods, scan, sizes, report=lambda text, done: show(text, advance=done), **known
        )
    facts: dict[str, Any] = {
        **{"input": under, "slice": number, "epsilon": sorted(sizes)},
        **{"restarts": restarts, "steps": steps, "seed": seed, "tolerance": tol, "goal": goal},
        "held_fixed": HELD_FIXED,
        "psnr_against": reference or "the unperturbed image of each method",
        "methods": [one.facts() for one in attacked],
        "violations": sum(len(one.exceeded) for one in attacked if one.certified),
        "seconds": time.perf_counter() - started,
        "device": device,
    }
    facts["files"] = files = write_results(folder, attacked, A, facts, title=Path(under).name)
    if report is not None:
        title = f"Attack: {scan.source}"
        made = attack_report(attacked, scan, check_of(scan), reference=truth, title=title)
        files["report"] = str(write_report(made, report))
    output.print_json(facts) if json else _print(attacked, files, reference is not None)


def _methods(
    model: str, against: str | None, robust: str | None, device: str
) -> list[Reconstructor]:
    """Build the methods: the model, the model at every gain that is wanted, and the others."""
    from molrecon.cli import lists
    from molrecon.reconstructors.methods import named_method

    first, *others = [named_method(name, device=device) for name in lists.methods(model, against)]
    gains = lists.numbers("--robust", robust) if robust else []
    return [first, *(first.with_gain(one) for one in gains), *others]


def _truth(
    reference: str | None, scan: OneScan, number: int | None, effort: AttackEffort
) -> Tensor | None:
    """Read the image to compare with, and refuse a goal that needs one where there is none."""
    from molrecon.evaluation.attack.attacked import check_goal
    from molrecon.evaluation.scan_slice import read_reference

    truth = None if reference is None else read_reference(reference, scan, number=number)
    check_goal(effort.goal, truth)
    return truth


def _print(attacked: list[Attacked], files: dict[str, str], referenced: bool) -> None:
    from molrecon.equilibrium.bound_text import bound_text
    from molrecon.evaluation.attack.attacked import HELD_FIXED

    for one in attacked:
        bound = "no bound on the gain"
        if one.bound is not None:
            basis = "certified" if one.certified else "conditional"
            bound = f"{basis} bound on the gain {bound_text(one.bound)}"
        clean = "" if one.psnr is None else f"{one.psnr:.1f} → "
        rows = []
        for point in one.points:
            pairs = [_figures(effect) for effect in (point.worst, point.gaussian)]
            change, gain, decibels = (" | ".join(pair) for pair in zip(*pairs, strict=True))
            size = f"{100 * point.epsilon:g} %"
            rows.append((size, f"{change} %", gain, clean + decibels))
        output.print_table(
            f"{one.name}: {bound}; worst case found | Gaussian",
            ("‖Δy‖/‖y‖", "change ‖Δx‖/‖x‖", "gain ‖Δx‖/‖Δy‖", "PSNR, dB"),
            rows,
        )
    for one in attacked:
        for remark in one.remarks:
            output.print_note(remark)
    against = "the reference" if referenced else "each method's own unperturbed image"
    output.print_note(f"{HELD_FIXED} PSNR is against {against}, of magnitudes.")
    output.print_facts("Files", list(files.items()))


def _figures(effect: Effect | None) -> tuple[str, str, str]:
    if effect is None:
        return "–", "–", "–"
    return f"{100 * effect.change:.3g}", f"{effect.gain:.3g}", f"{effect.psnr:.1f}"


COMMAND = Command(
    "attack",
    attack,
    "molrecon attack brain2d-sn under.npz --epsilon 0.01,0.05 --against sense -o out/attack",
)
